//! The service variants of iceoryx2: where the objects of a scenario live.

use serde::{Deserialize, Serialize};

/// One of iceoryx2's service variants.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
    strum::EnumString,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Variant {
    /// `ipc::Service`: shared memory, ports that stay in their thread.
    #[default]
    Ipc,
    /// `ipc_threadsafe::Service`: shared memory, ports that threads may share.
    IpcThreadsafe,
    /// `local::Service`: the memory of this process, ports that stay in their thread.
    Local,
    /// `local_threadsafe::Service`: the memory of this process, ports that threads may share.
    LocalThreadsafe,
}

impl Variant {
    /// Whether other processes can reach its objects.
    #[must_use]
    pub fn crosses_processes(self) -> bool {
        matches!(self, Self::Ipc | Self::IpcThreadsafe)
    }

    /// Whether threads may share its objects.
    #[must_use]
    pub fn is_threadsafe(self) -> bool {
        matches!(self, Self::IpcThreadsafe | Self::LocalThreadsafe)
    }
}
