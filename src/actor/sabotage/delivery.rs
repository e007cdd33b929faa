//! Messages that are lost, repeated, reordered or delivered to somebody else.

use super::{
    Sabotage, Stage, Trick, deed, lie,
    scene::{Message, Scene},
};
use crate::{
    actor::{Action, HostError, Key, Observation},
    model::Promise,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "request-lost",
        breaks: Promise::NoRequestIsLost,
        what: "a request whose client waits for it is received and thrown away",
        trick: || {
            deed(|stage, action| {
                let waited_for = |scene: &Scene, m: &Message| {
                    scene.pending.contains_key(&m.pending) && !has_overflowed(scene, action)
                };
                lose_request(stage, action, waited_for)
            })
        },
    },
    Sabotage {
        id: "response-lost",
        breaks: Promise::NoResponseIsLost,
        what: "a response is received and thrown away",
        trick: || {
            deed(|stage, action| {
                let reported = stage.perform(action)?;
                match (action, &reported) {
                    (Action::ReceiveResponse { new, .. }, Observation::Received(_))
                        if !has_overflowed(stage.scene, action) =>
                    {
                        stage.perform(&Action::DropResponse { response: *new })?;
                        Ok(Observation::Nothing)
                    }
                    _ => Ok(reported),
                }
            })
        },
    },
    Sabotage {
        id: "response-of-dropped-server-lost",
        breaks: Promise::NoResponseIsLost,
        what: "once a server was dropped, no response it sent is received any more",
        trick: || {
            deed(|stage, action| {
                let truth = stage.perform(action)?;
                match (action, &truth) {
                    (Action::ReceiveResponse { new, .. }, Observation::Received(received))
                        if !has_overflowed(stage.scene, action)
                            && stage.scene.sender(received).is_some_and(|s| !s.exists) =>
                    {
                        stage.perform(&Action::DropResponse { response: *new })?;
                        Ok(Observation::Nothing)
                    }
                    _ => Ok(truth),
                }
            })
        },
    },
    Sabotage {
        id: "response-of-gone-server-lost",
        breaks: Promise::NoResponseIsLost,
        what: "a response of a server that is gone altogether is thrown away",
        trick: || {
            deed(|stage, action| {
                let reported = stage.perform(action)?;
                let scene = stage.scene;
                if let (Action::ReceiveResponse { new, .. }, Observation::Received(received)) =
                    (action, &reported)
                    && !has_overflowed(scene, action)
                    && scene.sender(received).is_some_and(|server| scene.is_gone(server))
                {
                    stage.perform(&Action::DropResponse { response: *new })?;
                    return Ok(Observation::Nothing);
                }
                Ok(reported)
            })
        },
    },
    Sabotage {
        id: "first-of-two-requests-lost",
        breaks: Promise::RequestsArriveInOrder,
        what: "when two requests of a client wait, the first is thrown away",
        trick: || {
            deed(|stage, action| match action {
                Action::ReceiveRequest { .. } => skip_first(stage, action),
                _ => stage.perform(action),
            })
        },
    },
    Sabotage {
        id: "first-of-two-responses-lost",
        breaks: Promise::ResponsesArriveInOrder,
        what: "when two responses of a server wait, the first is thrown away",
        trick: || {
            deed(|stage, action| match action {
                Action::ReceiveResponse { .. } => skip_first(stage, action),
                _ => stage.perform(action),
            })
        },
    },
    Sabotage {
        id: "requests-swapped-across-growth",
        breaks: Promise::RequestsArriveInOrder,
        what: "a request that is longer than the one before it overtakes it",
        trick: || overtake(|action| matches!(action, Action::ReceiveRequest { .. })),
    },
    Sabotage {
        id: "responses-swapped-across-growth",
        breaks: Promise::ResponsesArriveInOrder,
        what: "a response that is longer than the one before it overtakes it",
        trick: || overtake(|action| matches!(action, Action::ReceiveResponse { .. })),
    },
    Sabotage {
        id: "request-repeated",
        breaks: Promise::RequestsArriveInOrder,
        what: "a server receives the same request twice",
        trick: || Box::<Repeater>::default(),
    },
    Sabotage {
        id: "response-repeated",
        breaks: Promise::ResponsesArriveInOrder,
        what: "a pending response receives the same response twice",
        trick: || Box::new(Repeater { of_responses: true, ..Repeater::default() }),
    },
    Sabotage {
        id: "response-to-another-request",
        breaks: Promise::ResponseReachesOnlyItsRequest,
        what: "a pending response without a response receives that of a later request",
        trick: || {
            deed(|stage, action| {
                let reported = stage.perform(action)?;
                let Action::ReceiveResponse { pending, .. } = action else { return Ok(reported) };
                let of_other = stage.scene.responses.iter().find(|message| {
                    message.pending > *pending
                        && message.waits_at.contains(&message.pending)
                        && stage.scene.pending.contains_key(&message.pending)
                });
                match (reported, of_other) {
                    (Observation::Nothing, Some(message)) => {
                        stage.perform(&Action::ReceiveResponse {
                            pending: message.pending,
                            new: FORGED,
                        })
                    }
                    (reported, _) => Ok(reported),
                }
            })
        },
    },
    Sabotage {
        id: "response-to-another-request-first",
        breaks: Promise::ResponseReachesOnlyItsRequest,
        what: "a pending response with a response receives that of another request before it",
        trick: || {
            lie(|scene, action, truth| {
                let Action::ReceiveResponse { pending, .. } = action else { return truth };
                let of_other = scene.responses.iter().find(|message| {
                    message.pending != *pending
                        && message.waits_at.contains(&message.pending)
                        && scene.pending.contains_key(&message.pending)
                });
                match (of_other, truth) {
                    (Some(message), Observation::Received(_)) => message.arrives(),
                    (_, truth) => truth,
                }
            })
        },
    },
    Sabotage {
        id: "response-to-gone-request-arrives",
        breaks: Promise::ResponseReachesOnlyItsRequest,
        what: "a response whose pending response was dropped reaches the next one",
        trick: || {
            lie(|scene, action, truth| {
                let Action::ReceiveResponse { pending, .. } = action else { return truth };
                let client = scene.pending.get(pending);
                let stale = scene.responses.iter().find(|message| {
                    message.waits_at.contains(&message.pending)
                        && !scene.pending.contains_key(&message.pending)
                        && scene.client_of(message.pending) == client
                });
                match (stale, truth) {
                    (Some(message), Observation::Nothing) => message.arrives(),
                    (_, truth) => truth,
                }
            })
        },
    },
    Sabotage {
        id: "late-server-gets-old-request",
        breaks: Promise::LateServerGetsNoOldRequest,
        what: "a server with nothing to receive gets a request from before its time",
        trick: || {
            lie(|scene, action, truth| {
                let Action::ReceiveRequest { server, .. } = action else { return truth };
                let born_after = scene.servers.get(server).map_or(0, |port| port.born_after);
                match (scene.requests[..born_after].last(), truth) {
                    (Some(message), Observation::Nothing) => message.arrives(),
                    (_, truth) => truth,
                }
            })
        },
    },
    Sabotage {
        id: "late-server-gets-old-request-first",
        breaks: Promise::LateServerGetsNoOldRequest,
        what: "the first request a server receives is from before its time",
        trick: || {
            lie(|scene, action, truth| {
                let Action::ReceiveRequest { server, .. } = action else { return truth };
                let born_after = scene.servers.get(server).map_or(0, |port| port.born_after);
                match (scene.requests[..born_after].last(), truth) {
                    (Some(message), Observation::Received(_)) => message.arrives(),
                    (_, truth) => truth,
                }
            })
        },
    },
    Sabotage {
        id: "forgotten-request-lost",
        breaks: Promise::FireAndForgetDelivers,
        what: "with fire-and-forget a request whose pending response is gone is thrown away",
        trick: || {
            deed(|stage, action| {
                let forgotten = |scene: &Scene, message: &Message| {
                    scene.settings.enable_fire_and_forget_requests
                        && !scene.pending.contains_key(&message.pending)
                        && !has_overflowed(scene, action)
                };
                lose_request(stage, action, forgotten)
            })
        },
    },
    Sabotage {
        id: "abandoned-request-arrives",
        breaks: Promise::NoFireAndForgetDiscards,
        what: "without fire-and-forget a request whose pending response is gone is received",
        trick: || {
            lie(|scene, action, truth| {
                let Action::ReceiveRequest { server, .. } = action else { return truth };
                let abandoned = scene.requests.iter().rev().find(|message| {
                    message.waits_at.contains(server)
                        && !scene.pending.contains_key(&message.pending)
                        && !scene.settings.enable_fire_and_forget_requests
                });
                match (abandoned, truth) {
                    (Some(message), Observation::Nothing) => message.arrives(),
                    (_, truth) => truth,
                }
            })
        },
    },
];

/// Names what a saboteur creates and nobody else sees.
const FORGED: Key = Key(u32::MAX);

impl Message {
    pub(super) fn arrives(&self) -> Observation {
        Observation::Received(self.received())
    }
}

/// Whether a buffer the action reads from was ever full: then it may have been the
/// overflow that lost a message.
fn has_overflowed(scene: &Scene, action: &Action) -> bool {
    let all = || scene.requests.iter().chain(&scene.responses);
    Scene::place(action).is_some_and(|place| all().any(|m| m.ousted_at.contains(&place)))
}

/// Throws a received request away if `which` says so.
fn lose_request(
    stage: &mut Stage<'_>,
    action: &Action,
    which: impl Fn(&Scene, &Message) -> bool,
) -> Result<Observation, HostError> {
    let reported = stage.perform(action)?;
    let scene = stage.scene;
    if let Action::ReceiveRequest { new, .. } = action
        && let Observation::Received(received) = &reported
        && scene.sent(received).is_some_and(|message| which(scene, message))
    {
        stage.perform(&Action::DropActive { active: *new })?;
        return Ok(Observation::Nothing);
    }
    Ok(reported)
}

/// Receives twice when two messages of one sender wait, and throws the first away.
fn skip_first(stage: &mut Stage<'_>, action: &Action) -> Result<Observation, HostError> {
    let reported = stage.perform(action)?;
    let (Some(place), Observation::Received(received)) = (Scene::place(action), &reported) else {
        return Ok(reported);
    };
    if stage.scene.behind(received, place).is_none() || has_overflowed(stage.scene, action) {
        return Ok(reported);
    }
    let drop = match *action {
        Action::ReceiveRequest { new, .. } => Action::DropActive { active: new },
        Action::ReceiveResponse { new, .. } => Action::DropResponse { response: new },
        _ => return Ok(reported),
    };
    stage.perform(&drop)?;
    stage.perform(action)
}

/// Hands out the message behind the one that should be received if it is longer.
fn overtake(which: fn(&Action) -> bool) -> Box<dyn Trick> {
    lie(move |scene, action, truth| {
        let (Some(place), Observation::Received(received)) = (Scene::place(action), &truth) else {
            return truth;
        };
        match scene.behind(received, place) {
            Some(longer)
                if which(action) && longer.len > received.len && !has_overflowed(scene, action) =>
            {
                longer.arrives()
            }
            _ => truth,
        }
    })
}

/// Hands out what was received last instead of what is received.
#[derive(Default)]
struct Repeater {
    of_responses: bool,
    last: Option<(Key, Observation)>,
}

impl Trick for Repeater {
    fn perform(
        &mut self,
        stage: &mut Stage<'_>,
        action: &Action,
    ) -> Result<Observation, HostError> {
        let truth = stage.perform(action)?;
        let is_response = matches!(action, Action::ReceiveResponse { .. });
        let (Some(place), Observation::Received(_)) = (Scene::place(action), &truth) else {
            return Ok(truth);
        };
        if is_response != self.of_responses {
            return Ok(truth);
        }
        match self.last.replace((place, truth.clone())) {
            Some((before, repeated)) if before == place => Ok(repeated),
            _ => Ok(truth),
        }
    }
}
