//! Why an example program ends early, with what to do about it.

use std::{fmt, io};

use iceoryx2::{
    port::{LoanError, ReceiveError},
    service::{
        builder::request_response::{RequestResponseOpenError, RequestResponseOpenOrCreateError},
        port_factory::{client::ClientCreateError, server::ServerCreateError},
    },
};

use super::{exit_code::ExitCode, flags::Strategy, verify::Violation};
use crate::actor::config_file::ConfigFileError;

/// Why an example program ends early.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// SIGINT or SIGTERM arrived.
    #[error("interrupted")]
    Interrupted,
    /// Standard output cannot be written.
    #[error("failed to write to standard output: {0}")]
    Output(#[from] io::Error),
    /// A flag has a value that does not fit the service.
    #[error("{0}")]
    Usage(String),
    /// The file of `--config` could not be loaded.
    #[error("failed to load the config file: {0}")]
    Config(#[from] ConfigFileError),
    /// A message is not what its sender wrote.
    #[error("integrity violated: {violation} ({place})")]
    Integrity {
        /// What is wrong.
        violation: Box<Violation>,
        /// Where it was seen.
        place: String,
    },
    /// The service is full.
    #[error("{0}")]
    Limit(Box<LimitReached>),
    /// A message did not fit into the memory of the port.
    #[error(
        "failed to loan {bytes} bytes: {error:?}; the port was created with --initial-max-slice-len {initial_max_slice_len} \
         and --allocation-strategy {strategy}{}",
        loan_advice(*.bytes, *.strategy, *.error)
    )]
    Loan {
        /// How much was asked for.
        bytes: usize,
        /// The hint of the port.
        initial_max_slice_len: usize,
        /// How the memory of the port grows.
        strategy: Strategy,
        /// What iceoryx2 says.
        error: LoanError,
    },
    /// Anything else that iceoryx2 refused.
    #[error("failed to {action}: {name}")]
    Iceoryx2 {
        /// What was attempted, e.g. `send a request`.
        action: String,
        /// The error as iceoryx2 calls it.
        name: String,
    },
}

fn loan_advice(bytes: usize, strategy: Strategy, error: LoanError) -> String {
    match (strategy, error) {
        (Strategy::Static, LoanError::ExceedsMaxLoanSize) => format!(
            ", which never grows: raise the hint to at least {bytes}, or choose best-fit or power-of-two"
        ),
        (_, LoanError::OutOfMemory) => {
            "; the system may be out of shared memory, or the port grew too often: see /dev/shm, or raise the hint"
                .to_owned()
        }
        _ => String::new(),
    }
}

impl Failure {
    /// A failure of iceoryx2 without advice.
    pub(super) fn iceoryx2(action: impl Into<String>, error: &impl fmt::Debug) -> Self {
        Self::Iceoryx2 { action: action.into(), name: format!("{error:?}") }
    }

    pub(super) fn receive(error: &ReceiveError) -> Self {
        Self::iceoryx2("receive", error)
    }

    /// What the process exits with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Interrupted | Self::Output(_) => ExitCode::Interrupted,
            Self::Usage(_) | Self::Config(_) => ExitCode::Usage,
            Self::Integrity { .. } => ExitCode::Integrity,
            Self::Limit(_) => ExitCode::Limit,
            Self::Loan { .. } => ExitCode::LoanRefused,
            Self::Iceoryx2 { .. } => ExitCode::Iceoryx2,
        }
    }

    /// The error as iceoryx2 calls it, if it is one of iceoryx2.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Limit(reached) => Some(reached.name.clone()),
            Self::Loan { error, .. } => Some(format!("{error:?}")),
            Self::Iceoryx2 { name, .. } => Some(name.clone()),
            _ => None,
        }
    }
}

/// A limit of a service that the example programs can run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Client ports.
    Clients,
    /// Server ports.
    Servers,
    /// Nodes, i.e. processes.
    Nodes,
}

impl Limit {
    /// The limit `error` is about.
    pub(super) fn of_client(error: ClientCreateError) -> Option<Self> {
        (error == ClientCreateError::ExceedsMaxSupportedClients).then_some(Self::Clients)
    }

    /// The limit `error` is about.
    pub(super) fn of_server(error: ServerCreateError) -> Option<Self> {
        (error == ServerCreateError::ExceedsMaxSupportedServers).then_some(Self::Servers)
    }

    /// The limit `error` is about.
    pub(super) fn of_service(error: RequestResponseOpenOrCreateError) -> Option<Self> {
        let open = RequestResponseOpenError::ExceedsMaxNumberOfNodes;
        (error == RequestResponseOpenOrCreateError::RequestResponseOpenError(open))
            .then_some(Self::Nodes)
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Clients => "client",
            Self::Servers => "server",
            Self::Nodes => "node",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Clients => "max-clients",
            Self::Servers => "max-servers",
            Self::Nodes => "max-nodes",
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Self::Clients => "max_clients",
            Self::Servers => "max_servers",
            Self::Nodes => "max_nodes",
        }
    }
}

/// A service that has no room for one more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReached {
    /// What there is no room for.
    pub limit: Limit,
    /// How many there may be, if it could be found out.
    pub value: Option<usize>,
    /// The service.
    pub service: String,
    /// The error as iceoryx2 calls it.
    pub name: String,
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, value, service, name } = self;
        let noun = limit.noun();
        let count = match value {
            Some(1) => format!("1 {noun}"),
            Some(value) => format!("{value} {noun}s"),
            None => format!("{noun}s"),
        };
        let more = value.map_or_else(|| "N".to_owned(), |value| (value + 1).to_string());
        let (key, method) = (limit.key(), limit.method());
        writeln!(
            f,
            "service `{service}` has no room for another {noun}: its limit of {count} is reached ({name})"
        )?;
        writeln!(f, "  in the config file:  `defaults.request-response.{key} = {more}`")?;
        writeln!(f, "  or in code:          `.request_response::<[u8], [u8]>().{method}({more})`")?;
        write!(
            f,
            "  An existing service keeps the limit it was created with: stop all its users first."
        )
    }
}
