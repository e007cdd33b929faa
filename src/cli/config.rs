//! `gauntlet config`.

use std::path::PathBuf;

use clap::Args;
use iox2_gauntlet::{actor::config_file, exit::Exit};

use super::print::say;

#[derive(Debug, Args)]
pub(super) struct ConfigArguments {
    /// iceoryx2 config files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Keys without effect are warnings: iceoryx2 takes the file.
pub(super) fn config(arguments: &ConfigArguments) -> anyhow::Result<Exit> {
    let mut exit = Exit::Green;
    for path in &arguments.files {
        match config_file::load(path) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    say!("{warning}");
                }
                if loaded.warnings.is_empty() {
                    say!("{}: every key has an effect", path.display());
                }
            }
            Err(error) => {
                eprintln!("gauntlet: {error}");
                exit = Exit::Usage;
            }
        }
    }
    Ok(exit)
}
