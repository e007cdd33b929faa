//! What is done, as plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::death::Spares;
use crate::{
    payload::MessageId,
    scenario::{LoanForm, Moment, OpenMode, Requirement, Strategy},
};

/// Names one object of a run: a participant, a port, a loan, a message held. Never
/// reused within a run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Key(pub u32);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// A step with its indices resolved. Keys in fields called `new` name what the
/// action creates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the fields are those of the step of the same name
#[strum_discriminants(
    name(ActionKind),
    doc = "The kind of an action, without what it is done to.",
    derive(
        Hash,
        PartialOrd,
        Ord,
        Serialize,
        Deserialize,
        strum::Display,
        strum::EnumCount,
        strum::EnumIter
    ),
    serde(rename_all = "kebab-case"),
    strum(serialize_all = "kebab-case"),
    allow(missing_docs)
)]
pub enum Action {
    Join {
        new: Key,
        how: OpenMode,
        require: Option<Requirement>,
        creates: bool,
    },
    Leave {
        participant: Key,
    },
    /// The process of the victim is killed.
    Die {
        victim: Key,
    },
    /// The witness cleans up after the victim, whose process is dead already.
    Kill {
        victim: Key,
        witness: Key,
    },
    /// The victim is killed amid this, and the witness cleans up.
    KillAmid {
        victim: Key,
        witness: Key,
        doing: Box<Action>,
        at: Moment,
        spares: Spares,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        contested: bool,
    },
    CreateClient {
        participant: Key,
        new: Key,
        strategy: Strategy,
        hint: usize,
        preallocate: Option<usize>,
        active: Option<usize>,
    },
    CreateServer {
        participant: Key,
        new: Key,
        strategy: Strategy,
        hint: usize,
        loans: usize,
        preallocate: Option<usize>,
    },
    DropClient {
        client: Key,
    },
    DropServer {
        server: Key,
    },
    LoanRequest {
        client: Key,
        new: Key,
        id: MessageId,
        len: usize,
        form: LoanForm,
    },
    SendRequest {
        request: Key,
        new: Key,
    },
    DropRequest {
        request: Key,
    },
    ReceiveRequest {
        server: Key,
        new: Key,
    },
    LoanResponse {
        active: Key,
        new: Key,
        id: MessageId,
        len: usize,
        form: LoanForm,
    },
    SendResponse {
        response: Key,
    },
    DropLoanedResponse {
        response: Key,
    },
    ReceiveResponse {
        pending: Key,
        new: Key,
    },
    DropPending {
        pending: Key,
    },
    DropActive {
        active: Key,
    },
    DropResponse {
        response: Key,
    },
    InspectPending {
        pending: Key,
    },
    InspectActive {
        active: Key,
    },
    InspectServer {
        server: Key,
    },
    InspectService {
        participant: Key,
    },
    UpdateClient {
        client: Key,
    },
    UpdateServer {
        server: Key,
    },
    HintDisconnect {
        pending: Key,
    },
}
