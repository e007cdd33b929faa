//! Actions, for a person.

use std::fmt;

use super::Action;
use crate::scenario::Moment;

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(calls) => write!(f, "file call {calls}"),
            Self::Change(changes) => write!(f, "file change {changes}"),
            Self::Instruction(steps) => write!(f, "instruction {steps}"),
        }
    }
}

/// One line: what is done to what.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join { new, how, require, .. } => match require {
                Some(require) => {
                    write!(f, "participant {new} joins ({how:?}) and requires {require:?}")
                }
                None => write!(f, "participant {new} joins ({how:?})"),
            },
            Self::Leave { participant } => write!(f, "participant {participant} leaves"),
            Self::Die { victim } => write!(f, "participant {victim} is killed"),
            Self::Kill { victim, witness } => {
                write!(f, "participant {victim} is killed, {witness} cleans up")
            }
            Self::KillAmid { victim, witness, doing, at, contested, .. } => {
                let tries = if *contested { " tries the same amid it, then" } else { "" };
                write!(
                    f,
                    "participant {victim} is killed at {at} of this, {witness}{tries} cleans up: \
                     {doing}"
                )
            }
            Self::CreateClient { participant, new, strategy, hint, preallocate, active } => {
                let (chunks, active) = (stated(*preallocate, "chunks"), stated(*active, "active"));
                write!(
                    f,
                    "{participant} creates client {new} ({strategy:?}, hint {hint}{chunks}{active})"
                )
            }
            Self::CreateServer { participant, new, strategy, hint, loans, preallocate } => {
                let chunks = stated(*preallocate, "chunks");
                write!(
                    f,
                    "{participant} creates server {new} ({strategy:?}, hint {hint}, {loans} loans{chunks})"
                )
            }
            Self::DropClient { client } => write!(f, "drop client {client}"),
            Self::DropServer { server } => write!(f, "drop server {server}"),
            Self::LoanRequest { client, new, id, len, form } => {
                write!(f, "client {client} loans request {new}, message {id} of {len} ({form:?})")
            }
            Self::SendRequest { request, new } => {
                write!(f, "send request {request} as pending {new}")
            }
            Self::DropRequest { request } => write!(f, "drop loaned request {request}"),
            Self::ReceiveRequest { server, new } => write!(f, "server {server} receives {new}"),
            Self::LoanResponse { active, new, id, len, form } => {
                write!(f, "active {active} loans response {new}, message {id} of {len} ({form:?})")
            }
            Self::SendResponse { response } => write!(f, "send response {response}"),
            Self::DropLoanedResponse { response } => write!(f, "drop loaned response {response}"),
            Self::ReceiveResponse { pending, new } => write!(f, "pending {pending} receives {new}"),
            Self::DropPending { pending } => write!(f, "drop pending {pending}"),
            Self::DropActive { active } => write!(f, "drop active {active}"),
            Self::DropResponse { response } => write!(f, "drop response {response}"),
            Self::InspectPending { pending } => write!(f, "inspect pending {pending}"),
            Self::InspectActive { active } => write!(f, "inspect active {active}"),
            Self::InspectServer { server } => write!(f, "inspect server {server}"),
            Self::InspectService { .. } => f.write_str("inspect service"),
            Self::UpdateClient { client } => write!(f, "update connections of client {client}"),
            Self::UpdateServer { server } => write!(f, "update connections of server {server}"),
            Self::HintDisconnect { pending } => write!(f, "pending {pending} hints disconnect"),
        }
    }
}

fn stated(limit: Option<usize>, what: &str) -> String {
    limit.map(|limit| format!(", {limit} {what}")).unwrap_or_default()
}
