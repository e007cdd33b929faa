//! Full buffers that give up the wrong message.

use std::collections::BTreeSet;

use super::{Sabotage, Trick, deed, lie, refuses, scene::Scene};
use crate::{
    actor::{Action, Observation},
    model::Promise,
    scenario::Backpressure,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "full-request-buffer-evicts-newest",
        breaks: Promise::RequestOverflowEvictsOldest,
        what: "a full request buffer keeps its oldest request",
        trick: || keep_oldest(|action| matches!(action, Action::ReceiveRequest { .. })),
    },
    Sabotage {
        id: "full-request-buffer-evicts-two",
        breaks: Promise::RequestOverflowEvictsOldest,
        what: "a full request buffer gives up two requests for one",
        trick: || {
            deed(|stage, action| {
                let reported = stage.perform(action)?;
                match (action, &reported) {
                    (Action::ReceiveRequest { server, new }, Observation::Received(received))
                        if overflows(stage.scene, action)
                            && stage.scene.behind(received, *server).is_some()
                            && lost_one_before(stage.scene, action, &reported) =>
                    {
                        stage.perform(&Action::DropActive { active: *new })?;
                        stage.perform(action)
                    }
                    _ => Ok(reported),
                }
            })
        },
    },
    Sabotage {
        id: "full-response-buffer-evicts-newest",
        breaks: Promise::ResponseOverflowEvictsOldest,
        what: "a full response buffer keeps its oldest response",
        trick: || keep_oldest(|action| matches!(action, Action::ReceiveResponse { .. })),
    },
    Sabotage {
        id: "full-response-buffer-evicts-all",
        breaks: Promise::ResponseOverflowEvictsOldest,
        what: "a full response buffer gives up all it has",
        trick: || {
            lie(|scene, action, truth| match action {
                Action::ReceiveResponse { .. } if lost_one_before(scene, action, &truth) => {
                    Observation::Nothing
                }
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "evicted-response-arrives-too",
        breaks: Promise::ResponseOverflowEvictsOldest,
        what: "a response that was evicted is received before those that evicted it",
        trick: || {
            let (mut forged, mut keys) = (BTreeSet::new(), BTreeSet::new());
            deed(move |stage, action| match action {
                Action::ReceiveResponse { pending, new } => {
                    let mut sent = stage.scene.responses.iter();
                    match sent.find(|message| message.ousted_at.contains(pending)) {
                        Some(evicted)
                            if stage.scene.settings.enable_safe_overflow_for_responses
                                && forged.insert(evicted.id) =>
                        {
                            keys.insert(*new);
                            Ok(evicted.arrives())
                        }
                        _ => stage.perform(action),
                    }
                }
                Action::DropResponse { response } if keys.contains(response) => {
                    Ok(Observation::Done)
                }
                _ => stage.perform(action),
            })
        },
    },
    Sabotage {
        id: "full-buffer-takes-the-new",
        breaks: Promise::DiscardKeepsBuffered,
        what: "without overflow a full response buffer takes the response it should refuse",
        trick: || {
            lie(|scene, action, truth| {
                let Action::ReceiveResponse { pending, .. } = action else { return truth };
                let settings = &scene.settings;
                let discards = settings.server_backpressure.strategy() == Backpressure::DiscardData
                    && !settings.enable_safe_overflow_for_responses;
                let refused =
                    scene.responses.iter().find(|message| message.ousted_at.contains(pending));
                match (&truth, refused) {
                    (Observation::Received(_) | Observation::Nothing, Some(message))
                        if discards =>
                    {
                        message.arrives()
                    }
                    _ => truth,
                }
            })
        },
    },
    Sabotage {
        id: "undelivered-response-is-done",
        breaks: Promise::FailedDeliveryIsAnError,
        what: "nobody is told that a response was not delivered",
        trick: || {
            lie(|_, action, truth| match action {
                Action::SendResponse { .. } if is_undelivered(action, &truth) => Observation::Done,
                _ => truth,
            })
        },
    },
    Sabotage {
        id: "undelivered-request-is-sent",
        breaks: Promise::FailedDeliveryIsAnError,
        what: "nobody is told that a request was not delivered to everybody",
        trick: || {
            lie(|scene, action, truth| match action {
                // Where nothing else is wrong with it: a server that would discard requests may
                // have room after all, and one that is half gone need not be told of.
                Action::SendRequest { .. }
                    if is_undelivered(action, &truth)
                        && scene.settings.enable_fire_and_forget_requests
                        && scene.servers.values().all(|s| s.exists || scene.is_gone(s)) =>
                {
                    Observation::Sent { servers: 0 }
                }
                _ => truth,
            })
        },
    },
];

/// Whether a send failed because somebody's buffer was full.
fn is_undelivered(action: &Action, truth: &Observation) -> bool {
    let sends = matches!(action, Action::SendRequest { .. } | Action::SendResponse { .. });
    sends && refuses(truth, "UnableToDeliver")
}

/// Whether the message received had to be the first because the one before it was
/// evicted.
fn lost_one_before(scene: &Scene, action: &Action, truth: &Observation) -> bool {
    let (Some(place), Observation::Received(received)) = (Scene::place(action), truth) else {
        return false;
    };
    scene.before(received).is_some_and(|before| before.ousted_at.contains(&place))
}

/// Whether a full buffer evicts here; elsewhere it does not take what is new.
fn overflows(scene: &Scene, action: &Action) -> bool {
    match action {
        Action::ReceiveRequest { .. } => scene.settings.enable_safe_overflow_for_requests,
        _ => scene.settings.enable_safe_overflow_for_responses,
    }
}

/// Hands out what was evicted just before the message that is received.
fn keep_oldest(which: fn(&Action) -> bool) -> Box<dyn Trick> {
    lie(move |scene, action, truth| {
        let (Some(place), Observation::Received(received)) = (Scene::place(action), &truth) else {
            return truth;
        };
        match scene.before(received) {
            // What nobody waits for must not arrive for another reason.
            Some(evicted)
                if which(action)
                    && overflows(scene, action)
                    && evicted.ousted_at.contains(&place)
                    && (scene.pending.contains_key(&evicted.pending)
                        || matches!(action, Action::ReceiveRequest { .. })
                            && scene.settings.enable_fire_and_forget_requests) =>
            {
                evicted.arrives()
            }
            _ => truth,
        }
    })
}
