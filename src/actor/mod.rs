//! What does happen: the one room that calls iceoryx2.
//!
//! An actor executes resolved actions and returns observations; it never judges.
//! This file holds the plain data that crosses the border.

mod arrival;
pub mod bare;
pub mod child;
pub mod concurrent;
pub mod config_file;
pub mod death;
mod describe;
pub mod element;
pub mod iox;
pub mod message;
mod open;
pub mod overlap;
pub mod presence;
pub mod sabotage;
pub mod serve;
pub mod shortage;
pub mod tracee;
pub mod variant;
pub mod version;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    payload::{MessageId, Mismatch},
    scenario::{Backpressure, Concurrent, LoanForm, Moment, OpenMode, Requirement, Strategy},
};

use concurrent::Logs;
use death::Spares;
use overlap::Hold;
use presence::{Aftermath, Presence};
use shortage::{Missed, Shortage};

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

/// Globally unique id of a port, as iceoryx2 reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PortId(pub u128);

// JSON numbers and most readers stop at 64 bits.
impl Serialize for PortId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

impl<'de> Deserialize<'de> for PortId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A message as its receiver sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Received {
    /// The identity in the user header, `None` if the header is not one of ours.
    pub header: Option<MessageId>,
    /// Length of the payload in elements.
    pub len: usize,
    /// How the payload differs from what `header` says, if it does.
    pub mismatch: Option<Box<Mismatch>>,
    /// Whether it begins at an address that is no multiple of its alignment.
    pub misaligned: bool,
    /// `origin()`.
    pub origin: PortId,
    /// The sender's id in iceoryx2's own header.
    pub header_origin: PortId,
    /// `number_of_elements` in iceoryx2's own header.
    pub elements: u64,
}

impl Received {
    /// The message, if nothing of it is damaged.
    #[must_use]
    pub fn intact(&self) -> Option<MessageId> {
        self.header.filter(|_| self.mismatch.is_none())
    }
}

/// The settings a service reports, in the order of
/// [`Settings`](crate::scenario::Settings).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct ReportedSettings {
    pub limits: [usize; 7],
    pub flags: [bool; 3],
}

/// All ports a service lists, in ascending order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct ListedPorts {
    pub clients: Vec<ListedPort>,
    pub servers: Vec<ListedPort>,
}

/// A port as its service describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListedPort {
    /// Its id.
    pub id: PortId,
    /// `max_slice_len`: "the current maximum length of a slice", in elements.
    pub longest: usize,
    /// Whether its data segment can be resized.
    pub is_dynamic: bool,
    /// A client's `max_active_requests`, where the release has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<usize>,
}

impl fmt::Display for ListedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_dynamic { "dynamic" } else { "static" };
        write!(f, "a {kind} port, max_slice_len {}", self.longest)?;
        self.active.map_or(Ok(()), |active| write!(f, ", {active} active"))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What an action returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// It succeeded and has nothing to say.
    Done,
    /// A port exists now.
    PortCreated {
        /// Its id.
        id: PortId,
        /// Its `initial_max_slice_len()`.
        hint: usize,
        /// Its `backpressure_strategy()`, where the host can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backpressure: Option<Backpressure>,
        /// A client's `max_active_requests()`, where the release has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        active: Option<usize>,
    },
    /// Memory was loaned and written.
    Loaned {
        /// Length of the loan in elements.
        len: usize,
        /// Offset of the first element that was not default (`loan_slice` only).
        not_default: Option<usize>,
        /// How the loan reads back, if not as written.
        mismatch: Option<Box<Mismatch>>,
        /// Whether it begins at an address that is no multiple of its alignment.
        misaligned: bool,
        /// Whether its user header was something else than its default.
        #[serde(default, skip_serializing_if = "is_false")]
        used_header: bool,
    },
    /// A request was sent.
    Sent {
        /// `number_of_server_connections()`.
        servers: usize,
    },
    /// A message was received.
    Received(Received),
    /// There was nothing to receive.
    Nothing,
    /// State of a pending response.
    Pending {
        /// `is_connected()`.
        connected: bool,
        /// `has_response()`.
        has_response: bool,
        /// `number_of_server_connections()`.
        servers: usize,
    },
    /// State of an active request.
    Active {
        /// `is_connected()`.
        connected: bool,
        /// `has_disconnect_hint()`.
        hint: bool,
    },
    /// State of a server.
    Server {
        /// `has_requests()`.
        has_requests: bool,
    },
    /// State of the service.
    Service {
        /// `number_of_clients()`.
        clients: usize,
        /// `number_of_servers()`.
        servers: usize,
        /// The static config.
        settings: Box<ReportedSettings>,
        /// `list_clients()` and `list_servers()`, where the host can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        listed: Option<Box<ListedPorts>>,
        /// Whether it exists and which nodes do, where the host can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        presence: Option<Box<Presence>>,
    },
    /// Dead nodes were looked for and cleaned up.
    CleanedUp {
        /// Nodes that `Node::list` called dead before.
        dead: usize,
        /// `CleanupState::cleanups`.
        cleaned: usize,
        /// `CleanupState::failed_cleanups`.
        failed: usize,
        /// Nodes that `Node::list` called dead afterwards.
        left: usize,
    },
    /// It failed; the text is the error as `Debug` prints it.
    Refused(String),
}

/// What two actions returned that were performed at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlapped {
    /// Of each.
    pub observations: [Observation; 2],
    /// Whether the second began amid the first; otherwise it came after it.
    pub met: bool,
}

/// A message that no longer reads as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Who holds it.
    pub holder: Key,
    /// What is wrong.
    #[serde(flatten)]
    pub what: Damaged,
}

/// The part of a message that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damaged {
    /// The payload.
    Mismatch(Box<Mismatch>),
    /// The user header: what it calls the message now, if it is one of ours.
    UserHeader(Option<MessageId>),
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::UserHeader(Some(other)) => write!(f, "the user header of message {other}"),
            Self::UserHeader(None) => f.write_str("a user header nobody wrote"),
        }
    }
}

/// Why no observation could be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum HostError {
    /// The process that executed the action is gone.
    #[error("crashed: {0}")]
    Crashed(String),
    /// The action did not return in time.
    #[error("did not return within {0} ms")]
    Hung(u64),
    /// iceoryx2 does not take the config file.
    #[error("{0}")]
    ConfigRefused(String),
    /// Whoever runs the gauntlet wants it to stop.
    #[error("interrupted")]
    Interrupted,
    /// The harness itself failed.
    #[error("harness: {0}")]
    Harness(String),
}

/// Executes actions, somewhere.
pub trait Host {
    /// Performs one action as `participant`.
    ///
    /// # Errors
    /// If the action did not return.
    fn perform(&mut self, participant: Key, action: &Action) -> Result<Observation, HostError>;

    /// Re-reads every payload that is held and reports those that changed.
    ///
    /// # Errors
    /// If reading did not return.
    fn audit(&mut self) -> Result<Vec<Damage>, HostError>;

    /// Number of shared-memory objects of the domain that are mapped, summed over the
    /// processes of the participants.
    ///
    /// # Errors
    /// If the answer did not arrive.
    fn mapped_objects(&mut self) -> Result<usize, HostError>;

    /// Files that the domain must not have: outside of it, or with another prefix; `None` where
    /// the host cannot tell or there are none at all.
    ///
    /// # Errors
    /// If the answer did not arrive.
    fn strange_files(&mut self) -> Result<Option<Vec<String>>, HostError> {
        Ok(None)
    }

    /// Lets threads of this process talk to each other as they like, on a service that nobody
    /// else has open; says now and then that they still get on.
    ///
    /// # Errors
    /// If a thread panics, or if there is no process that could have all of them.
    fn at_once(
        &mut self,
        traffic: &Concurrent,
        _alive: &mut dyn FnMut(),
    ) -> Result<Logs, HostError> {
        let what = traffic.describe();
        Err(HostError::Harness(format!("{what}: only participants in one process can do that")))
    }

    /// What there is once everything was dropped, the service created once more and dropped
    /// again; `None` where the host cannot tell.
    ///
    /// # Errors
    /// If the answer did not arrive.
    fn aftermath(&mut self) -> Result<Option<Aftermath>, HostError> {
        Ok(None)
    }

    /// From now on every participant has another service as well, of its own and of no use, for
    /// as long as it is there.
    fn open_aside(&mut self) {}

    /// Lets two participants perform an action each, the second amid the first.
    ///
    /// # Errors
    /// If one of them did not return, or if nobody can be held here.
    fn overlap(
        &mut self,
        actions: [(Key, &Action); 2],
        _hold: Hold,
    ) -> Result<Overlapped, HostError> {
        let [_, (_, second)] = actions;
        Err(HostError::Harness(format!("{second}: nobody can be held here amid something else")))
    }

    /// Does what comes before an action and is no part of it: nobody is traced meanwhile.
    ///
    /// # Errors
    /// If whoever is to do it is not there.
    fn prepare(&mut self, _action: &Action) -> Result<(), HostError> {
        Ok(())
    }

    /// Performs an action amid which its participant runs short of something, and says of what
    /// it did.
    ///
    /// # Errors
    /// If it did not return, or if nobody can run short here.
    fn run_short(
        &mut self,
        _participant: Key,
        action: &Action,
        _shortage: Shortage,
    ) -> Result<(Observation, Option<Missed>), HostError> {
        Err(HostError::Harness(format!("{action}: nobody can run short of anything here")))
    }

    /// Whether a participant can run short of something amid an action.
    fn can_run_short(&self) -> bool {
        false
    }

    /// Whether a participant can be held amid an action.
    fn can_hold(&self) -> bool {
        false
    }

    /// Whether a participant can be killed amid an action.
    fn can_kill_amid(&self) -> bool {
        false
    }

    /// Whether a participant has a process of its own, which can be killed.
    fn can_kill(&self) -> bool {
        false
    }
}
