//! What is seen, as plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Key, presence::Presence};
use crate::{
    payload::{MessageId, Mismatch},
    scenario::Backpressure,
};

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
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
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

impl Observation {
    /// Whether this is a clean-up that says of each dead node whether it is gone, and of none both.
    #[must_use]
    pub fn accounts_for_the_dead(&self) -> bool {
        matches!(self, Self::CleanedUp { dead, cleaned, left, .. } if cleaned + left <= *dead)
    }
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
