//! Who exists, and how much of what they may have they have.

use std::collections::BTreeSet;

use super::{Model, Pending, Switch};
use crate::actor::Key;

impl Model {
    /// Whether a known quirk may ruin the server once it holds what it would receive and all
    /// clients of which it holds something are gone. It never forgets a client whose requests
    /// were lost.
    pub(super) fn would_overfill_server(&self, server: Key) -> bool {
        let room = self.settings.server_expired_connection_buffer;
        let lost = self.forsaken.get(&server).copied().unwrap_or(0);
        // Mostly there is room for all.
        if self.active.len() + lost < room {
            return false;
        }
        let held = self.active.values().filter(|active| active.server == server);
        let held: BTreeSet<Key> = held.map(|active| active.client).collect();
        // Of whom all was received nothing is kept.
        let mut senders = self.queues_to(server).filter(|(_, queue)| !queue.is_empty());
        held.len() + lost >= room
            && senders.any(|((client, _), _)| !held.contains(client))
            && self.quirks.steers(Switch::FullExpiredBufferPanics)
    }

    /// As [`Self::would_overfill_server`], for a client and the responses it holds.
    pub(super) fn would_overfill_client(&self, pending: Key) -> bool {
        let room = self.settings.client_expired_connection_buffer;
        if self.responses.len() < room {
            return false;
        }
        let Pending { client, targets, .. } = &self.pending[&pending];
        let held = self.responses.values().filter(|held| held.client == *client);
        let held: BTreeSet<Key> = held.map(|response| response.server).collect();
        let mut senders = targets.iter().filter(|(_, target)| !target.queue.is_empty());
        held.len() >= room
            && senders.any(|(server, _)| !held.contains(server))
            && self.quirks.steers(Switch::FullExpiredBufferPanics)
    }

    /// Whether the client's port exists: itself or something that came out of it.
    pub(super) fn client_lives(&self, client: Key) -> bool {
        self.clients.get(&client).is_some_and(|port| port.handle)
            || self.loaned_requests.values().any(|loan| loan.client == client)
            || self.pending.values().any(|pending| pending.client == client)
            || self.responses.values().any(|response| response.client == client)
    }

    /// Whether the server's port exists: itself or something that came out of it.
    pub(super) fn server_lives(&self, server: Key) -> bool {
        self.servers.get(&server).is_some_and(|port| port.handle)
            || self.active.values().any(|active| active.server == server)
            || self.loaned_responses.values().any(|loan| loan.server == server)
    }

    /// Whether anything keeps the participant's node open.
    pub(super) fn participant_lingers(&self, participant: Key) -> bool {
        self.clients.iter().any(|(&k, p)| p.participant == participant && self.client_lives(k))
            || self
                .servers
                .iter()
                .any(|(&k, p)| p.participant == participant && self.server_lives(k))
    }

    pub(super) fn loaned_requests_of(&self, client: Key) -> usize {
        self.loaned_requests.values().filter(|loan| loan.client == client).count()
    }

    pub(super) fn pending_of(&self, client: Key) -> usize {
        self.pending.values().filter(|pending| pending.client == client).count()
    }

    pub(super) fn loaned_responses_of(&self, active: Key) -> usize {
        self.loaned_responses.values().filter(|loan| loan.active == active).count()
    }

    pub(super) fn active_of(&self, client: Key, server: Key) -> usize {
        self.active.values().filter(|a| a.client == client && a.server == server).count()
    }

    pub(super) fn held_responses_of(&self, pending: Key, server: Key) -> usize {
        self.responses.values().filter(|r| r.pending == pending && r.server == server).count()
    }
}
