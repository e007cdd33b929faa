//! What the example programs tell about themselves.

use std::{
    fmt,
    io::{self, Write},
};

use serde::{Deserialize, Serialize};

use super::{
    exit_code::ExitCode,
    failure::Failure,
    flags::{Format, Strategy},
    verify::Integrity,
};
use crate::payload::MessageId;

/// One line of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// The service is open; signals are handled from here on.
    Started {
        /// `client` or `server`.
        program: Program,
        /// Process id.
        pid: u32,
        /// Name of the service.
        service: String,
        /// Version of iceoryx2.
        iceoryx2: String,
        /// The service's limit, as its creator set it.
        max_clients: usize,
        /// The service's limit, as its creator set it.
        max_servers: usize,
        /// The service's limit, as its creator set it.
        max_nodes: usize,
    },
    /// Something works differently than it looks.
    Warning {
        /// What, and what to do about it.
        message: String,
    },
    /// The port is there.
    PortCreated {
        /// iceoryx2's id of the port.
        port: String,
        /// The hint it was created with, in bytes.
        initial_max_slice_len: usize,
        /// How its memory grows.
        allocation_strategy: Strategy,
    },
    /// How many ports of the other kind exist; told at first and when it changes.
    Peers {
        /// Which program they belong to.
        of: Program,
        /// How many.
        count: usize,
    },
    /// Memory was loaned.
    Loaned {
        /// Length of the payload.
        bytes: usize,
        /// The message it is for.
        id: MessageId,
    },
    /// A request or response was sent.
    Sent {
        /// Length of the payload.
        bytes: usize,
        /// The message.
        id: MessageId,
        /// Requests: how many servers it was delivered to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number_of_servers: Option<usize>,
    },
    /// A request or response arrived.
    Received {
        /// Length of the payload.
        bytes: usize,
        /// The message, if its user header is readable.
        id: Option<MessageId>,
        /// iceoryx2's id of the port that sent it.
        from: String,
        /// Whether it is what its sender wrote.
        integrity: Integrity,
    },
    /// A request was not answered by all servers it was delivered to.
    Unanswered {
        /// The request.
        id: MessageId,
        /// How many answered.
        answers: usize,
        /// How many were asked.
        servers: usize,
        /// Why nobody waits any longer.
        because: GaveUp,
    },
    /// All held messages were checked again and are intact.
    HeldVerified {
        /// How many.
        count: usize,
        /// What happened before.
        after: Occasion,
    },
    /// The program ends for a reason.
    Error {
        /// The error as iceoryx2 calls it, e.g. `ExceedsMaxSupportedClients`.
        name: Option<String>,
        /// The same for people.
        message: String,
    },
    /// The last line of a program that has started: all resources are released.
    Stopped {
        /// Why.
        reason: Reason,
        /// What the process exits with.
        exit_code: u8,
        /// Messages sent to at least one receiver.
        sent: u64,
        /// Messages received.
        received: u64,
        /// Requests without all their answers.
        unanswered: u64,
    },
}

/// Which of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// Sends requests.
    Client,
    /// Answers them.
    Server,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Why a client stopped to wait for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GaveUp {
    /// `--response-timeout` passed.
    Timeout,
    /// The servers that did not answer dropped the request.
    Disconnected,
}

/// When held messages are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// A later message arrived.
    Message,
    /// A peer came or went.
    Peers,
    /// The program is about to end.
    End,
}

/// Why a program stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// `--requests` is fulfilled.
    Done,
    /// SIGINT, SIGTERM or a closed output.
    Interrupted,
    /// An `error` came before.
    Failed,
}

fn plural(count: usize, noun: impl fmt::Display) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

impl Event {
    /// The line for people, `None` for what only machines want to know.
    fn text(&self) -> Option<String> {
        let line = match self {
            Self::Started {
                program,
                pid,
                service,
                iceoryx2,
                max_clients,
                max_servers,
                max_nodes,
            } => {
                format!(
                    "{program} {pid} uses service `{service}` (iceoryx2 {iceoryx2}; at most {}, {}, {})",
                    plural(*max_clients, "client"),
                    plural(*max_servers, "server"),
                    plural(*max_nodes, "node"),
                )
            }
            // On the error output.
            Self::Warning { .. } | Self::Error { .. } => return None,
            Self::PortCreated { initial_max_slice_len, allocation_strategy, .. } => {
                let room = plural(*initial_max_slice_len, "byte");
                match allocation_strategy {
                    Strategy::Static => format!("has room for messages of {room}, never grows"),
                    Strategy::BestFit => {
                        format!("has room for messages of {room}, grows as needed")
                    }
                    Strategy::PowerOfTwo => {
                        format!("has room for messages of {room}, grows to powers of two")
                    }
                }
            }
            Self::Peers { of, count: 0 } => format!("no {of} there, waiting for one"),
            Self::Peers { of, count } => format!("{} there", plural(*count, of)),
            Self::Loaned { .. } => return None,
            Self::Sent { bytes, number_of_servers: Some(0), .. } => {
                format!(
                    "sent {} to nobody, trying again until a server takes it",
                    plural(*bytes, "byte")
                )
            }
            Self::Sent { bytes, number_of_servers: Some(servers @ 2..), .. } => {
                format!("sent {} to {servers} servers", plural(*bytes, "byte"))
            }
            Self::Sent { bytes, .. } => format!("sent {}", plural(*bytes, "byte")),
            Self::Received { bytes, integrity: Integrity::Ok, .. } => {
                format!("received {} (ok)", plural(*bytes, "byte"))
            }
            Self::Received { bytes, integrity: Integrity::Broken(_), .. } => {
                format!("received {} (BROKEN)", plural(*bytes, "byte"))
            }
            Self::Unanswered { answers, servers, because, .. } => format!(
                "{answers} of {} answered, {}",
                plural(*servers, "server"),
                match because {
                    GaveUp::Timeout => "no longer waiting",
                    GaveUp::Disconnected => "the others are gone",
                }
            ),
            Self::HeldVerified { after: Occasion::Message, .. } => return None,
            Self::HeldVerified { count, .. } => {
                format!("checked {} again (ok)", plural(*count, "held message"))
            }
            Self::Stopped { reason, sent, received, unanswered, .. } => format!(
                "{}: sent {sent}, received {received}{}",
                match reason {
                    Reason::Done => "done",
                    Reason::Interrupted => "interrupted",
                    Reason::Failed => "failed",
                },
                if *unanswered > 0 {
                    format!(", {unanswered} not fully answered")
                } else {
                    String::new()
                }
            ),
        };
        Some(line)
    }
}

/// Prints events and counts them.
#[derive(Debug)]
pub struct Reporter {
    format: Format,
    has_started: bool,
    sent: u64,
    received: u64,
    unanswered: u64,
}

impl Reporter {
    /// A reporter that has not printed anything yet.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, has_started: false, sent: 0, received: 0, unanswered: 0 }
    }

    /// Prints one event on standard output and flushes it; warnings and errors also go
    /// to standard error.
    ///
    /// # Errors
    /// [`Failure::Output`] if nobody reads the output any more.
    pub fn emit(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Started { .. } => self.has_started = true,
            Event::Sent { number_of_servers, .. } if *number_of_servers != Some(0) => {
                self.sent += 1
            }
            Event::Received { .. } => self.received += 1,
            Event::Unanswered { .. } => self.unanswered += 1,
            Event::Warning { message } => eprintln!("warning: {message}"),
            Event::Error { message, .. } => eprintln!("error: {message}"),
            _ => {}
        }
        let line = match self.format {
            Format::Json => Some(serde_json::to_string(event).map_err(io::Error::from)?),
            Format::Text => event.text(),
        };
        if let Some(line) = line {
            let mut out = io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
        }
        Ok(())
    }

    /// Prints how a program ended and returns its exit code.
    pub fn conclude(&mut self, outcome: Result<(), Failure>) -> ExitCode {
        let (reason, code) = match &outcome {
            Ok(()) => (Reason::Done, ExitCode::Success),
            Err(failure) => match failure.exit_code() {
                ExitCode::Interrupted => (Reason::Interrupted, ExitCode::Interrupted),
                code => (Reason::Failed, code),
            },
        };
        let mut lines = Vec::new();
        if let (Err(failure), Reason::Failed) = (&outcome, reason) {
            lines.push(Event::Error { name: failure.name(), message: failure.to_string() });
        }
        let Self { sent, received, unanswered, .. } = *self;
        if self.has_started {
            lines.push(Event::Stopped {
                reason,
                exit_code: code.number(),
                sent,
                received,
                unanswered,
            });
        }
        for line in lines {
            // Who closed the output cannot be told so.
            let _ = self.emit(&line);
        }
        code
    }
}
