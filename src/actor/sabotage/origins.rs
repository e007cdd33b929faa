//! Messages that name the wrong sender.

use super::{Sabotage, requests_look, responses_look};
use crate::{actor::PortId, model::Promise};

const NOBODY: PortId = PortId(1);

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "origin-of-request-wrong",
        breaks: Promise::OriginNamesSender,
        what: "origin() of a request names a port that does not exist",
        trick: || requests_look(|_, r| r.origin = NOBODY),
    },
    Sabotage {
        id: "origin-is-always-first-client",
        breaks: Promise::OriginNamesSender,
        what: "origin() of a request names the first client, whoever sent it",
        trick: || {
            requests_look(|scene, r| {
                if let Some(first) = scene.clients.values().next() {
                    r.origin = first.id;
                }
            })
        },
    },
    Sabotage {
        id: "origin-in-header-wrong",
        breaks: Promise::OriginNamesSender,
        what: "the header of a response names another port than origin() does",
        trick: || responses_look(|_, r| r.header_origin = NOBODY),
    },
];
