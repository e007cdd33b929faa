//! Commands, one file each.

mod clean;
mod config;
mod gate;
mod hunt;
mod languages;
mod list;
mod matrix;
mod mixed;
mod print;
mod replay;
mod run;
mod shrink;
mod trial;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use iox2_gauntlet::{
    actor::{HostError, child::Executable, sabotage::Sabotage, serve, version},
    exit::Exit,
    gate::{BuildError, GateError, ReleaseError, judge},
    sandbox,
    scenario::file::ScenarioFileError,
};

/// Judges a release of iceoryx2: does its request-response pattern with dynamic data
/// keep its promises?
#[derive(Debug, Parser)]
#[command(
    name = "gauntlet",
    version = concat!(env!("CARGO_PKG_VERSION"), ", compiled against iceoryx2 ", env!("GAUNTLET_IOX2_VERSION")),
    after_help = "Exit codes:\n  \
        0    all promises kept, or broken as known\n  \
        1    a promise broken, or a known quirk gone\n  \
        2    bad usage or bad input file\n  \
        3    the harness itself failed, or nothing was exercised\n  \
        4    a release does not exist or does not build\n  \
        130  interrupted",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge the iceoryx2 this was compiled against (the default)
    Run(run::RunArguments),
    /// Measure how soon generated scenarios find each known quirk
    Hunt(hunt::HuntArguments),
    /// Show promises, quirks and fixtures
    List(list::ListArguments),
    /// Run saved scenarios; one line each, KEPT or BROKEN
    Replay(replay::ReplayArguments),
    /// Find a smaller scenario that breaks the same promise
    Shrink(shrink::ShrinkArguments),
    /// Check config files against this iceoryx2, which silently ignores unknown keys
    Config(config::ConfigArguments),
    /// Say what changes from one release of iceoryx2 to another
    Gate(gate::GateArguments),
    /// Judge scenarios of which every other participant is in Python
    Languages(languages::LanguagesArguments),
    /// Show promises and quirks of many releases side by side
    Matrix(matrix::MatrixArguments),
    /// Show what releases do to each other on one machine, as in a rolling upgrade
    Mixed(mixed::MixedArguments),
    /// Remove what dead runs left behind
    Clean,
    /// Say what the iceoryx2 this was compiled against is like, as JSON
    #[command(hide = true)]
    Facts {
        /// A config file of which keys without effect are to be listed
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Measure times instead
        #[arg(long)]
        timings: bool,
    },
    /// Judge scenarios for a parent process
    #[command(hide = true)]
    Judge {
        /// Break a promise on purpose
        #[arg(long, value_parser = sabotage)]
        sabotage: Option<&'static Sabotage>,
    },
    /// Execute scenarios for a parent process
    #[command(hide = true)]
    Serve {
        /// Break a promise on purpose
        #[arg(long, value_parser = sabotage)]
        sabotage: Option<&'static Sabotage>,
    },
}

/// Output for people or for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Arguments {
    /// Runs the command.
    pub fn execute(self) -> Exit {
        let done = match self.command.unwrap_or(Command::Run(self.run)) {
            Command::Run(arguments) => run::run(&arguments),
            Command::Hunt(arguments) => hunt::run(&arguments),
            Command::List(arguments) => list::list(&arguments),
            Command::Replay(arguments) => replay::replay(&arguments),
            Command::Shrink(arguments) => shrink::shrink(&arguments),
            Command::Config(arguments) => config::config(&arguments),
            Command::Gate(arguments) => gate::gate(&arguments),
            Command::Languages(arguments) => languages::languages(&arguments),
            Command::Matrix(arguments) => matrix::matrix(&arguments),
            Command::Mixed(arguments) => mixed::mixed(&arguments),
            Command::Clean => clean::clean(),
            Command::Facts { config, timings } => gate::facts(config.as_deref(), timings),
            Command::Judge { sabotage } => this_executable().and_then(|this| {
                let this =
                    sabotage.map_or_else(|| this.clone(), |sabotage| this.sabotaged(sabotage));
                judge::serve(this).context("judge for a parent process")?;
                Ok(Exit::Green)
            }),
            Command::Serve { sabotage } => {
                serve::serve(sabotage).map(|()| Exit::Green).context("serve a parent process")
            }
        };
        done.unwrap_or_else(|error| {
            if let Some(HostError::Interrupted) = error.downcast_ref() {
                return Exit::Interrupted;
            }
            if let Some(GateError::Host(HostError::Interrupted)) = error.downcast_ref() {
                return Exit::Interrupted;
            }
            eprintln!("gauntlet: {}", explain(&error));
            if let Some(GateError::Build(build)) = error.downcast_ref() {
                return of_build(build);
            }
            if error.downcast_ref::<ReleaseError>().is_some() {
                return Exit::Usage;
            }
            if error.downcast_ref::<ScenarioFileError>().is_some() {
                Exit::Usage
            } else {
                Exit::Harness
            }
        })
    }
}

fn of_build(error: &BuildError) -> Exit {
    match error {
        BuildError::Resolve { .. } | BuildError::Compile { .. } => Exit::BuildFailed,
        BuildError::Interrupted => Exit::Interrupted,
        BuildError::NoSuite(_) => Exit::Usage,
        BuildError::Io { .. } | BuildError::Parse { .. } => Exit::Harness,
    }
}

/// The error and what caused it; the library's errors quote their cause themselves.
fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// As many workers as are wanted, or else one for each core, if there is room for their scenarios.
fn workers(wanted: Option<usize>) -> anyhow::Result<usize> {
    let workers = match wanted {
        Some(wanted) => wanted,
        None => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            cores.min(sandbox::room::scenarios()?)
        }
    };
    Ok(workers.max(1))
}

/// This executable, to serve as child process.
fn this_executable() -> anyhow::Result<Executable> {
    Ok(Executable::gauntlet(std::env::current_exe().context("find this executable")?))
}

/// Set by SIGINT or SIGTERM; a second signal ends the process at once.
fn interruption() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register_conditional_shutdown(
            *signal,
            Exit::Interrupted as i32,
            Arc::clone(&flag),
        )
        .and_then(|_| signal_hook::flag::register(*signal, Arc::clone(&flag)))
        .with_context(|| format!("install a handler for signal {signal}"))?;
    }
    Ok(flag)
}

fn sabotage(id: &str) -> Result<&'static Sabotage, String> {
    Sabotage::named(id).ok_or_else(|| format!("no sabotage is called `{id}`"))
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// The headline of every command's output.
fn subject() -> String {
    format!("iceoryx2 {} from {}", version::IOX2_VERSION, version::IOX2_SOURCE)
}
