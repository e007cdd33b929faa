//! How a message is received, and what its receiver sees of it.

use iceoryx2::prelude::*;

use super::{
    PortId, Received,
    element::Header as _,
    message::{Payload, is_misaligned},
    version,
};
use crate::{payload, scenario::Settings};

/// A message and what it looks like, or `None` if there is none; or why not, as `Debug` prints
/// it.
type Arrived<T> = Result<Option<(T, Received)>, String>;

/// What its receiver sees of a message. Requests and responses have the same methods and no
/// trait in common.
macro_rules! received {
    ($object:expr, $read:expr, $alignment:expr, $sender:ident, $announced:path) => {{
        let payload = $read(&$object);
        let header = $object.user_header().unseal();
        Received {
            header,
            len: payload.elements(),
            mismatch: header.and_then(|id| payload::check(id, payload.bytes()).err()),
            misaligned: is_misaligned(payload, $alignment),
            origin: PortId($object.origin().value()),
            header_origin: PortId($object.header().$sender().value()),
            elements: $announced($object.header()),
        }
    }};
}

/// `Server::receive`.
pub(super) fn request<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized>(
    server: &version::Server<S, Req, Res>,
    settings: &Settings,
) -> Arrived<version::ActiveRequest<S, Req, Res>> {
    let Some(object) = Req::receive_request(server)? else { return Ok(None) };
    let (read, alignment) = (Req::received_request, settings.request_payload_alignment);
    let received = received!(object, read, alignment, client_id, version::announced_request_len);
    Ok(Some((object, received)))
}

/// `PendingResponse::receive`.
pub(super) fn response<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized>(
    pending: &version::PendingResponse<S, Req, Res>,
    settings: &Settings,
) -> Arrived<version::Response<S, Res>> {
    let Some(object) = Res::receive_response(pending)? else { return Ok(None) };
    let (read, alignment) = (Res::received_response, settings.response_payload_alignment);
    let received = received!(object, read, alignment, server_id, version::announced_response_len);
    Ok(Some((object, received)))
}
