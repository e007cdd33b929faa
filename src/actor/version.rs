//! Everything that differs between releases of iceoryx2, chosen at build time.
//!
//! Code elsewhere compiles unchanged with any release that `Cargo.toml` admits;
//! `build.rs` finds out which one it is.

use std::fmt::Debug;

use iceoryx2::{
    node::NodeState,
    prelude::*,
    service::{
        dynamic_config::request_response::{ClientDetails, ServerDetails},
        header::request_response::{RequestHeader, ResponseHeader},
    },
};

use super::{ListedPort, Observation, PortId, message::Payload};
use crate::scenario::{Backpressure, CleanUp, Scenario, Step};

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

/// What a message may be made of.
#[cfg(iox2_at_least_0_10)]
pub use iceoryx2::prelude::IceoryxSend as Sendable;
/// What a message may be made of.
#[cfg(not(iox2_at_least_0_10))]
pub use iceoryx2::prelude::ZeroCopySend as Sendable;

/// The user header of messages with such a payload.
type Header<P> = <P as Payload>::Header;

/// Request-response service with user headers.
pub type Factory<S, Req = [u8], Res = [u8]> =
    iceoryx2::service::port_factory::request_response::PortFactory<
        S,
        Req,
        Header<Req>,
        Res,
        Header<Res>,
    >;

pub(super) type Builder<S, Req, Res> =
    iceoryx2::service::builder::request_response::Builder<Req, Header<Req>, Res, Header<Res>, S>;
pub(super) type ClientBuilder<'a, S, Req, Res> =
    iceoryx2::service::port_factory::client::PortFactoryClient<
        'a,
        S,
        Req,
        Header<Req>,
        Res,
        Header<Res>,
    >;
pub(super) type ServerBuilder<'a, S, Req, Res> =
    iceoryx2::service::port_factory::server::PortFactoryServer<
        'a,
        S,
        Req,
        Header<Req>,
        Res,
        Header<Res>,
    >;
pub(super) type Client<S, Req, Res> =
    iceoryx2::port::client::Client<S, Req, Header<Req>, Res, Header<Res>>;
pub(super) type Server<S, Req, Res> =
    iceoryx2::port::server::Server<S, Req, Header<Req>, Res, Header<Res>>;
pub(super) type RequestMut<S, Req, Res> =
    iceoryx2::request_mut::RequestMut<S, Req, Header<Req>, Res, Header<Res>>;
pub(super) type PendingResponse<S, Req, Res> =
    iceoryx2::pending_response::PendingResponse<S, Req, Header<Req>, Res, Header<Res>>;
pub(super) type ActiveRequest<S, Req, Res> =
    iceoryx2::active_request::ActiveRequest<S, Req, Header<Req>, Res, Header<Res>>;
pub(super) type ResponseMut<S, Res> = iceoryx2::response_mut::ResponseMut<S, Res, Header<Res>>;
pub(super) type Response<S, Res> = iceoryx2::response::Response<S, Res, Header<Res>>;

pub(super) fn client_id<S, Req, Res>(client: &Client<S, Req, Res>) -> PortId
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
{
    PortId(client.id().value())
}

pub(super) fn server_id<S, Req, Res>(server: &Server<S, Req, Res>) -> PortId
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
{
    PortId(server.id().value())
}

/// A client as the service lists it.
pub(super) fn listed_client(details: &ClientDetails) -> ListedPort {
    #[cfg(iox2_at_least_0_10)]
    let active = Some(details.max_active_requests);
    #[cfg(not(iox2_at_least_0_10))]
    let active = None;
    ListedPort {
        id: PortId(details.client_id.value()),
        longest: details.max_slice_len,
        is_dynamic: is_dynamic(&details.data_segment_type),
        active,
    }
}

/// A server as the service lists it.
pub(super) fn listed_server(details: &ServerDetails) -> ListedPort {
    ListedPort {
        id: PortId(details.server_id.value()),
        longest: details.max_slice_len,
        is_dynamic: is_dynamic(&details.data_segment_type),
        active: None,
    }
}

/// The type itself has no public name.
fn is_dynamic(data_segment: &impl Debug) -> bool {
    format!("{data_segment:?}") == "Dynamic"
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
            $crate::scenario::Backpressure::DiscardData
            | $crate::scenario::Backpressure::DiscardDataAndFail => {
                iceoryx2::prelude::BackpressureStrategy::DiscardData
            }
        });
        #[cfg(not(iox2_at_least_0_9))]
        let builder = $builder.unable_to_deliver_strategy(match $strategy {
            $crate::scenario::Backpressure::RetryUntilDelivered => {
                iceoryx2::prelude::UnableToDeliverStrategy::Block
            }
            $crate::scenario::Backpressure::DiscardData
            | $crate::scenario::Backpressure::DiscardDataAndFail => {
                iceoryx2::prelude::UnableToDeliverStrategy::DiscardSample
            }
        });
        builder
    }};
}
pub(super) use backpressure;

/// Whether a port may have a handler that decides what a full buffer makes of a send.
pub const HAS_BACKPRESSURE_HANDLERS: bool = cfg!(iox2_at_least_0_9);

/// What a handler makes of a full buffer: the delivery is retried some times and fails.
#[cfg(iox2_at_least_0_9)]
pub(super) fn retry_and_fail(
    info: &iceoryx2::port::BackpressureInfo,
) -> iceoryx2::port::BackpressureAction {
    const RETRIES: u64 = 3;
    if info.retries < RETRIES {
        iceoryx2::port::BackpressureAction::Retry
    } else {
        iceoryx2::port::BackpressureAction::DiscardDataAndFail
    }
}

/// The handler that goes with what to do when a buffer is full, if one does.
macro_rules! backpressure_handler {
    ($builder:expr, $backpressure:expr) => {{
        #[cfg(iox2_at_least_0_9)]
        let builder = match $backpressure.fails() {
            true => $builder.set_backpressure_handler($crate::actor::version::retry_and_fail),
            false => $builder,
        };
        #[cfg(not(iox2_at_least_0_9))]
        let builder = $builder;
        builder
    }};
}
pub(super) use backpressure_handler;

/// What a port says of its strategy for full buffers.
macro_rules! reported_backpressure {
    ($port:expr) => {{
        #[cfg(iox2_at_least_0_9)]
        let discards =
            $port.backpressure_strategy() == iceoryx2::prelude::BackpressureStrategy::DiscardData;
        #[cfg(not(iox2_at_least_0_9))]
        let discards = $port.unable_to_deliver_strategy()
            == iceoryx2::prelude::UnableToDeliverStrategy::DiscardSample;
        if discards {
            $crate::scenario::Backpressure::DiscardData
        } else {
            $crate::scenario::Backpressure::RetryUntilDelivered
        }
    }};
}
pub(super) use reported_backpressure;

/// What a client says of its limit of active requests, where it says something.
macro_rules! reported_active_requests {
    ($client:expr) => {{
        #[cfg(iox2_at_least_0_10)]
        let limit = Some($client.max_active_requests());
        #[cfg(not(iox2_at_least_0_10))]
        let limit: Option<usize> = None;
        limit
    }};
}
pub(super) use reported_active_requests;

/// Fewer preallocated chunks than the worst case needs, at least one, or twice as many.
macro_rules! preallocate {
    ($builder:expr, $method:ident, $chunks:expr) => {{
        let builder = $builder;
        #[cfg(iox2_at_least_0_9)]
        let builder = match $chunks {
            // More than any machine has: what is clamped makes no difference.
            Some($crate::scenario::MORE_THAN_NEEDED..) => builder.$method(|_| usize::MAX),
            Some(chunks) => builder.$method(move |worst: usize| chunks.min(worst)),
            None => builder,
        };
        #[cfg(not(iox2_at_least_0_9))]
        let _: Option<usize> = $chunks;
        builder
    }};
}
pub(super) use preallocate;

/// A client's own limit of active requests.
macro_rules! own_active_requests {
    ($builder:expr, $limit:expr) => {{
        let builder = $builder;
        #[cfg(iox2_at_least_0_10)]
        let builder = match $limit {
            Some(limit) => builder.max_active_requests(limit),
            None => builder,
        };
        #[cfg(not(iox2_at_least_0_10))]
        let _: Option<usize> = $limit;
        builder
    }};
}
pub(super) use own_active_requests;

/// Whether `Node::state_of` says of a node that is listed what the list says, where the release
/// has that.
///
/// # Errors
/// The error as `Debug` prints it.
#[cfg(iox2_at_least_0_10)]
pub fn state_of_agrees<S: Service>(config: &Config, listed: &NodeState<S>) -> Result<bool, String> {
    let stated = Node::<S>::state_of(config, *listed.node_id()).map_err(|e| format!("{e:?}"))?;
    let is_same = |stated: NodeState<S>| {
        stated.node_id() == listed.node_id()
            && std::mem::discriminant(&stated) == std::mem::discriminant(listed)
    };
    Ok(stated.is_some_and(is_same))
}

/// There is no `Node::state_of` that could say something else.
///
/// # Errors
/// None.
#[cfg(not(iox2_at_least_0_10))]
pub fn state_of_agrees<S: Service>(_: &Config, _: &NodeState<S>) -> Result<bool, String> {
    Ok(true)
}

/// Looks for dead nodes in the domain and cleans up after them, through the node of somebody
/// who is alive.
///
/// # Errors
/// If the nodes cannot be listed: the error as `Debug` prints it.
pub(super) fn clean_up<S: Service>(node: &Node<S>, config: &Config) -> Result<Observation, String> {
    let dead = dead_nodes::<S>(config)?;
    #[cfg(iox2_at_least_0_10)]
    let report = node.try_cleanup_dead_nodes();
    #[cfg(all(iox2_at_least_0_9, not(iox2_at_least_0_10)))]
    let report = Node::<S>::try_cleanup_dead_nodes(config);
    #[cfg(not(iox2_at_least_0_9))]
    let report = Node::<S>::cleanup_dead_nodes(config);
    // It is asked in newer releases only.
    let _ = node;
    // `u64` in some releases, `usize` in others.
    #[allow(clippy::useless_conversion)]
    let count = |n| usize::try_from(n).unwrap_or(usize::MAX);
    let (cleaned, failed) = (count(report.cleanups), count(report.failed_cleanups));
    Ok(Observation::CleanedUp { dead, cleaned, failed, left: dead_nodes::<S>(config)? })
}

fn dead_nodes<S: Service>(config: &Config) -> Result<usize, String> {
    let mut dead = 0;
    Node::<S>::list(config, |node| {
        dead += usize::from(matches!(node, NodeState::Dead(_)));
        CallbackProgression::Continue
    })
    .map_err(|error| format!("{error:?}"))?;
    Ok(dead)
}

/// How the config keys of what a full buffer does end: `client-` or `server-` and this.
pub const BACKPRESSURE_KEY: &str =
    if cfg!(iox2_at_least_0_9) { "backpressure-strategy" } else { "unable-to-deliver-strategy" };

/// What stands behind [`BACKPRESSURE_KEY`].
#[must_use]
pub fn backpressure_value(strategy: Backpressure) -> &'static str {
    let waits = strategy == Backpressure::RetryUntilDelivered;
    match (waits, cfg!(iox2_at_least_0_9)) {
        (true, true) => "RetryUntilDelivered",
        (true, false) => "Block",
        (false, true) => "DiscardData",
        (false, false) => "DiscardSample",
    }
}

/// Whether a config file can set the allocation strategies of clients and servers.
pub const HAS_STRATEGY_KEYS: bool = cfg!(iox2_at_least_0_9);

/// Whether a config file can let iceoryx2 clean up after the dead when a service is opened.
pub const HAS_CLEAN_UP_ON_OPEN: bool = cfg!(iox2_at_least_0_9);

/// Whether the number of preallocated chunks can be reduced.
pub const HAS_PREALLOCATION: bool = cfg!(iox2_at_least_0_9);

/// Whether a client can have a limit of active requests of its own.
pub const HAS_OWN_ACTIVE_REQUESTS: bool = cfg!(iox2_at_least_0_10);

/// What a scenario needs and this release of iceoryx2 does not have.
///
/// ```
/// use iox2_gauntlet::{actor::version, scenario::{Backpressure, Scenario, Step, Strategy}};
/// use semver::Version;
///
/// let mut create = Step::create_client(0, Strategy::Static, 8);
/// let plain = Scenario::of_steps(vec![create.clone()]);
/// assert_eq!(version::lacks(&Version::new(0, 9, 3), &plain), None);
/// if let Step::CreateClient { active, .. } = &mut create {
///     *active = Some(1);
/// }
/// let limited = Scenario::of_steps(vec![create]);
/// assert!(version::lacks(&Version::new(0, 9, 3), &limited).is_some());
/// assert_eq!(version::lacks(&Version::new(0, 10, 0), &limited), None);
///
/// let mut by_key = plain;
/// by_key.service.server_allocation_strategy = Some(Strategy::BestFit);
/// assert!(version::lacks(&Version::new(0, 8, 1), &by_key).is_some());
///
/// let mut handled = Scenario::of_steps(Vec::new());
/// handled.service.client_backpressure = Backpressure::DiscardDataAndFail;
/// assert!(version::lacks(&Version::new(0, 8, 1), &handled).is_some());
/// assert_eq!(version::lacks(&Version::new(0, 9, 3), &handled), None);
/// ```
#[must_use]
pub fn lacks(version: &semver::Version, scenario: &Scenario) -> Option<&'static str> {
    let has = |minor: u64| (version.major, version.minor) >= (0, minor);
    let lacks = |step: &Step| match step {
        Step::CreateClient { active: Some(_), .. } if !has(10) => {
            Some("max_active_requests of a client")
        }
        Step::CreateClient { preallocate: Some(_), .. }
        | Step::CreateServer { preallocate: Some(_), .. }
            if !has(9) =>
        {
            Some("override_*_preallocation")
        }
        _ => None,
    };
    let service = &scenario.service;
    let handlers = [service.client_backpressure, service.server_backpressure];
    if handlers.contains(&Backpressure::DiscardDataAndFail) && !has(9) {
        return Some("set_backpressure_handler");
    }
    let by_key = service.client_allocation_strategy.or(service.server_allocation_strategy);
    if by_key.is_some() && !has(9) {
        return Some("client- and server-allocation-strategy in a config file");
    }
    if service.clean_up == CleanUp::OnOpen && !has(9) {
        return Some("cleanup-dead-nodes-on-open in a config file");
    }
    let repeated = scenario.repeat.iter().flat_map(|repeat| &repeat.steps);
    scenario.steps.iter().chain(repeated).find_map(lacks)
}
