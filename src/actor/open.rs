//! How a participant gets hold of the service.

use iceoryx2::prelude::*;

use super::{
    element::{Element, Value},
    message::Payload,
    version,
};
use crate::scenario::{OpenMode, Requirement, Settings, SettingsVia};

/// A builder that can end: iceoryx2 implements that per kind of payload, not generically.
pub trait Obtain<S, Req, Res>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
{
    /// Ends as `how` says.
    ///
    /// # Errors
    /// The error as `Debug` prints it.
    fn obtain(self, how: OpenMode) -> Result<version::Factory<S, Req, Res>, String>;
}

/// Ends a builder as `how` says: what it returns, or the error as `Debug` prints it.
macro_rules! end {
    ($builder:expr, $how:expr) => {
        match $how {
            OpenMode::OpenOrCreate => $builder.open_or_create().map_err(|e| format!("{e:?}")),
            OpenMode::Create => $builder.create().map_err(|e| format!("{e:?}")),
            OpenMode::Open => $builder.open().map_err(|e| format!("{e:?}")),
        }
    };
}

pub(super) use end;

macro_rules! obtain {
    ($(($($element:ident),*) $request:ty => $response:ty;)*) => {
        $(impl<S, $($element),*> Obtain<S, $request, $response>
            for version::Builder<S, $request, $response>
        where
            S: Service,
            $($element: Element,)*
        {
            fn obtain(
                self,
                how: OpenMode,
            ) -> Result<version::Factory<S, $request, $response>, String> {
                end!(self, how)
            }
        })*
    };
}

obtain! {
    (A, B) [A] => [B];
    (A) [A] => Value;
    (B) Value => [B];
    () Value => Value;
}

/// The whole service with both payload types, as a builder that states nothing yet.
pub(super) fn service<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized>(
    node: &Node<S>,
    name: &ServiceName,
) -> version::Builder<S, Req, Res> {
    node.service_builder(name)
        .request_response::<Req, Res>()
        .request_user_header::<Req::Header>()
        .response_user_header::<Res::Header>()
}

/// Opens or creates the service with another payload type and closes it again: success would be
/// the broken promise. Each type comes with that of its user header, which is as it has to be.
macro_rules! obtain_as {
    ($node:expr, $name:expr, $how:expr, $request:ty: $of_request:ty, $response:ty: $of_response:ty) => {{
        let builder = $node
            .service_builder($name)
            .request_response::<$request, $response>()
            .request_user_header::<$of_request>()
            .response_user_header::<$of_response>();
        end!(builder, $how).map_or_else(|error| error, |_| "Obtained".to_owned())
    }};
}

pub(super) use obtain_as;

/// The builder with all settings of a service that is created.
pub(super) fn with_settings<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized>(
    builder: version::Builder<S, Req, Res>,
    s: &Settings,
) -> version::Builder<S, Req, Res> {
    let builder = match s.via {
        // These two have no key.
        SettingsVia::ConfigFile => builder,
        SettingsVia::Builder => builder
            .max_clients(s.max_clients)
            .max_servers(s.max_servers)
            .max_nodes(s.max_nodes)
            .max_active_requests_per_client(s.max_active_requests_per_client)
            .max_loaned_requests(s.max_loaned_requests)
            .max_response_buffer_size(s.max_response_buffer_size)
            .max_borrowed_responses_per_pending_response(
                s.max_borrowed_responses_per_pending_response,
            )
            .enable_safe_overflow_for_requests(s.enable_safe_overflow_for_requests)
            .enable_safe_overflow_for_responses(s.enable_safe_overflow_for_responses)
            .enable_fire_and_forget_requests(s.enable_fire_and_forget_requests),
    };
    let builder = match Alignment::new(s.request_payload_alignment) {
        Some(alignment) => builder.request_payload_alignment(alignment),
        None => builder,
    };
    match Alignment::new(s.response_payload_alignment) {
        Some(alignment) => builder.response_payload_alignment(alignment),
        None => builder,
    }
}

/// The builder with one requirement on an existing service.
pub(super) fn with_requirement<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized>(
    builder: version::Builder<S, Req, Res>,
    require: Requirement,
) -> version::Builder<S, Req, Res> {
    use Requirement as R;
    match require {
        R::MaxClients(n) => builder.max_clients(n),
        R::MaxServers(n) => builder.max_servers(n),
        R::MaxNodes(n) => builder.max_nodes(n),
        R::MaxActiveRequestsPerClient(n) => builder.max_active_requests_per_client(n),
        R::MaxLoanedRequests(n) => builder.max_loaned_requests(n),
        R::MaxResponseBufferSize(n) => builder.max_response_buffer_size(n),
        R::MaxBorrowedResponsesPerPendingResponse(n) => {
            builder.max_borrowed_responses_per_pending_response(n)
        }
        R::EnableSafeOverflowForRequests(on) => builder.enable_safe_overflow_for_requests(on),
        R::EnableSafeOverflowForResponses(on) => builder.enable_safe_overflow_for_responses(on),
        R::EnableFireAndForgetRequests(on) => builder.enable_fire_and_forget_requests(on),
        R::RequestPayloadAlignment(n) => match Alignment::new(n) {
            Some(alignment) => builder.request_payload_alignment(alignment),
            None => builder,
        },
        R::ResponsePayloadAlignment(n) => match Alignment::new(n) {
            Some(alignment) => builder.response_payload_alignment(alignment),
            None => builder,
        },
        R::RequestPayload(_) | R::ResponsePayload(_) => builder,
    }
}
