//! Exit codes of `gauntlet`.

use std::process::ExitCode;

/// What a command's exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All promises kept, or broken as known.
    Green = 0,
    /// A promise is broken, or a quirk is gone.
    Broken = 1,
    /// Bad usage or a bad input file.
    Usage = 2,
    /// The harness itself failed, or nothing was exercised.
    Harness = 3,
    /// The candidate does not build.
    BuildFailed = 4,
    /// SIGINT or SIGTERM ended the run; everything was cleaned up.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
