//! What became of responses that were sent, received, or looked for in vain: part of the model's
//! state after an action.

use std::collections::{BTreeSet, VecDeque};

use super::{HeldResponse, LoanedResponse, Model, Promise, QueuedResponse, Switch};
use crate::actor::{Key, Observation, PortId};

impl Model {
    pub(super) fn response_sent(&mut self, loan: &LoanedResponse) {
        self.answers.push((loan.id, loan.pending));
        let origin = self.servers.get(&loan.server).map_or(PortId::default(), |port| port.id);
        // A response sent after its active request is gone is nowhere promised to
        // arrive, nor to be dropped.
        let mut certain = self.active.contains_key(&loan.active);
        let capacity = self.settings.max_response_buffer_size;
        let overflow = self.settings.enable_safe_overflow_for_responses;
        let all_firm = self
            .target_of(loan)
            .is_some_and(|target| target.queue.iter().all(|response| self.is_firm(response)));
        // A handler that has a send fail says so: what was sent then is there.
        let is_told = self.settings.server_backpressure.fails() && !overflow;
        let squeezed = !is_told && self.old_responses_fill(loan);
        let risks = squeezed.then_some(Switch::OldResponsesFillBuffer).into_iter().collect();
        let Some(target) =
            self.pending.get_mut(&loan.pending).and_then(|p| p.targets.get_mut(&loan.server))
        else {
            self.fates.insert(loan.id, Promise::ResponseReachesOnlyItsRequest);
            self.answered_too_late(loan);
            return;
        };
        if squeezed && overflow {
            // An older one goes, and that need not be one of those that were never read.
            endanger(&mut target.queue, Switch::OldResponsesFillBuffer);
        }
        if target.queue.len() >= capacity {
            if overflow {
                let all_certain = target.queue.iter().all(|response| response.certain);
                self.overflowed.insert(loan.pending);
                if !(all_certain && certain) {
                    // Whether room was needed depends on what is uncertain already.
                    if let Some(oldest) = target.queue.iter_mut().find(|response| response.certain)
                    {
                        oldest.certain = false;
                    }
                } else if let Some(evicted) = target.queue.pop_front() {
                    self.fates.insert(evicted.id, Promise::ResponseOverflowEvictsOldest);
                }
            } else if all_firm {
                self.fates.insert(loan.id, Promise::DiscardKeepsBuffered);
                self.discarding.insert(loan.pending);
                return;
            } else {
                certain = false;
            }
        }
        target.queue.push_back(QueuedResponse {
            risks,
            id: loan.id,
            len: loan.len,
            origin,
            certain,
        });
    }

    /// An answer to a pending response that is gone: with the quirk it takes room from
    /// what other requests of that client are waiting for.
    fn answered_too_late(&mut self, loan: &LoanedResponse) {
        self.stale.insert((loan.client, loan.server));
        let old = self.unread.entry((loan.server, loan.client)).or_default();
        *old += 1;
        let old = *old;
        let pending = self.pending.iter_mut().map(|(_, pending)| pending);
        let waiting = pending.filter(|pending| pending.client == loan.client);
        for target in waiting.filter_map(|pending| pending.targets.get_mut(&loan.server)) {
            if old + target.queue.len() > self.settings.max_response_buffer_size {
                endanger(&mut target.queue, Switch::OldResponsesFillBuffer);
            }
        }
    }

    /// With the quirk, a client that looks for a response to one request and finds none
    /// from a server that is gone forgets what that server sent to its other requests.
    fn forget_gone_servers(&mut self, receiving: Key) {
        let Some(pending) = self.pending.get(&receiving) else { return };
        let client = pending.client;
        let has_gone_server = self
            .acquainted
            .iter()
            .any(|(of, server)| *of == client && !self.servers.contains_key(server));
        if !has_gone_server {
            return;
        }
        let finds_some = |server: &Key| {
            pending.targets.get(server).is_some_and(|target| self.has_firm(&target.queue))
        };
        let holds_some = |server: &Key| {
            self.responses.values().any(|held| held.client == client && held.server == *server)
        };
        let kept: BTreeSet<Key> = self
            .acquainted
            .iter()
            .filter(|(of, _)| *of == client)
            .map(|(_, server)| *server)
            .filter(|server| {
                self.servers.contains_key(server) || finds_some(server) || holds_some(server)
            })
            .collect();
        let others =
            self.pending.iter_mut().filter(|(key, p)| **key != receiving && p.client == client);
        for (_, pending) in others {
            for (_, target) in
                pending.targets.iter_mut().filter(|(server, _)| !kept.contains(server))
            {
                endanger(&mut target.queue, Switch::EmptyReceiveForgetsGoneServer);
            }
        }
    }

    pub(super) fn response_received(&mut self, pending: Key, new: Key, observation: &Observation) {
        self.forget_gone_servers(pending);
        if *observation == Observation::Nothing {
            self.nothing_waits_for(pending);
        }
        let Observation::Received(received) = observation else { return };
        let Some(entry) = self.pending.get_mut(&pending) else { return };
        for (&server, target) in &mut entry.targets {
            let Some(at) =
                target.queue.iter().position(|response| Some(response.id) == received.header)
            else {
                continue;
            };
            let last = target.queue.drain(..=at).next_back().map(|response| response.id);
            let client = entry.client;
            self.responses.insert(new, HeldResponse { client, server, pending });
            self.mapped.extend(last.map(|last| ((client, server), last)));
            return;
        }
    }

    /// What may have been lost has been, and what may not be received for now may not be
    /// there either.
    fn nothing_waits_for(&mut self, key: Key) {
        let limit = self.settings.max_borrowed_responses_per_pending_response;
        let Some(pending) = self.pending.get(&key) else { return };
        let is_readable = |&server: &Key| {
            self.held_responses_of(key, server) < limit
                && !self.is_blocked_by_old(key, pending.client, server)
        };
        let readable: Vec<Key> = pending.targets.keys().copied().filter(is_readable).collect();
        let Some(pending) = self.pending.get_mut(&key) else { return };
        for server in readable {
            let Some(target) = pending.targets.get_mut(&server) else { continue };
            let is_dynamic =
                self.strategies.get(&server).is_some_and(|(_, strategy)| strategy.is_dynamic());
            let may_hide =
                is_dynamic && !self.servers.contains_key(&server) && !target.queue.is_empty();
            if may_hide && self.quirks.steers(Switch::LostResponseHidesLaterOnes) {
                target.queue.pop_front();
                continue;
            }
            // Whoever is told that there is none is not to get one of them afterwards.
            for response in target.queue.drain(..) {
                self.fates.insert(response.id, Promise::NoResponseIsLost);
            }
        }
    }
}

pub(super) fn endanger(queue: &mut VecDeque<QueuedResponse>, switch: Switch) {
    queue.iter_mut().for_each(|response| response.risks.extend([switch]));
}
