//! Follows what was observed: the model's state after an action.

use litemap::LiteMap;
use smallvec::SmallVec;

use super::{
    Active, LoanedRequest, LoanedResponse, Model, Participant, Pending, Port, Promise,
    QueuedRequest, SHORTEST_IMPOSSIBLE, Switch, Target, TargetState, judge,
    send::{Room, UNDELIVERED},
};
use crate::{
    actor::{Action, Key, Observation, PortId},
    scenario::{Strategy, is_reduced},
};

impl Model {
    /// Takes over the outcome of an action. The observation must have been judged:
    /// an outcome the model did not allow leaves it in an arbitrary state.
    pub fn apply(&mut self, action: &Action, observation: &Observation) {
        if let Observation::Refused(error) = observation {
            // One that exceeds a limit says so before anything grows.
            let has_grown = !judge::names(error, "ExceedsMaxLoans");
            let port = match *action {
                Action::LoanRequest { client, len, .. } => Some((client, len)),
                Action::LoanResponse { active, len, .. } => {
                    self.refused.insert(active);
                    self.active.get(&active).map(|active| (active.server, len))
                }
                _ => None,
            };
            if let Some((port, len)) = port {
                self.refused.insert(port);
                if has_grown {
                    self.note_failed_growth(port, len);
                }
            }
        }
        match *action {
            Action::Join { new, .. } => {
                if *observation == Observation::Done {
                    self.participants.insert(new, Participant { present: true });
                    self.joined += 1;
                }
            }
            Action::Leave { participant } => {
                if let Some(participant) = self.participants.get_mut(&participant) {
                    participant.present = false;
                    self.has_lingering = true;
                }
            }
            Action::Die { victim } => {
                self.dead.insert(victim);
            }
            Action::Kill { victim, .. } => self.clean_up(victim),
            Action::KillAmid { victim, ref doing, .. } => {
                if matches!(**doing, Action::Join { .. }) {
                    let is_node = matches!(observation, Observation::CleanedUp { dead: 1, .. });
                    self.joined += usize::from(is_node);
                    self.half_made_nodes += usize::from(!is_node);
                }
                self.kill_amid(victim, doing);
            }
            Action::CreateClient { participant, new, strategy, hint, preallocate, active } => {
                if let Observation::PortCreated { id, .. } = observation {
                    let alignment = self.settings.request_payload_alignment;
                    let port = Port {
                        active: active.unwrap_or(self.settings.max_active_requests_per_client),
                        preallocated: preallocate.filter(|_| is_reduced(preallocate)),
                        loses_chunks: self.loses_chunks(strategy, alignment),
                        ..Port::new(participant, *id, strategy, hint)
                    };
                    self.clients.insert(new, port);
                    self.strategies.insert(new, (*id, strategy));
                }
            }
            Action::CreateServer { participant, new, strategy, hint, loans, preallocate } => {
                if let Observation::PortCreated { id, .. } = observation {
                    let alignment = self.settings.response_payload_alignment;
                    let port = Port {
                        loans,
                        preallocated: preallocate.filter(|_| is_reduced(preallocate)),
                        loses_chunks: self.loses_chunks(strategy, alignment),
                        ..Port::new(participant, *id, strategy, hint)
                    };
                    self.servers.insert(new, port);
                    self.strategies.insert(new, (*id, strategy));
                    self.server_looks(new);
                    if !self.sent_requests.is_empty() {
                        self.late.insert(new, self.sent_requests.len());
                    }
                }
            }
            Action::DropClient { client } => {
                if let Some(port) = self.clients.get_mut(&client) {
                    port.handle = false;
                    self.has_lingering = true;
                }
            }
            Action::DropServer { server } => self.drop_server(server),
            Action::LoanRequest { client, new, id, len, .. } => {
                self.note_running_out(client, len);
                if matches!(observation, Observation::Loaned { .. }) {
                    self.loaned_requests.insert(new, LoanedRequest { client, id, len });
                    if let Some(port) = self.clients.get_mut(&client) {
                        port.note_loan(id, len);
                    }
                }
            }
            Action::LoanResponse { active, new, id, len, .. } => {
                if let Some(server) = self.active.get(&active).map(|active| active.server) {
                    self.note_running_out(server, len);
                }
                if matches!(observation, Observation::Loaned { .. })
                    && let Some(Active { server, client, pending, .. }) =
                        self.active.get(&active).cloned()
                {
                    self.loaned_responses
                        .insert(new, LoanedResponse { active, server, client, pending, id, len });
                    if let Some(port) = self.servers.get_mut(&server) {
                        port.note_loan(id, len);
                    }
                } else if !self.reaches_own_loan_limit(active)
                    && !is_too_long(observation)
                    && let Some(active) = self.active.get_mut(&active)
                {
                    active.failed_loans += 1;
                }
            }
            Action::SendRequest { request, new } => {
                let loan = self.loaned_requests.remove(&request);
                match (loan, observation) {
                    (Some(loan), Observation::Sent { servers }) => {
                        self.looks(loan.client);
                        self.request_sent(new, &loan, *servers);
                    }
                    // Who has room has it, and nobody waits for an answer.
                    (Some(loan), Observation::Refused(error))
                        if judge::names(error, UNDELIVERED) =>
                    {
                        self.looks(loan.client);
                        self.request_sent(new, &loan, 0);
                        self.drop_pending(new);
                    }
                    _ => {}
                }
            }
            Action::DropRequest { request } => {
                self.loaned_requests.remove(&request);
            }
            Action::ReceiveRequest { server, new } => {
                self.server_looks(server);
                self.request_received(server, new, observation);
                self.tidy_expired(server);
            }
            Action::SendResponse { response } => {
                if let Some(loan) = self.loaned_responses.remove(&response) {
                    self.server_looks(loan.server);
                    match observation {
                        Observation::Refused(_) => {
                            self.fates.insert(loan.id, Promise::DiscardKeepsBuffered);
                            self.discarding.insert(loan.pending);
                        }
                        _ => self.response_sent(&loan),
                    }
                }
            }
            Action::DropLoanedResponse { response } => {
                self.loaned_responses.remove(&response);
            }
            Action::ReceiveResponse { pending, new } => {
                self.response_received(pending, new, observation);
                if let Some(pending) = self.pending.get(&pending) {
                    self.tidy_expired(pending.client);
                }
            }
            Action::DropPending { pending } => self.drop_pending(pending),
            Action::DropActive { active } => self.drop_active(active),
            Action::DropResponse { response } => {
                self.responses.remove(&response);
            }
            Action::InspectServer { server } | Action::UpdateServer { server } => {
                self.server_looks(server);
            }
            Action::HintDisconnect { pending } => {
                if let Some(pending) = self.pending.get_mut(&pending) {
                    pending.hinted = true;
                }
            }
            Action::InspectPending { .. }
            | Action::InspectActive { .. }
            | Action::InspectService { .. } => {}
            Action::UpdateClient { client } => self.looks(client),
        }
        self.retire();
    }

    /// Whether a known quirk takes chunks from a port with this alignment of payloads, or with
    /// that of the user headers.
    fn loses_chunks(&self, strategy: Strategy, alignment: usize) -> bool {
        let alignment = alignment.max(self.settings.payload.header_alignment());
        let is_over_aligned = alignment > align_of::<u64>();
        is_over_aligned
            && strategy.is_dynamic()
            && self.quirks.steers(Switch::AlignedPortLosesChunks)
    }

    fn note_running_out(&mut self, key: Key, len: usize) {
        let port = self.clients.get(&key).or_else(|| self.servers.get(&key));
        let Some(port) = port.filter(|port| port.loses_chunks) else { return };
        let ran_out = self.may_have_lost_chunks(key, port, len);
        let is_full = self.may_meet_full_segment(key, port);
        if let Some(port) = self.clients.get_mut(&key).or_else(|| self.servers.get_mut(&key)) {
            port.ran_out |= ran_out;
            port.full_segments += usize::from(is_full);
        }
    }

    fn note_failed_growth(&mut self, key: Key, len: usize) {
        let port = self.clients.get(&key).or_else(|| self.servers.get(&key));
        if len >= SHORTEST_IMPOSSIBLE && port.is_some_and(|port| port.strategy.is_dynamic()) {
            self.starved.insert(key);
        }
    }

    /// Whether the active request has as many loans, failed ones included, as its server
    /// grants each.
    fn reaches_own_loan_limit(&self, active: Key) -> bool {
        self.active.get(&active).is_some_and(|Active { server, failed_loans, .. }| {
            self.servers
                .get(server)
                .is_some_and(|port| self.loaned_responses_of(active) + failed_loans >= port.loans)
        })
    }

    /// The port has looked who is there: it has back what those had who are gone.
    fn looks(&mut self, port: Key) {
        self.unaware.remove(&port);
        self.bereft.remove(&port);
    }

    /// The server refreshed its connections: it knows every client that exists.
    fn server_looks(&mut self, server: Key) {
        self.looks(server);
        self.server_knows.extend(self.clients.keys().map(|&client| (server, client)));
        self.unread.retain(|(from, to), _| *from != server || self.clients.contains_key(to));
    }

    pub(super) fn drop_pending(&mut self, key: Key) {
        let Some(pending) = self.pending.remove(&key) else { return };
        if pending.hinted {
            self.hinted_and_gone.insert(key);
        }
        for (&server, target) in &pending.targets {
            for response in &target.queue {
                self.fates.insert(response.id, Promise::ResponseReachesOnlyItsRequest);
                self.stale.insert((pending.client, server));
                *self.unread.entry((server, pending.client)).or_default() += 1;
            }
        }
        if !self.settings.enable_fire_and_forget_requests {
            for ((_, server), queue) in &self.in_flight {
                for request in queue.iter().filter(|request| request.pending == key) {
                    self.fates.insert(request.id, Promise::NoFireAndForgetDiscards);
                    self.discarding.insert(*server);
                }
            }
        }
    }

    pub(super) fn drop_active(&mut self, key: Key) {
        if let Some(active) = self.active.remove(&key)
            && let Some(pending) = self.pending.get_mut(&active.pending)
            && let Some(target) = pending.targets.get_mut(&active.server)
        {
            target.state = TargetState::Closed;
        }
    }

    pub(super) fn drop_server(&mut self, server: Key) {
        if let Some(port) = self.servers.get_mut(&server) {
            port.handle = false;
            self.has_lingering = true;
        }
        // What it has not received it can no longer receive, but its port may live on
        // through other active requests.
        for queued in
            self.in_flight.iter().filter(|((_, to), _)| *to == server).flat_map(|(_, q)| q)
        {
            if let Some(pending) = self.pending.get_mut(&queued.pending)
                && let Some(target) = pending.targets.get_mut(&server)
            {
                target.state = TargetState::Unspecified;
            }
        }
    }

    fn request_sent(&mut self, new: Key, loan: &LoanedRequest, servers: usize) {
        self.sent_requests.push(loan.id);
        let origin = self.clients.get(&loan.client).map_or(PortId::default(), |port| port.id);
        let mut pending = Pending {
            client: loan.client,
            servers,
            hinted: false,
            haunted: self.haunted.contains(&loan.client),
            discarded: false,
            targets: LiteMap::new(),
        };
        let servers: SmallVec<[(Key, bool); 4]> =
            self.servers.iter().map(|(&key, port)| (key, port.handle)).collect();
        for (server, handle) in servers {
            let room = self.room_for_request(loan.client, server);
            pending.discarded |= room != Room::Yes;
            if room == Room::No {
                continue;
            }
            self.acquainted.insert((loan.client, server));
            let certain = handle && room == Room::Yes;
            let queue = self.in_flight.entry((loan.client, server)).or_default();
            if self.settings.enable_safe_overflow_for_requests
                && queue.len() >= self.settings.max_active_requests_per_client
                && let Some(evicted) = queue.pop_front()
            {
                self.fates.insert(evicted.id, Promise::RequestOverflowEvictsOldest);
                self.overflowed.insert(server);
                if let Some(pending) = self.pending.get_mut(&evicted.pending)
                    && let Some(target) = pending.targets.get_mut(&server)
                {
                    target.state = TargetState::Unspecified;
                }
            }
            queue.push_back(QueuedRequest {
                pending: new,
                id: loan.id,
                len: loan.len,
                origin,
                certain,
                orphan: false,
            });
            let state = if certain { TargetState::Open } else { TargetState::Unspecified };
            pending.targets.insert(server, Target { state, queue: Default::default() });
        }
        self.pending.insert(new, pending);
    }

    fn request_received(&mut self, server: Key, new: Key, observation: &Observation) {
        let keeps_dead = self.settings.enable_fire_and_forget_requests;
        match observation {
            Observation::Received(received) => {
                let found = self
                    .in_flight
                    .iter_mut()
                    .filter(|((_, to), _)| *to == server)
                    .find_map(|((client, _), queue)| {
                        let at =
                            queue.iter().position(|request| Some(request.id) == received.header)?;
                        let request = queue.drain(..=at).next_back()?;
                        Some((*client, request.pending, request.id))
                    });
                if let Some((client, pending, id)) = found {
                    self.active
                        .insert(new, Active { server, client, pending, id, failed_loans: 0 });
                    if let Some(target) =
                        self.pending.get_mut(&pending).and_then(|p| p.targets.get_mut(&server))
                    {
                        target.state = TargetState::Open;
                    }
                }
            }
            // Whatever nobody waits for is discarded, and whatever of a gone client was not there
            // is lost, where it could have been had.
            Observation::Nothing => {
                let limit = self.settings.max_active_requests_per_client;
                let holds = |client| {
                    self.active
                        .values()
                        .filter(|a| a.client == client && a.server == server)
                        .count()
                };
                for ((client, to), queue) in &mut self.in_flight {
                    if *to == server && holds(*client) < limit {
                        queue.retain(|request| match keeps_dead {
                            true => !request.orphan,
                            false => self.pending.contains_key(&request.pending),
                        });
                    }
                }
                self.in_flight.retain(|_, queue| !queue.is_empty());
                for ((of, client), kept) in &mut self.unreturned {
                    if *of == server && holds(*client) < limit {
                        kept.unmapped = kept.unmapped.saturating_sub(1);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_too_long(observation: &Observation) -> bool {
    matches!(observation, Observation::Refused(error) if error.contains("ExceedsMaxLoanSize"))
}
