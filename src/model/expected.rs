//! What may be observed, as data.

use std::{fmt, ops::RangeInclusive};

use smallvec::SmallVec;

use super::{Promise, Switch};
use crate::{
    actor::{ListedPort, PortId},
    payload::MessageId,
    scenario::{Backpressure, Settings},
};

/// A message that may be received next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its identity.
    pub id: MessageId,
    /// Its length in elements.
    pub len: usize,
    /// The port that sent it.
    pub origin: PortId,
}

/// The ports of one kind a service has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ports {
    /// They exist.
    pub sure: Vec<PortDetails>,
    /// Their handles are gone, but not what came out of them.
    pub lingering: Vec<PortId>,
}

/// How a service has to describe a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortDetails {
    /// Its id.
    pub id: PortId,
    /// The longest slice it can loan at the moment, in elements.
    pub longest: RangeInclusive<usize>,
    /// Whether it can grow.
    pub is_dynamic: bool,
    /// Clients: the requests that may be active.
    pub active: Option<usize>,
}

impl PortDetails {
    fn describes(&self, listed: &ListedPort) -> bool {
        self.longest.contains(&listed.longest)
            && self.is_dynamic == listed.is_dynamic
            && (listed.active.is_none() || listed.active == self.active)
    }
}

impl fmt::Display for PortDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_dynamic { "dynamic" } else { "static" };
        let or_more = if self.longest.start() < self.longest.end() { " or more" } else { "" };
        write!(f, "a {kind} port, max_slice_len {}{or_more}", self.longest.start())?;
        self.active.map_or(Ok(()), |active| write!(f, ", {active} active"))
    }
}

impl Ports {
    /// How many the service may count.
    #[must_use]
    pub fn count(&self) -> RangeInclusive<usize> {
        self.sure.len()..=self.sure.len() + self.lingering.len()
    }

    /// Whether the service may list these: every port that exists, each once, and none that
    /// does not.
    #[must_use]
    pub fn may_be_listed_as(&self, listed: &[ListedPort]) -> bool {
        let times = |port: PortId| listed.iter().filter(|other| other.id == port).count();
        let exists = |port: &ListedPort| {
            self.sure.iter().any(|sure| sure.id == port.id) || self.lingering.contains(&port.id)
        };
        self.sure.iter().all(|port| times(port.id) == 1)
            && self.lingering.iter().all(|port| times(*port) <= 1)
            && listed.iter().all(exists)
    }

    /// The first port that is not described as it is: how it has to be, and how it is listed.
    #[must_use]
    pub fn wrongly_described<'a>(
        &self,
        listed: &'a [ListedPort],
    ) -> Option<(&PortDetails, &'a ListedPort)> {
        let listed_as = |port: PortId| listed.iter().find(|other| other.id == port);
        let mut all = self.sure.iter().filter_map(|port| Some((port, listed_as(port.id)?)));
        all.find(|(details, port)| !details.describes(port))
    }
}

/// One thing that may be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Success without a value.
    Done,
    /// A port with this `initial_max_slice_len`.
    PortCreated {
        /// In elements.
        hint: usize,
        /// Its strategy for full buffers.
        backpressure: Backpressure,
        /// Clients: the requests that may be active.
        active: Option<usize>,
    },
    /// A loan of exactly this length, initialised as its form demands.
    Loaned {
        /// In elements.
        len: usize,
    },
    /// A request that went to as many servers.
    Sent {
        /// More than one value only while ports are half gone.
        servers: RangeInclusive<usize>,
    },
    /// This message.
    Received(Candidate),
    /// No message.
    Nothing,
    /// State of a pending response; `None` is unspecified.
    Pending {
        /// `is_connected`.
        connected: Option<bool>,
        /// `has_response`.
        has_response: Option<bool>,
        /// `number_of_server_connections`.
        servers: usize,
    },
    /// State of an active request; `None` is unspecified.
    Active {
        /// `is_connected`.
        connected: Option<bool>,
        /// `has_disconnect_hint`.
        hint: Option<bool>,
    },
    /// State of a server; `None` is unspecified.
    Server {
        /// `has_requests`.
        has_requests: Option<bool>,
    },
    /// So many dead nodes were found and cleaned up.
    CleanedUp {
        /// How many.
        dead: usize,
    },
    /// State of the service.
    Service {
        /// How many nodes use it.
        nodes: RangeInclusive<usize>,
        /// Its clients.
        clients: Box<Ports>,
        /// Its servers.
        servers: Box<Ports>,
        /// The settings it was created with.
        settings: Box<Settings>,
    },
    /// The error of this name.
    Refused(&'static str),
}

fn known<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "unspecified".to_owned(), |value| value.to_string())
}

fn range(range: &RangeInclusive<usize>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{} to {}", range.start(), range.end())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::PortCreated { hint, backpressure, active } => {
                write!(f, "a port with initial_max_slice_len {hint}")?;
                active.map_or(Ok(()), |limit| write!(f, ", {limit} active"))?;
                write!(f, ", {backpressure:?}")
            }
            Self::Loaned { len } => write!(f, "a loan of {len}"),
            Self::Sent { servers } => write!(f, "sent to {} server(s)", range(servers)),
            Self::Received(c) => write!(f, "message {} of {}", c.id, c.len),
            Self::Nothing => f.write_str("nothing to receive"),
            Self::Pending { connected, has_response, servers } => write!(
                f,
                "connected {}, has_response {}, {servers} server(s)",
                known(*connected),
                known(*has_response)
            ),
            Self::Active { connected, hint } => {
                write!(f, "connected {}, disconnect hint {}", known(*connected), known(*hint))
            }
            Self::Server { has_requests } => write!(f, "has_requests {}", known(*has_requests)),
            Self::Service { clients, servers, .. } => write!(
                f,
                "{} client(s), {} server(s), settings as created",
                range(&clients.count()),
                range(&servers.count())
            ),
            Self::CleanedUp { dead } => write!(f, "{dead} dead node(s), cleaned up"),
            Self::Refused(name) => f.write_str(name),
        }
    }
}

/// All that may be observed, and the promise that is at stake if it is not.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The promise that decides between success and failure of the action.
    pub promise: Promise,
    /// Any of these.
    pub allowed: SmallVec<[Expected; 1]>,
    /// What known quirks of this release make of it; a breach all the same, but one
    /// the run goes on after.
    pub tolerated: Vec<(Switch, Expected)>,
}

impl Prediction {
    /// Whether it is left to iceoryx2 if a message arrives: one of which the memory was never
    /// mapped may be lost with its sender.
    #[must_use]
    pub fn may_lose_a_message(&self) -> bool {
        let receives = |expected: &Expected| matches!(expected, Expected::Received(_));
        self.allowed.contains(&Expected::Nothing) && self.allowed.iter().any(receives)
            || self
                .allowed
                .iter()
                .any(|expected| matches!(expected, Expected::Pending { has_response: None, .. }))
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, expected) in self.allowed.iter().enumerate() {
            write!(f, "{}{expected}", if i == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}
