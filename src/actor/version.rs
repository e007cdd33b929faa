//! The iceoryx2 this crate is compiled against, and every place where releases
//! differ.
//!
//! Code elsewhere calls the functions below and compiles unchanged with any release
//! that `Cargo.toml` admits; `build.rs` finds out which one it is.

use iceoryx2::service::header::request_response::{RequestHeader, ResponseHeader};

// The lengths were methods of the headers until 0.10 moved them to a trait.
#[cfg(iox2_at_least_0_10)]
use iceoryx2::prelude::PayloadHeader;

/// The version of iceoryx2 in the lock file of this build.
pub const IOX2_VERSION: &str = env!("GAUNTLET_IOX2_VERSION");

/// [`IOX2_VERSION`], comparable.
///
/// ```
/// use iox2_gauntlet::actor::version;
///
/// assert_eq!(version::iceoryx2_version().to_string(), version::IOX2_VERSION);
/// ```
#[must_use]
pub fn iceoryx2_version() -> semver::Version {
    // The text was a `semver::Version` when build.rs printed it.
    semver::Version::parse(IOX2_VERSION).unwrap_or(semver::Version::new(0, 0, 0))
}

/// The number of bytes of a request as its header announces it.
#[must_use]
pub fn announced_request_len(header: &RequestHeader) -> u64 {
    header.number_of_elements()
}

/// The number of bytes of a response as its header announces it.
#[must_use]
pub fn announced_response_len(header: &ResponseHeader) -> u64 {
    header.number_of_elements()
}
