//! How a message is received, and what its receiver sees of it.

use iceoryx2::prelude::*;

use super::{
    PortId, Received,
    message::{Header as _, Payload, is_misaligned},
    version,
};
use crate::{
    payload::{self, MessageId},
    scenario::Settings,
};

/// A message and what it looks like, or `None` if there is none; or why not, as `Debug` prints
/// it.
type Arrived<T> = Result<Option<(T, Received)>, String>;

/// `Server::receive`.
pub(super) fn request<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized>(
    server: &version::Server<S, Req, Res>,
    settings: &Settings,
) -> Arrived<version::ActiveRequest<S, Req, Res>> {
    let Some(object) = Req::receive_request(server)? else { return Ok(None) };
    let payload = Req::received_request(&object);
    let header = object.user_header().unseal();
    let received = Received {
        header,
        len: payload.elements(),
        mismatch: mismatch(header, payload),
        misaligned: is_misaligned(payload, settings.request_payload_alignment),
        origin: PortId(object.origin().value()),
        header_origin: PortId(object.header().client_id().value()),
        elements: version::announced_request_len(object.header()),
    };
    Ok(Some((object, received)))
}

/// `PendingResponse::receive`.
pub(super) fn response<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized>(
    pending: &version::PendingResponse<S, Req, Res>,
    settings: &Settings,
) -> Arrived<version::Response<S, Res>> {
    let Some(object) = Res::receive_response(pending)? else { return Ok(None) };
    let payload = Res::received_response(&object);
    let header = object.user_header().unseal();
    let received = Received {
        header,
        len: payload.elements(),
        mismatch: mismatch(header, payload),
        misaligned: is_misaligned(payload, settings.response_payload_alignment),
        origin: PortId(object.origin().value()),
        header_origin: PortId(object.header().server_id().value()),
        elements: version::announced_response_len(object.header()),
    };
    Ok(Some((object, received)))
}

fn mismatch<P: Payload + ?Sized>(
    header: Option<MessageId>,
    payload: &P,
) -> Option<Box<payload::Mismatch>> {
    header.and_then(|id| payload::check(id, payload.bytes()).err())
}
