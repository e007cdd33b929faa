//! Everything that calls iceoryx2.

pub mod config_file;
pub mod version;
