//! Who is gone, and what goes with them: ports and participants nothing refers to any more.

use std::collections::{BTreeMap, BTreeSet};

use super::{Model, Pending, Switch, TargetState, Unreturned, responses::endanger};
use crate::actor::Key;

impl Model {
    /// Forgets ports and participants nothing refers to any more, and what went with
    /// them.
    pub(super) fn retire(&mut self) {
        // Most steps: nobody can be gone, and empty queues are as good as none.
        if !self.has_lingering {
            return;
        }
        let may_be_discarded = !self.settings.enable_fire_and_forget_requests
            || self.loses_requests_of_gone_clients().is_some();
        let gone: Vec<Key> =
            self.clients.keys().copied().filter(|&client| !self.client_lives(client)).collect();
        for client in gone {
            let Some(port) = self.clients.remove(&client) else { continue };
            self.expired.remove(&client);
            self.forgotten.remove(&client);
            self.note_unreleased();
            self.unaware
                .extend(self.acquainted.iter().filter(|(c, _)| *c == client).map(|(_, s)| *s));
            for ((from, server), queue) in &mut self.in_flight {
                if *from != client {
                    continue;
                }
                let keeps =
                    self.server_knows.contains(&(*server, client)) && port.keeps_data_when_gone();
                if !queue.is_empty() && may_be_discarded {
                    let held =
                        self.active.values().filter(|a| a.client == client && a.server == *server);
                    let unread = queue.iter().map(|request| request.id);
                    let requests: Vec<_> = held.map(|active| active.id).chain(unread).collect();
                    let borrowed = requests.len();
                    let objects = port.objects_kept_by(requests.into_iter());
                    let unmapped = if port.strategy.is_dynamic() { queue.len() } else { 0 };
                    let unreturned = Unreturned { borrowed, objects, unmapped };
                    self.unreturned.insert((*server, client), unreturned);
                }
                if !queue.is_empty() {
                    *self.forsaken.entry(*server).or_default() += 1;
                }
                for request in queue {
                    request.orphan = true;
                    request.certain &= keeps;
                }
            }
        }
        let gone: Vec<Key> =
            self.servers.keys().copied().filter(|&server| !self.server_lives(server)).collect();
        for server in gone {
            let Some(port) = self.servers.remove(&server) else { continue };
            self.expired.remove(&server);
            self.forgotten.remove(&server);
            self.unreleased.remove(&server);
            let left = self.acquainted.iter().filter(|(_, s)| *s == server).map(|(c, _)| *c);
            let left: Vec<Key> = left.collect();
            let haunted: Vec<Key> = left
                .iter()
                .copied()
                .filter(|client| self.has_responses_of(*client, server))
                .collect();
            self.haunted.extend(haunted);
            self.outlived.extend(&left);
            self.unaware.extend(&left);
            self.in_flight.retain(|(_, to), _| *to != server);
            self.unreturned.retain(|(of, _), _| *of != server);
            for (_, pending) in &mut self.pending {
                let Some(target) = pending.targets.get_mut(&server) else { continue };
                if target.state != TargetState::Closed {
                    target.state = TargetState::Abandoned;
                }
                if !port.keeps_data_when_gone() {
                    target.queue.iter_mut().for_each(|response| response.certain = false);
                } else if port.strategy.is_dynamic()
                    && !self.mapped.contains_key(&(pending.client, server))
                {
                    endanger(&mut target.queue, Switch::UnmappedSegmentIsLost);
                }
            }
        }
        self.in_flight.retain(|_, queue| !queue.is_empty());
        self.note_expired();
        self.crowd_out_gone_servers();
        self.crowd_out_gone_clients();
        let gone: Vec<Key> = self
            .participants
            .iter()
            .filter(|(key, participant)| !participant.present && !self.participant_lingers(**key))
            .map(|(key, _)| *key)
            .collect();
        for participant in gone {
            self.participants.remove(&participant);
        }
        self.has_lingering = self.clients.values().any(|port| !port.handle)
            || self.servers.values().any(|port| !port.handle)
            || self.participants.values().any(|participant| !participant.present);
    }

    /// Whether a client holds responses of a server, or has some it did not read or never will.
    fn has_responses_of(&self, client: Key, server: Key) -> bool {
        let of_both = |pending: &Pending| {
            let target = pending.targets.get(&server).filter(|_| pending.client == client);
            target.is_some_and(|target| !target.queue.is_empty())
        };
        self.stale.contains(&(client, server))
            || self.pending.values().any(of_both)
            || self.responses.values().any(|held| held.client == client && held.server == server)
    }

    /// A client keeps the unread responses of as many gone servers as its buffer for expired
    /// connections holds; of more, nothing is promised.
    fn crowd_out_gone_servers(&mut self) {
        let limit = self.settings.client_expired_connection_buffer;
        let mut unread: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
        for pending in self.pending.values() {
            let targets = pending.targets.iter().filter(|(_, target)| !target.queue.is_empty());
            unread.entry(pending.client).or_default().extend(targets.map(|(&server, _)| server));
        }
        for &(client, server) in &self.stale {
            unread.entry(client).or_default().insert(server);
        }
        for held in self.responses.values() {
            unread.entry(held.client).or_default().insert(held.server);
        }
        for (client, mut servers) in unread {
            servers.retain(|server| !self.servers.contains_key(server));
            if servers.len() <= limit {
                continue;
            }
            let waiting = self.pending.iter_mut().filter(|(_, pending)| pending.client == client);
            for (_, pending) in waiting {
                for (_, target) in
                    pending.targets.iter_mut().filter(|(server, _)| servers.contains(server))
                {
                    target.queue.iter_mut().for_each(|response| response.certain = false);
                }
            }
        }
    }

    /// As [`Self::crowd_out_gone_servers`], for the requests of gone clients.
    fn crowd_out_gone_clients(&mut self) {
        let limit = self.settings.server_expired_connection_buffer;
        let mut unread: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
        for &(client, server) in self.in_flight.keys() {
            unread.entry(server).or_default().insert(client);
        }
        for active in self.active.values() {
            unread.entry(active.server).or_default().insert(active.client);
        }
        for (server, mut clients) in unread {
            clients.retain(|client| !self.clients.contains_key(client));
            if clients.len() <= limit {
                continue;
            }
            let queues = self
                .in_flight
                .iter_mut()
                .filter(|((client, to), _)| *to == server && clients.contains(client));
            for (_, queue) in queues {
                queue.iter_mut().for_each(|request| request.certain = false);
            }
        }
    }
}
