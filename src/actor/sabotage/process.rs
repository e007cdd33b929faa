//! Processes that end, and calls that do not.

use super::{Sabotage, deed};
use crate::{actor::Action, model::Promise};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "growth-panics",
        breaks: Promise::NeverCrashes,
        what: "the first growth of a client panics",
        trick: || {
            deed(|stage, action| {
                if let Action::LoanRequest { len, .. } = action
                    && stage.scene.loans_from(action).is_some_and(|port| *len > port.longest)
                {
                    panic!("no segment of id 1");
                }
                stage.perform(action)
            })
        },
    },
    Sabotage {
        id: "drop-of-held-response-aborts",
        breaks: Promise::NeverCrashes,
        what: "dropping a response whose server is gone aborts the process",
        trick: || {
            deed(|stage, action| {
                if let Action::DropResponse { response } = action
                    && let Some((_, server)) = stage.scene.held.get(response)
                    && stage.scene.servers.values().any(|port| port.id == *server && !port.exists)
                {
                    std::process::abort();
                }
                stage.perform(action)
            })
        },
    },
    Sabotage {
        id: "send-never-returns",
        breaks: Promise::NeverHangs,
        what: "sending a request does not return",
        trick: || {
            deed(|stage, action| {
                if matches!(action, Action::SendRequest { .. }) {
                    loop {
                        std::thread::park();
                    }
                }
                stage.perform(action)
            })
        },
    },
];
