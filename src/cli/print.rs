//! What commands print for whoever called them.

use std::{
    fmt,
    io::{self, ErrorKind, Write as _},
};

use anyhow::Context as _;

/// Prints to stdout. Who reads no further has read enough: what is printed is not why a command
/// succeeds or fails.
pub(super) fn print(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    match io::stdout().lock().write_fmt(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("print"),
    }
}

/// Prints a line, or ends the function with the error.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::print::print(format_args!("{}\n", format_args!($($text)*)))?
    };
}

/// Prints what ends with a line, or ends the function with the error.
macro_rules! show {
    ($text:expr) => {
        $crate::cli::print::print(format_args!("{}", $text))?
    };
}

pub(super) use {say, show};
