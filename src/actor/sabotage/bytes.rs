//! Bytes, lengths and user headers that do not arrive as they were sent.

use super::{Sabotage, requests_look, responses_look};
use crate::{
    actor::Received,
    model::Promise,
    payload::{self, MessageId},
};

const PAGE: usize = 4096;

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "request-last-byte-flipped",
        breaks: Promise::RequestBytesArrive,
        what: "the last byte of a request is flipped on its way",
        trick: || requests_look(|_, r| damage(r, |bytes| flip(bytes.last_mut()))),
    },
    Sabotage {
        id: "request-zero-beyond-page",
        breaks: Promise::RequestBytesArrive,
        what: "of a request longer than a page only the first page was written",
        trick: || requests_look(|_, r| damage(r, |bytes| wipe_from(bytes, PAGE))),
    },
    Sabotage {
        id: "request-beyond-hint-damaged",
        breaks: Promise::RequestBytesArrive,
        what: "what a request has beyond the initial hint of its client is wiped",
        trick: || {
            requests_look(|scene, r| {
                let hint = scene.sender(r).map_or(usize::MAX, |port| port.hint);
                damage(r, |bytes| wipe_from(bytes, hint));
            })
        },
    },
    Sabotage {
        id: "request-of-stale-chunk",
        breaks: Promise::RequestBytesArrive,
        what: "a request reads as the one its client sent before",
        trick: || {
            requests_look(|scene, r| {
                if let Some(before) = scene.before(r) {
                    damage(r, |bytes| {
                        let stale = before.len.min(bytes.len());
                        payload::fill(before.id, &mut bytes[..stale]);
                    });
                }
            })
        },
    },
    Sabotage {
        id: "request-one-short",
        breaks: Promise::RequestBytesArrive,
        what: "a request arrives one element short",
        trick: || requests_look(|_, r| r.len = r.len.saturating_sub(1)),
    },
    Sabotage {
        id: "request-header-miscounts",
        breaks: Promise::RequestBytesArrive,
        what: "the header of a request counts one element too few",
        trick: || requests_look(|_, r| r.elements = r.elements.saturating_sub(1)),
    },
    Sabotage {
        id: "response-first-byte-flipped",
        breaks: Promise::ResponseBytesArrive,
        what: "the first byte of a response is flipped on its way",
        trick: || responses_look(|_, r| damage(r, |bytes| flip(bytes.first_mut()))),
    },
    Sabotage {
        id: "response-middle-byte-flipped",
        breaks: Promise::ResponseBytesArrive,
        what: "the byte in the middle of a response is flipped on its way",
        trick: || {
            responses_look(|_, r| {
                damage(r, |bytes| {
                    let middle = bytes.len() / 2;
                    flip(bytes.get_mut(middle));
                });
            })
        },
    },
    Sabotage {
        id: "response-after-third-growth-damaged",
        breaks: Promise::ResponseBytesArrive,
        what: "once its server has grown three times a response has a wrong byte",
        trick: || {
            responses_look(|scene, r| {
                if scene.sender(r).is_some_and(|port| port.growths >= 3) {
                    damage(r, |bytes| flip(bytes.last_mut()));
                }
            })
        },
    },
    Sabotage {
        id: "response-has-length-of-bucket",
        breaks: Promise::ResponseBytesArrive,
        what: "a response is as long as the longest its server has loaned so far",
        trick: || {
            responses_look(|scene, r| {
                r.len = scene.sender(r).map_or(r.len, |port| port.longest.max(r.len));
            })
        },
    },
    Sabotage {
        id: "response-header-miscounts",
        breaks: Promise::ResponseBytesArrive,
        what: "the header of a response counts one element too many",
        trick: || responses_look(|_, r| r.elements += 1),
    },
    Sabotage {
        id: "user-header-wiped",
        breaks: Promise::UserHeaderArrives,
        what: "the user header of a response is wiped",
        trick: || responses_look(|_, r| r.header = None),
    },
    Sabotage {
        id: "user-header-stale",
        breaks: Promise::UserHeaderArrives,
        what: "a request has the user header of the one its client sent before",
        trick: || {
            requests_look(|scene, r| {
                // Fewer bytes do not tell whose they are.
                if r.len < 16 {
                    return;
                }
                let Some(before) = scene.before(r).map(|message| message.id) else { return };
                if let Some(id) = r.header.replace(before) {
                    damage(r, |bytes| payload::fill(id, bytes));
                }
            })
        },
    },
    Sabotage {
        id: "request-is-misaligned",
        breaks: Promise::PayloadIsAligned,
        what: "requests with an alignment of their own are mapped to any address",
        trick: || {
            requests_look(|scene, r| {
                r.misaligned |= scene.settings.request_payload_alignment > 1;
            })
        },
    },
    Sabotage {
        id: "response-is-misaligned",
        breaks: Promise::PayloadIsAligned,
        what: "a response begins at an odd address",
        trick: || responses_look(|_, r| r.misaligned = true),
    },
];

/// Reports a payload as it reads when its bytes are changed.
fn damage(received: &mut Received, change: impl FnOnce(&mut [u8])) {
    let Some(id) = received.header else { return };
    let mut bytes = written(id, received.len);
    change(&mut bytes);
    received.mismatch = payload::check(id, &bytes).err();
}

pub(super) fn written(id: MessageId, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    payload::fill(id, &mut bytes);
    bytes
}

pub(super) fn flip(byte: Option<&mut u8>) {
    byte.into_iter().for_each(|byte| *byte ^= 1);
}

fn wipe_from(bytes: &mut [u8], offset: usize) {
    bytes.iter_mut().skip(offset).for_each(|byte| *byte = 0);
}
