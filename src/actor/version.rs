//! Everything that differs between releases of iceoryx2, chosen at build time.
//!
//! Code elsewhere compiles unchanged with any release that `Cargo.toml` admits;
//! `build.rs` finds out which one it is.

use iceoryx2::{
    prelude::*,
    service::header::request_response::{RequestHeader, ResponseHeader},
};

use super::PortId;

/// Version of the iceoryx2 this crate is compiled against.
pub const IOX2_VERSION: &str = env!("GAUNTLET_IOX2_VERSION");

/// Where that iceoryx2 comes from: a registry, a git revision or a path.
pub const IOX2_SOURCE: &str = env!("GAUNTLET_IOX2_SOURCE");

/// [`IOX2_VERSION`], comparable.
///
/// ```
/// use iox2_gauntlet::actor::version;
///
/// assert_eq!(version::iceoryx2_version().to_string(), version::IOX2_VERSION);
/// ```
#[must_use]
pub fn iceoryx2_version() -> semver::Version {
    semver::Version::parse(IOX2_VERSION).unwrap_or(semver::Version::new(0, 0, 0))
}

/// The error of opening a service with another request type.
pub const INCOMPATIBLE_REQUEST_TYPE: &str = if cfg!(iox2_at_least_0_10) {
    "IncompatibleRequestOrResponseType"
} else {
    "IncompatibleRequestType"
};

/// The error of opening a service with another response type.
pub const INCOMPATIBLE_RESPONSE_TYPE: &str = if cfg!(iox2_at_least_0_10) {
    "IncompatibleRequestOrResponseType"
} else {
    "IncompatibleResponseType"
};

/// Request service with user headers.
pub type Factory<S, Req = [u8], Res = [u8]> =
    iceoryx2::service::port_factory::request_response::PortFactory<S, Req, u64, Res, u64>;

pub(super) type Client<S> = iceoryx2::port::client::Client<S, [u8], u64, [u8], u64>;
pub(super) type Server<S> = iceoryx2::port::server::Server<S, [u8], u64, [u8], u64>;
pub(super) type RequestMut<S> = iceoryx2::request_mut::RequestMut<S, [u8], u64, [u8], u64>;
pub(super) type PendingResponse<S> =
    iceoryx2::pending_response::PendingResponse<S, [u8], u64, [u8], u64>;
pub(super) type ActiveRequest<S> = iceoryx2::active_request::ActiveRequest<S, [u8], u64, [u8], u64>;
pub(super) type ResponseMut<S> = iceoryx2::response_mut::ResponseMut<S, [u8], u64>;
pub(super) type Response<S> = iceoryx2::response::Response<S, [u8], u64>;

pub(super) fn client_id<S: Service>(client: &Client<S>) -> PortId {
    PortId(client.id().value())
}

pub(super) fn server_id<S: Service>(server: &Server<S>) -> PortId {
    PortId(server.id().value())
}

/// The number of elements of a request as its header announces it.
#[must_use]
pub fn announced_request_len(header: &RequestHeader) -> u64 {
    header.number_of_elements()
}

/// The number of elements of a response as its header announces it.
#[must_use]
pub fn announced_response_len(header: &ResponseHeader) -> u64 {
    header.number_of_elements()
}

macro_rules! backpressure {
    ($builder:expr, $strategy:expr) => {{
        #[cfg(iox2_at_least_0_9)]
        let builder = $builder.backpressure_strategy(match $strategy {
            $crate::scenario::Backpressure::RetryUntilDelivered => {
                iceoryx2::prelude::BackpressureStrategy::RetryUntilDelivered
            }
            $crate::scenario::Backpressure::DiscardData => {
                iceoryx2::prelude::BackpressureStrategy::DiscardData
            }
        });
        #[cfg(not(iox2_at_least_0_9))]
        let builder = $builder.unable_to_deliver_strategy(match $strategy {
            $crate::scenario::Backpressure::RetryUntilDelivered => {
                iceoryx2::prelude::UnableToDeliverStrategy::Block
            }
            $crate::scenario::Backpressure::DiscardData => {
                iceoryx2::prelude::UnableToDeliverStrategy::DiscardSample
            }
        });
        builder
    }};
}
pub(super) use backpressure;
