//! One integration binary, one module per topic.

#![allow(clippy::unwrap_used, reason = "clippy exempts test functions, but not what they share")]

mod across_processes;
mod config_files;
mod example_programs;
mod teeth;
