//! One integration binary, one module per topic.

mod across_processes;
mod config_files;
mod example_programs;
