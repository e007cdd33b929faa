//! What a receive may return: the queues a port reads from, merged.

use std::collections::{BTreeSet, VecDeque};

use smallvec::SmallVec;

use super::{
    Candidate, Expected, HeldResponse, Model, Pending, Prediction, Promise, QueuedRequest,
    QueuedResponse, Switch, Target, Unreturned,
};
use crate::actor::Key;

/// The connections of a receiver, merged: a connection gives its messages in order, of
/// several connections any may be first.
#[derive(Default)]
struct Merge {
    allowed: SmallVec<[Expected; 1]>,
    must_deliver: bool,
    must_refuse: bool,
    may_refuse: bool,
}

/// What waits in one connection.
struct Source<Q> {
    /// The receiver holds as much from this connection as it may.
    blocked: bool,
    /// Messages in the order in which they were sent, and whether each is sure to be there.
    queue: Q,
    /// There are also messages that are to be skipped.
    skips: bool,
}

/// What follows from all connections of a receiver.
struct Delivery {
    allowed: SmallVec<[Expected; 1]>,
    /// The limit on held messages is what decides.
    is_limited: bool,
}

impl Merge {
    fn add(&mut self, source: Source<impl Iterator<Item = (Candidate, bool)>>) {
        let Source { blocked, queue, skips } = source;
        let mut is_empty = true;
        // What may be lost may be passed over, up to the first that is certain.
        for (candidate, is_certain) in queue {
            is_empty = false;
            if !blocked {
                self.allowed.push(Expected::Received(candidate));
            }
            if is_certain {
                *if blocked { &mut self.must_refuse } else { &mut self.must_deliver } = true;
                return;
            }
        }
        self.may_refuse |= blocked && (skips || !is_empty);
    }

    fn delivery(self) -> Delivery {
        let Self { mut allowed, must_deliver, must_refuse, may_refuse } = self;
        let is_limited = !must_deliver && (must_refuse || may_refuse && allowed.is_empty());
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
        Delivery { allowed, is_limited }
    }
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
        let mut merge = Merge::default();
        let mut expects_fire_and_forget = false;
        for ((client, _), queue) in self.queues_to(server) {
            let is_wanted = |request: &&QueuedRequest| {
                self.settings.enable_fire_and_forget_requests
                    || self.pending.contains_key(&request.pending)
            };
            let wanted = || queue.iter().filter(is_wanted);
            expects_fire_and_forget |= wanted()
                .find(|request| request.certain)
                .is_some_and(|request| !self.pending.contains_key(&request.pending));
            merge.add(Source {
                blocked: self.is_at_limit_with(*client, server),
                queue: wanted().map(|r| (r.candidate(), r.certain)),
                skips: wanted().count() < queue.len(),
            });
        }
        let Delivery { allowed, is_limited } = merge.delivery();
        let promise = if is_limited {
            Promise::BorrowLimit
        } else if expects_fire_and_forget {
            Promise::FireAndForgetDelivers
        } else if allowed[..] != [Expected::Nothing] {
            Promise::NoRequestIsLost
        } else if self.late.contains_key(&server) {
            Promise::LateServerGetsNoOldRequest
        } else {
            Promise::RequestsArriveInOrder
        };
        let mut tolerated = self.tolerate_lost_requests_of_gone_clients(server);
        let quirk = Switch::DiscardedRequestKeepsMemory;
        let keeps = self.may_count_discarded(server);
        // Only where nothing has to be delivered: another client's request still is.
        if keeps && allowed.contains(&Expected::Nothing) && self.quirks.contains(quirk) {
            tolerated.push((quirk, Expected::Refused("ExceedsMaxBorrows")));
        }
        // What cannot be mapped of who is never forgotten ends a receive, once for each.
        let quirk = Switch::GoneClientIsNeverForgotten;
        let hides =
            |((of, _), kept): (&(Key, Key), &Unreturned)| *of == server && kept.unmapped > 0;
        if is_limited
            && self.unreturned.iter().any(hides)
            && self.unreleased.contains_key(&server)
            && self.quirks.contains(quirk)
        {
            tolerated.push((quirk, Expected::Nothing));
        }
        Prediction { promise, allowed, tolerated }
    }

    /// Requests a server has not received, by client; also queues that are empty by now.
    pub(super) fn queues_to(
        &self,
        server: Key,
    ) -> impl Iterator<Item = (&(Key, Key), &VecDeque<QueuedRequest>)> {
        self.in_flight.iter().filter(move |((_, to), _)| *to == server)
    }

    /// The quirk with which requests of clients that are gone may be missing: all slices, and
    /// single values where a config file makes the memory of clients dynamic.
    pub(super) fn loses_requests_of_gone_clients(&self) -> Option<Switch> {
        let by_key = self.settings.strategy_of_clients();
        let quirk = if self.settings.payload.requests_are_slices() {
            Some(Switch::GoneClientLosesRequests)
        } else {
            by_key.filter(|strategy| strategy.is_dynamic()).map(|_| Switch::UnmappedSegmentIsLost)
        };
        quirk.filter(|quirk| self.quirks.contains(*quirk))
    }

    /// With the quirk, whatever a gone client sent may be missing, and may count
    /// against a limit for ever.
    fn tolerate_lost_requests_of_gone_clients(&self, server: Key) -> Vec<(Switch, Expected)> {
        let requests = || self.queues_to(server).flat_map(|(_, queue)| queue);
        let Some(quirk) = self
            .loses_requests_of_gone_clients()
            .filter(|_| requests().any(|request| request.orphan))
        else {
            return Vec::new();
        };
        // Without those that are missing, another client's limit decides.
        let is_limited = self.may_count_discarded(server)
            || self.queues_to(server).any(|((client, _), queue)| {
                !queue.is_empty() && self.is_at_limit_with(*client, server)
            });
        [Expected::Nothing]
            .into_iter()
            .chain(is_limited.then_some(Expected::Refused("ExceedsMaxBorrows")))
            .map(|expected| (quirk, expected))
            .collect()
    }

    fn is_at_limit_with(&self, client: Key, server: Key) -> bool {
        self.active_of(client, server) >= self.settings.max_active_requests_per_client
    }

    /// Whether a client is gone of which the server had requests to discard.
    pub(super) fn has_discarded(&self, server: Key) -> bool {
        self.unreturned.keys().any(|(of, _)| *of == server)
    }

    /// Whether the requests of a gone client, with the quirks those that were discarded as well,
    /// may be as many as a server holds of one client.
    pub(super) fn may_count_discarded(&self, server: Key) -> bool {
        let most = self.settings.max_active_requests_per_client;
        self.unreturned.iter().any(|((of, _), kept)| *of == server && kept.borrowed > most)
    }

    pub(super) fn predict_receive_response(&self, pending_key: Key) -> Prediction {
        let pending = &self.pending[&pending_key];
        let mut merge = Merge::default();
        for (&server, Target { queue, .. }) in &pending.targets {
            merge.add(Source {
                blocked: self.held_responses_of(pending_key, server)
                    >= self.settings.max_borrowed_responses_per_pending_response,
                queue: queue.iter().map(|r| (r.candidate(), r.certain)),
                skips: false,
            });
        }
        let Delivery { allowed, is_limited } = merge.delivery();
        let promise = if is_limited {
            Promise::BorrowLimit
        } else if allowed[..] == [Expected::Nothing] {
            Promise::ResponseReachesOnlyItsRequest
        } else {
            Promise::NoResponseIsLost
        };
        let tolerated = self.tolerate_lost_and_old_responses(pending_key, pending);
        Prediction { promise, allowed, tolerated }
    }

    /// The known quirk that may have taken a response away.
    pub(super) fn known_risk(&self, response: &QueuedResponse) -> Option<Switch> {
        response.risks.iter().copied().find(|risk| self.quirks.contains(*risk))
    }

    /// Whether a response has to be there, and no known quirk may have taken it away.
    pub(super) fn is_firm(&self, response: &QueuedResponse) -> bool {
        response.certain && self.known_risk(response).is_none()
    }

    /// Whether there is one among them.
    pub(super) fn has_firm(&self, queue: &VecDeque<QueuedResponse>) -> bool {
        queue.iter().any(|response| self.is_firm(response))
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
        let mut tolerated = Vec::new();
        let is_at_limit = |server| {
            self.held_responses_of(key, server)
                >= self.settings.max_borrowed_responses_per_pending_response
        };
        // Another server's response is still there, unless its limit decides.
        let is_another_there = pending
            .targets
            .iter()
            .any(|(&server, target)| !is_at_limit(server) && self.has_firm(&target.queue));
        let is_limited = pending
            .targets
            .iter()
            .any(|(&server, target)| !target.queue.is_empty() && is_at_limit(server));
        for (&server, Target { queue, .. }) in &pending.targets {
            let Some(risk) = queue.iter().find_map(|response| self.known_risk(response)) else {
                continue;
            };
            let mut tolerate = |risk, expected| tolerated.push((risk, expected));
            // A receive that meets one of which the memory is gone ends there.
            let unmapped = Switch::UnmappedSegmentIsLost;
            let ends = self.quirks.contains(unmapped)
                && queue.iter().any(|response| response.risks.contains(&unmapped));
            if ends || !is_another_there {
                tolerate(if ends { unmapped } else { risk }, Expected::Nothing);
            }
            if !is_another_there && is_limited {
                tolerate(risk, Expected::Refused("ExceedsMaxBorrows"));
            }
            if !is_at_limit(server) {
                let first_firm = queue.iter().position(|response| self.is_firm(response));
                let reachable = queue.iter().take(first_firm.map_or(queue.len(), |at| at + 1));
                reachable.for_each(|r| tolerate(risk, Expected::Received(r.candidate())));
            }
        }
        let blocks = Switch::OldResponsesCountAsBorrowed;
        if !self.quirks.contains(blocks) {
            return tolerated;
        }
        // Also a server that was gone before the request was sent.
        let held_of = self.responses.values().filter(|held| held.client == client);
        let stale_of = self.stale.iter().filter(|(of, _)| *of == client);
        let servers = held_of.map(|held| held.server).chain(stale_of.map(|(_, server)| *server));
        let servers: BTreeSet<Key> = servers.collect();
        let is_blocked = |server: Key| self.is_blocked_by_old(key, client, server);
        // What nothing blocks is received.
        let is_another_there = pending.targets.iter().any(|(&server, target)| {
            !is_at_limit(server) && !is_blocked(server) && self.has_firm(&target.queue)
        });
        if !is_another_there && servers.into_iter().any(is_blocked) {
            tolerated.push((blocks, Expected::Refused("ExceedsMaxBorrows")));
            // One that is lost ends the receive before the limit is noticed.
            let mut queues = pending.targets.values().map(|target| &target.queue);
            if queues.any(|queue| queue.iter().any(|response| !self.is_firm(response))) {
                tolerated.push((blocks, Expected::Nothing));
            }
        }
        tolerated
    }

    /// Whether responses to earlier requests, with those that are held of a pending response,
    /// count as many as may be borrowed with the quirk that has them share a channel.
    pub(super) fn is_blocked_by_old(&self, key: Key, client: Key, server: Key) -> bool {
        let is_old = |held: &&HeldResponse| {
            held.client == client
                && held.server == server
                && !self.pending.contains_key(&held.pending)
        };
        let old = self.responses.values().filter(is_old).count();
        self.quirks.contains(Switch::OldResponsesCountAsBorrowed)
            && (old > 0 || self.stale.contains(&(client, server)))
            && old + self.held_responses_of(key, server)
                >= self.settings.max_borrowed_responses_per_pending_response
    }
}

#[cfg(all(test, iox2_at_least_0_9))]
mod tests {
    use super::*;
    use crate::{
        actor::Observation,
        model::ideal::tests::model_after,
        scenario::{Backpressure, LoanForm, OpenMode, Settings, Step, Strategy},
    };

    const FORM: LoanForm = LoanForm::Default;

    /// A request that both servers receive, as their newest active requests.
    const ASK: [Step; 4] = [
        Step::LoanRequest { client: 0, len: 1, form: FORM },
        Step::SendRequest { request: 0 },
        Step::ReceiveRequest { server: 0 },
        Step::ReceiveRequest { server: 1 },
    ];

    fn answer(active: i32) -> [Step; 2] {
        [Step::LoanResponse { active, len: 1, form: FORM }, Step::SendResponse { response: 0 }]
    }

    /// What is allowed and what is tolerated when the client asks for a response.
    fn receive(room: usize, steps: &[&[Step]]) -> (Vec<Expected>, Vec<Expected>) {
        receive_of(Backpressure::DiscardData, room, steps)
    }

    /// The same of servers that do this where there is no room.
    fn receive_of(
        server_backpressure: Backpressure,
        room: usize,
        steps: &[&[Step]],
    ) -> (Vec<Expected>, Vec<Expected>) {
        let settings = Settings {
            max_response_buffer_size: room,
            enable_safe_overflow_for_responses: false,
            server_backpressure,
            max_borrowed_responses_per_pending_response: 1,
            ..Settings::default()
        };
        let opening = [
            Step::Join { how: OpenMode::Create, require: None },
            Step::create_client(0, Strategy::Static, 8),
            Step::create_server(0, Strategy::Static, 8, 4),
            Step::create_server(0, Strategy::Static, 8, 4),
        ];
        let steps = [&opening[..], &steps.concat()].concat();
        let quirks = [Switch::OldResponsesFillBuffer, Switch::OldResponsesCountAsBorrowed].into();
        let mut model = model_after(settings, quirks, &steps).expect("a model");
        let action = model.resolve(&Step::ReceiveResponse { pending: 0 }).expect("an action");
        let Prediction { allowed, tolerated, .. } = model.predict(&action);
        (allowed.to_vec(), tolerated.into_iter().map(|(_, expected)| expected).collect())
    }

    fn is_received(expected: &Expected) -> bool {
        matches!(expected, Expected::Received(_))
    }

    #[test]
    fn what_one_server_may_have_lost_hides_nothing_of_another_one() {
        // Its first answer is never read, and fills the buffer of the second one.
        let old = [&ASK[..], &answer(0), &[Step::DropPending { pending: 0 }], &ASK].concat();
        let (allowed, tolerated) = receive(1, &[&old, &answer(2)]);
        assert!(allowed.iter().all(is_received), "{allowed:?}");
        assert!(tolerated.contains(&Expected::Nothing));

        let (allowed, tolerated) = receive(1, &[&old, &answer(2), &answer(3)]);
        assert!(allowed.len() == 2 && allowed.iter().all(is_received), "{allowed:?}");
        assert!(!tolerated.contains(&Expected::Nothing), "{tolerated:?}");
    }

    #[test]
    fn old_responses_take_the_room_of_as_many_new_ones_and_no_more() {
        let old = [&ASK[..], &answer(0), &[Step::DropPending { pending: 0 }], &ASK].concat();
        for (room, answers, may_lose) in [(1, 1, true), (2, 1, false), (2, 2, true), (3, 2, false)]
        {
            let (_, tolerated) = receive(room, &[&old, &answer(2).repeat(answers)]);
            assert_eq!(!tolerated.is_empty(), may_lose, "{answers} in a buffer of {room}");
            // The first one fits beside the old one unless there is room for one only.
            assert_eq!(tolerated.contains(&Expected::Nothing), room == 1, "room for {room}");
        }
    }

    #[test]
    fn what_is_held_of_one_server_hides_nothing_of_another_one() {
        let read = [Step::ReceiveResponse { pending: 0 }, Step::DropPending { pending: 0 }];
        let held = [&ASK[..], &answer(0), &read, &ASK].concat();
        let refused = Expected::Refused("ExceedsMaxBorrows");
        let (_, tolerated) = receive(2, &[&held, &answer(2)]);
        assert!(tolerated.contains(&refused), "{tolerated:?}");
        let (_, tolerated) = receive(2, &[&held, &answer(2), &answer(3)]);
        assert!(!tolerated.contains(&refused), "{tolerated:?}");
        assert!(!tolerated.contains(&Expected::Nothing), "{tolerated:?}");
    }

    #[test]
    fn what_was_sent_where_a_handler_would_have_had_it_fail_is_there() {
        let old = [&ASK[..], &answer(0), &[Step::DropPending { pending: 0 }], &ASK].concat();
        for (backpressure, may_lose) in
            [(Backpressure::DiscardData, true), (Backpressure::DiscardDataAndFail, false)]
        {
            let (_, tolerated) = receive_of(backpressure, 1, &[&old, &answer(2)]);
            assert_eq!(tolerated.contains(&Expected::Nothing), may_lose, "{backpressure:?}");
        }
    }

    #[test]
    fn each_request_that_a_gone_dynamic_client_left_behind_hides_once_that_a_server_holds_all_it_may()
     {
        const RECEIVE: Step = Step::ReceiveRequest { server: 0 };
        let send = |client| {
            [Step::LoanRequest { client, len: 1, form: FORM }, Step::SendRequest { request: 0 }]
        };
        // How many receives in a row may say that there is nothing.
        let hidden = |strategy: Strategy, left_behind: usize, quirk: Switch| {
            let settings = Settings {
                enable_fire_and_forget_requests: false,
                max_active_requests_per_client: 2,
                ..Settings::default()
            };
            let mut steps = vec![
                Step::Join { how: OpenMode::Create, require: None },
                Step::create_client(0, Strategy::Static, 8),
                Step::create_client(0, strategy, 8),
                Step::create_server(0, Strategy::Static, 8, 4),
            ];
            steps.extend([send(0), send(0)].concat());
            steps.extend([RECEIVE; 2]);
            steps.extend(send(1).repeat(left_behind));
            steps.extend(vec![Step::DropPending { pending: 2 }; left_behind]);
            steps.extend([Step::DropPending { pending: 0 }, Step::DropClient { client: 1 }]);
            steps.extend(send(0));
            let mut model = model_after(settings, [quirk].into(), &steps).expect("a model");
            for times in 0..=left_behind + 1 {
                let action = model.resolve(&RECEIVE).expect("an action");
                let Prediction { allowed, tolerated, .. } = model.predict(&action);
                assert_eq!(allowed[..], [Expected::Refused("ExceedsMaxBorrows")]);
                if !tolerated.contains(&(quirk, Expected::Nothing)) {
                    return times;
                }
                model.apply(&action, &Observation::Nothing);
            }
            usize::MAX
        };
        let quirk = Switch::GoneClientIsNeverForgotten;
        for left_behind in 0..=2 {
            assert_eq!(hidden(Strategy::BestFit, left_behind, quirk), left_behind);
        }
        assert_eq!(hidden(Strategy::Static, 2, quirk), 0);
        assert_eq!(hidden(Strategy::BestFit, 2, Switch::FailedGrowthSticks), 0);
    }
}
