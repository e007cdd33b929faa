//! What a receive may return: the queues a port reads from, merged.

use std::collections::{BTreeSet, VecDeque};

use super::{
    Candidate, Expected, Model, Pending, Prediction, Promise, QueuedRequest, QueuedResponse, Switch,
};
use crate::actor::Key;

/// What waits in one connection.
struct Source {
    /// The receiver holds as much from this connection as it may.
    blocked: bool,
    /// Messages in the order in which they were sent, and whether each is sure to be there.
    queue: Vec<(Candidate, bool)>,
    /// There are also messages that are to be skipped.
    skips: bool,
}

/// What follows from all connections of a receiver.
struct Delivery {
    allowed: Vec<Expected>,
    /// The limit on held messages is what decides.
    is_limited: bool,
}

/// Merges connections: a connection gives its messages in order, of several connections
/// any may be first.
fn merge(sources: &[Source]) -> Delivery {
    let mut allowed = Vec::new();
    let (mut must_deliver, mut must_refuse, mut may_refuse) = (false, false, false);
    for Source { blocked, queue, skips } in sources {
        // What may be lost may be passed over.
        let certain = queue.iter().position(|(_, certain)| *certain);
        let next = certain.map_or(queue.len(), |at| at + 1);
        match (blocked, certain) {
            (false, certain) => {
                must_deliver |= certain.is_some();
                let candidates = queue[..next].iter().map(|(candidate, _)| candidate.clone());
                allowed.extend(candidates.map(Expected::Received));
            }
            (true, Some(_)) => must_refuse = true,
            (true, None) => may_refuse |= *skips || !queue.is_empty(),
        }
    }
    if !must_deliver {
        if must_refuse || may_refuse {
            allowed.push(Expected::Refused("ExceedsMaxBorrows"));
        }
        // Requests that may be lost, or are to be discarded, can end a receive
        // before another connection's limit is noticed.
        if !must_refuse || !allowed.iter().all(|e| matches!(e, Expected::Refused(_))) {
            allowed.push(Expected::Nothing);
        }
    }
    Delivery { allowed, is_limited: must_refuse && !must_deliver }
}

impl QueuedRequest {
    fn candidate(&self) -> Candidate {
        Candidate { id: self.id, len: self.len, origin: self.origin }
    }
}

impl QueuedResponse {
    fn candidate(&self) -> Candidate {
        Candidate { id: self.id, len: self.len, origin: self.origin }
    }
}

impl Model {
    pub(super) fn predict_receive_request(&self, server: Key) -> Prediction {
        let mut sources = Vec::new();
        let mut expects_fire_and_forget = false;
        for ((client, _), queue) in self.queues_to(server) {
            let is_wanted = |request: &&QueuedRequest| {
                self.settings.enable_fire_and_forget_requests
                    || self.pending.contains_key(&request.pending)
            };
            let wanted: Vec<_> = queue.iter().filter(is_wanted).collect();
            expects_fire_and_forget |= wanted
                .iter()
                .find(|request| request.certain)
                .is_some_and(|request| !self.pending.contains_key(&request.pending));
            sources.push(Source {
                blocked: self.active_of(*client, server)
                    >= self.settings.max_active_requests_per_client,
                queue: wanted.iter().map(|r| (r.candidate(), r.certain)).collect(),
                skips: wanted.len() < queue.len(),
            });
        }
        let Delivery { allowed, is_limited } = merge(&sources);
        let promise = if is_limited {
            Promise::BorrowLimit
        } else if expects_fire_and_forget {
            Promise::FireAndForgetDelivers
        } else if allowed != [Expected::Nothing] {
            Promise::NoRequestIsLost
        } else if self.late.contains_key(&server) {
            Promise::LateServerGetsNoOldRequest
        } else {
            Promise::RequestsArriveInOrder
        };
        let tolerated = self.tolerate_lost_requests_of_gone_clients(server);
        Prediction { promise, allowed, tolerated }
    }

    fn queues_to(
        &self,
        server: Key,
    ) -> impl Iterator<Item = (&(Key, Key), &VecDeque<QueuedRequest>)> {
        self.in_flight.iter().filter(move |((_, to), _)| *to == server)
    }

    /// With the quirk, whatever a gone client sent may be missing, and may count
    /// against a limit for ever.
    fn tolerate_lost_requests_of_gone_clients(&self, server: Key) -> Vec<(Switch, Expected)> {
        let quirk = Switch::GoneClientLosesRequests;
        let requests = || self.queues_to(server).flat_map(|(_, queue)| queue);
        let is_slice = self.settings.payload.requests_are_slices();
        if !is_slice || !self.quirks.contains(&quirk) || !requests().any(|request| request.orphan) {
            return Vec::new();
        }
        requests()
            .filter(|request| !request.orphan)
            .map(|request| Expected::Received(request.candidate()))
            .chain([Expected::Nothing, Expected::Refused("ExceedsMaxBorrows")])
            .map(|expected| (quirk, expected))
            .collect()
    }

    pub(super) fn predict_receive_response(&self, pending_key: Key) -> Prediction {
        let pending = &self.pending[&pending_key];
        let source = |(server, queue): (Key, &VecDeque<QueuedResponse>)| Source {
            blocked: self.held_responses_of(pending_key, server)
                >= self.settings.max_borrowed_responses_per_pending_response,
            queue: queue.iter().map(|r| (r.candidate(), r.certain)).collect(),
            skips: false,
        };
        let sources: Vec<_> =
            pending.targets.iter().map(|(&server, t)| source((server, &t.queue))).collect();
        let Delivery { allowed, is_limited } = merge(&sources);
        let promise = if is_limited {
            Promise::BorrowLimit
        } else if allowed == [Expected::Nothing] {
            Promise::ResponseReachesOnlyItsRequest
        } else {
            Promise::NoResponseIsLost
        };
        let tolerated = self.tolerate_lost_and_old_responses(pending_key, pending);
        Prediction { promise, allowed, tolerated }
    }

    /// With the quirks, responses are lost with their connection, and those to earlier
    /// requests of a client take room and count as borrowed where a later one should have
    /// a buffer of its own.
    fn tolerate_lost_and_old_responses(
        &self,
        key: Key,
        pending: &Pending,
    ) -> Vec<(Switch, Expected)> {
        let client = pending.client;
        let is_stale = |server: Key| self.stale.contains(&(client, server));
        let mut tolerated = Vec::new();
        for queue in pending.targets.values().map(|target| &target.queue) {
            let risk = queue.iter().flat_map(|response| &response.risks);
            if let Some(&risk) = risk.into_iter().find(|risk| self.quirks.contains(risk)) {
                let received = queue.iter().map(|r| Expected::Received(r.candidate()));
                let expected = [Expected::Nothing].into_iter().chain(received);
                tolerated.extend(expected.map(|expected| (risk, expected)));
            }
        }
        let blocks = Switch::OldResponsesCountAsBorrowed;
        // Also a server that was gone before the request was sent.
        let held_of = self.responses.values().filter(|held| held.client == client);
        let stale_of = self.stale.iter().filter(|(of, _)| *of == client);
        let servers = held_of.map(|held| held.server).chain(stale_of.map(|(_, server)| *server));
        let counts_old_ones = servers.collect::<BTreeSet<_>>().into_iter().any(|server| {
            let old = self.responses.values().filter(|held| {
                held.client == client
                    && held.server == server
                    && !self.pending.contains_key(&held.pending)
            });
            let old = old.count();
            (old > 0 || is_stale(server))
                && old + self.held_responses_of(key, server)
                    >= self.settings.max_borrowed_responses_per_pending_response
        });
        if self.quirks.contains(&blocks) && counts_old_ones {
            tolerated.push((blocks, Expected::Refused("ExceedsMaxBorrows")));
        }
        tolerated
    }
}
