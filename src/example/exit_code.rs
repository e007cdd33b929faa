//! How the example programs end.

/// What the exit status of `client` and `server` means.
///
/// A panic of iceoryx2 is not caught: it shows as 101, or 134 (SIGABRT) if it cannot
/// unwind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All that was asked for is done and every byte was right.
    Success = 0,
    /// A payload or a header was not what its sender wrote.
    Integrity = 1,
    /// Bad flags or a bad config file.
    Usage = 2,
    /// The service has no room for a further client, server or node.
    Limit = 3,
    /// iceoryx2 refused to loan memory of the requested size.
    LoanRefused = 4,
    /// Anything else that iceoryx2 refused.
    Iceoryx2 = 5,
    /// Ended from outside, after everything was released: by SIGINT or SIGTERM (one
    /// code for both, iceoryx2 does not tell them apart) or because nobody reads the
    /// output any more.
    Interrupted = 130,
}

impl ExitCode {
    /// The number the process exits with.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}

/// [`ExitCode`] for `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0    done, every byte was right
  1    a payload or header was not what its sender wrote
  2    bad flags or a bad config file
  3    no room for a further client, server or node
  4    iceoryx2 refused to loan memory of the requested size
  5    iceoryx2 refused something else
  130  ended by Ctrl+C or SIGTERM, everything released
  101  iceoryx2 panicked; 134: it aborted

iceoryx2's own log is limited to errors unless IOX2_LOG_LEVEL is set.";
