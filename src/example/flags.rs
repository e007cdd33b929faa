//! The command lines of `client` and `server`.

use std::{fmt, path::PathBuf, time::Duration};

use clap::{Args, Parser, ValueEnum};
use iceoryx2::prelude::AllocationStrategy;
use serde::{Deserialize, Serialize};

use super::{exit_code, sizes::SizeSchedule};

/// What `--version` prints.
const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (iceoryx2 ", env!("GAUNTLET_IOX2_VERSION"), ")");

/// `client`
#[derive(Debug, Clone, Parser)]
#[command(
    name = "client",
    version = VERSION,
    about = "Sends requests of growing size to all servers and prints what they answer",
    after_help = exit_code::HELP
)]
pub struct ClientFlags {
    /// What both programs take.
    #[command(flatten)]
    pub common: CommonFlags,

    /// Exit after N requests that reached a server and were answered or given up;
    /// otherwise run until Ctrl+C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,

    /// Time between two requests; `0s`: as fast as possible.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub cycle_time: Duration,

    /// How long to wait for the answers to one request.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub response_timeout: Duration,

    /// Keep the last N responses and check them again after every later message, when
    /// the number of servers changes, and at the end.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub hold: usize,
}

/// `server`
#[derive(Debug, Clone, Parser)]
#[command(
    name = "server",
    version = VERSION,
    about = "Answers every request with data of growing size and prints what it received",
    after_help = exit_code::HELP
)]
pub struct ServerFlags {
    /// What both programs take.
    #[command(flatten)]
    pub common: CommonFlags,

    /// Exit after N answered requests; otherwise run until Ctrl+C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,

    /// Time between two looks for requests; `0s`: as fast as possible.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = humantime::parse_duration)]
    pub cycle_time: Duration,

    /// Keep the last N requests and check them again after every later message, when
    /// the number of clients changes, and at the end. Smaller than the service's
    /// `max-active-requests-per-client`.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub hold: usize,

    /// With --requests: how long to stay for the last client to fetch its answer, which
    /// is lost with the memory of its sender otherwise. As long as a client waits by
    /// default.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub linger: Duration,
}

/// What both programs take.
#[derive(Debug, Clone, Args)]
pub struct CommonFlags {
    /// Name of the service; who uses the same name talks to each other.
    #[arg(long, value_name = "NAME", default_value = "gauntlet/example")]
    pub service: String,

    /// iceoryx2 config file; otherwise iceoryx2 looks for one itself
    /// (config/iceoryx2.toml, ~/.config, /etc) or takes its defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Bytes a message may have before the memory must grow.
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    pub initial_max_slice_len: usize,

    /// How the memory grows when a message does not fit.
    #[arg(long, value_enum, default_value_t = Strategy::PowerOfTwo)]
    pub allocation_strategy: Strategy,

    /// Bytes of the messages, in turn, e.g. `1,17,4096`; by default message n has n*n
    /// bytes, at most 1000000.
    #[arg(long, value_name = "LIST", value_parser = str::parse::<SizeSchedule>)]
    pub sizes: Option<SizeSchedule>,

    /// Chooses other message contents.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Flip one bit of the Nth message, to see that its reader notices.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub spoil: Option<u64>,

    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// iceoryx2's allocation strategies by their command-line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Never grow; larger messages are refused.
    Static,
    /// Grow to exactly what is needed.
    BestFit,
    /// Grow to the next power of two.
    PowerOfTwo,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "static",
            Self::BestFit => "best-fit",
            Self::PowerOfTwo => "power-of-two",
        })
    }
}

impl From<Strategy> for AllocationStrategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Static => Self::Static,
            Strategy::BestFit => Self::BestFit,
            Strategy::PowerOfTwo => Self::PowerOfTwo,
        }
    }
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}
