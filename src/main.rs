//! The `gauntlet` command line.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::Arguments::parse().execute().into()
}
