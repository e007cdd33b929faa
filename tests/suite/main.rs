//! One integration binary, one module per topic.

#![allow(clippy::unwrap_used, reason = "clippy exempts test functions, but not what they share")]

mod across_processes;
mod amid;
#[cfg(iox2_at_least_0_10)]
mod attributes;
#[cfg(iox2_at_least_0_9)]
mod backpressure;
mod campaign;
#[cfg(iox2_at_least_0_9)]
mod clean_up;
mod command_line;
mod concurrent;
mod config_files;
#[cfg(iox2_at_least_0_10)]
mod creation;
#[cfg(iox2_at_least_0_10)]
mod degradation;
mod example_programs;
mod gate;
mod growth;
mod hunt;
#[cfg(iox2_at_least_0_10)]
mod identity;
mod interrupted;
mod jury;
mod killed;
mod large;
mod many_growths;
mod overflowing;
mod overlap;
mod port_limits;
mod quirks;
mod returning;
mod shortage;
mod teeth;
mod values;
mod waiting;
