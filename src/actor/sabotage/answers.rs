//! Ports, pending responses and active requests that are asked and answer wrongly.

use std::collections::{BTreeMap, BTreeSet};

use super::{Sabotage, Trick, lie, scene::Scene};
use crate::{
    actor::{Action, Key, Observation, variant::Variant},
    model::Promise,
    scenario::Strategy,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "active-stays-connected",
        breaks: Promise::ActiveRequestConnection,
        what: "an active request is connected for ever",
        trick: || active_says(|_, _, _, hint| (true, hint)),
    },
    Sabotage {
        id: "active-disconnects-late",
        breaks: Promise::ActiveRequestConnection,
        what: "an active request notices one answer late that its pending response is gone",
        trick: || {
            let mut last = BTreeMap::new();
            active_says(move |_, key, connected, hint| {
                (last.insert(key, connected).unwrap_or(connected), hint)
            })
        },
    },
    Sabotage {
        id: "active-of-second-client-disconnected",
        breaks: Promise::ActiveRequestConnection,
        what: "active requests of all clients but the first are disconnected",
        trick: || {
            active_says(|scene, key, connected, hint| {
                let pending = scene.active.get(&key).map(|active| active.pending);
                let client = pending.and_then(|pending| scene.client_of(pending));
                (connected && client == scene.clients.keys().next(), hint)
            })
        },
    },
    Sabotage {
        id: "disconnect-hint-swallowed",
        breaks: Promise::DisconnectHintArrives,
        what: "the disconnect hint does not arrive",
        trick: || active_says(|_, _, connected, _| (connected, false)),
    },
    Sabotage {
        id: "disconnect-hint-unasked",
        breaks: Promise::DisconnectHintArrives,
        what: "there is a disconnect hint although nobody set it",
        trick: || active_says(|_, _, connected, _| (connected, true)),
    },
    Sabotage {
        id: "disconnect-hint-late",
        breaks: Promise::DisconnectHintArrives,
        what: "the disconnect hint arrives one answer late",
        trick: || {
            let mut last = BTreeMap::new();
            active_says(move |_, key, connected, hint| {
                (connected, last.insert(key, hint).unwrap_or(false))
            })
        },
    },
    Sabotage {
        id: "pending-disconnects-early",
        breaks: Promise::PendingResponseConnection,
        what: "a pending response is disconnected before any server is done",
        trick: || pending_says(|_, _, _, has_response| (false, has_response)),
    },
    Sabotage {
        id: "pending-stays-connected",
        breaks: Promise::PendingResponseConnection,
        what: "a pending response is connected for ever",
        trick: || pending_says(|_, _, _, has_response| (true, has_response)),
    },
    Sabotage {
        id: "pending-disconnects-late",
        breaks: Promise::PendingResponseConnection,
        what: "a pending response notices one answer late that no server will answer",
        trick: || {
            let mut last = BTreeMap::new();
            pending_says(move |_, key, connected, has_response| {
                (last.insert(key, connected).unwrap_or(connected), has_response)
            })
        },
    },
    Sabotage {
        id: "has-response-denied",
        breaks: Promise::HasResponseIsTrue,
        what: "has_response is false although there is one",
        trick: || pending_says(|_, _, connected, _| (connected, false)),
    },
    Sabotage {
        id: "has-response-unasked",
        breaks: Promise::HasResponseIsTrue,
        what: "has_response is true although there is none",
        trick: || pending_says(|_, _, connected, _| (connected, true)),
    },
    Sabotage {
        id: "has-response-late",
        breaks: Promise::HasResponseIsTrue,
        what: "has_response gives the answer of the time before",
        trick: || {
            let mut last = BTreeMap::new();
            pending_says(move |_, key, connected, has_response| {
                (connected, last.insert(key, has_response).unwrap_or(has_response))
            })
        },
    },
    Sabotage {
        id: "has-requests-denied",
        breaks: Promise::HasRequestsIsTrue,
        what: "has_requests is false although there are some",
        trick: || server_says(|_| false),
    },
    Sabotage {
        id: "has-requests-unasked",
        breaks: Promise::HasRequestsIsTrue,
        what: "has_requests is true although there are none",
        trick: || server_says(|_| true),
    },
    Sabotage {
        id: "has-requests-of-gone-clients",
        breaks: Promise::HasRequestsIsTrue,
        what: "without fire-and-forget a server has requests when all of them are of clients that are gone",
        trick: || {
            lie(|scene, action, truth| match (action, truth) {
                (Action::InspectServer { server }, Observation::Server { has_requests: false }) => {
                    let mut waiting = scene.requests.iter().filter(|m| m.waits_at.contains(server));
                    Observation::Server { has_requests: waiting.next().is_some() }
                }
                (_, truth) => truth,
            })
        },
    },
    Sabotage {
        id: "disconnect-hint-of-another",
        breaks: Promise::DisconnectHintArrives,
        what: "an active request has a hint once its pending response is gone without one",
        trick: || active_says(|_, _, connected, hint| (connected, hint || !connected)),
    },
    Sabotage {
        id: "power-of-two-remembers-hints",
        breaks: Promise::StrategiesAgree,
        what: "with PowerOfTwo an active request keeps its hint when its pending response is gone",
        trick: || {
            hint_stays(|scene, key| {
                let server = scene.active.get(&key).and_then(|a| scene.servers.get(&a.server));
                server.is_some_and(|port| port.strategy == Strategy::PowerOfTwo)
            })
        },
    },
    Sabotage {
        id: "local-remembers-hints",
        breaks: Promise::VariantsAgree,
        what: "on the local variant an active request keeps its hint when its pending response is gone",
        trick: || hint_stays(|scene, _| scene.variant == Variant::Local),
    },
];

/// Turns around what an active request says of a hint it had, once its pending response is
/// gone: then nobody knows what it has to say.
fn hint_stays(is_so: fn(&Scene, Key) -> bool) -> Box<dyn Trick> {
    let mut hinted = BTreeSet::new();
    lie(move |scene, action, truth| match (action, truth) {
        (Action::HintDisconnect { pending }, truth) => {
            hinted.insert(*pending);
            truth
        }
        (Action::InspectActive { active }, Observation::Active { connected, hint }) => {
            let pending = scene.active.get(active).map(|active| active.pending);
            let had_one = pending.is_some_and(|pending| hinted.contains(&pending));
            let turned = !connected && had_one && is_so(scene, *active);
            Observation::Active { connected, hint: hint != turned }
        }
        (_, truth) => truth,
    })
}

/// Changes what an active request says: connected, and has a hint.
fn active_says(
    mut says: impl FnMut(&Scene, Key, bool, bool) -> (bool, bool) + 'static,
) -> Box<dyn Trick> {
    lie(move |scene, action, truth| match (action, truth) {
        (Action::InspectActive { active }, Observation::Active { connected, hint }) => {
            let (connected, hint) = says(scene, *active, connected, hint);
            Observation::Active { connected, hint }
        }
        (_, truth) => truth,
    })
}

/// Changes what a pending response says: connected, and has a response.
fn pending_says(
    mut says: impl FnMut(&Scene, Key, bool, bool) -> (bool, bool) + 'static,
) -> Box<dyn Trick> {
    lie(move |scene, action, truth| match (action, truth) {
        (
            Action::InspectPending { pending },
            Observation::Pending { connected, has_response, servers },
        ) => {
            let (connected, has_response) = says(scene, *pending, connected, has_response);
            Observation::Pending { connected, has_response, servers }
        }
        (_, truth) => truth,
    })
}

/// Changes what a server says: has requests.
fn server_says(says: fn(bool) -> bool) -> Box<dyn Trick> {
    lie(move |_, _, truth| match truth {
        Observation::Server { has_requests } => {
            Observation::Server { has_requests: says(has_requests) }
        }
        truth => truth,
    })
}
