//! Connections of peers that are gone, as a port keeps them until it looks for messages, and
//! those a known quirk makes it forget.

use std::collections::BTreeSet;

use super::{Model, Switch};
use crate::actor::Key;

/// Connections that have to go at the same time for another one to be forgotten.
const FEWEST_TO_GO: usize = 2;

impl Model {
    /// Notes whose connections are kept beyond their end.
    pub(super) fn note_expired(&mut self) {
        if !self.quirks.contains(Switch::GoneConnectionIsForgotten) {
            return;
        }
        let pending = self.pending.values().flat_map(|pending| {
            let unread = pending.targets.iter().filter(|(_, target)| !target.queue.is_empty());
            unread.map(|(&server, _)| (pending.client, server))
        });
        let of_clients = pending
            .chain(self.stale.iter().copied())
            .chain(self.responses.values().map(|held| (held.client, held.server)))
            .filter(|(_, server)| !self.servers.contains_key(server));
        let unread = self.in_flight.iter().filter(|(_, queue)| !queue.is_empty());
        let of_servers = unread
            .map(|(&(client, server), _)| (server, client))
            .chain(self.active.values().map(|active| (active.server, active.client)))
            .filter(|(_, client)| !self.clients.contains_key(client));
        let all: Vec<(Key, Key)> = of_clients.chain(of_servers).collect();
        for (port, peer) in all {
            self.expired.entry(port).or_default().insert(peer);
        }
    }

    /// A port looks for messages: connections of which it holds nothing go, and with two of them
    /// another one may be forgotten.
    pub(super) fn tidy_expired(&mut self, port: Key) {
        let Some(peers) = self.expired.remove(&port) else { return };
        let held: BTreeSet<Key> = self
            .active
            .values()
            .filter(|active| active.server == port)
            .map(|active| active.client)
            .chain(self.responses.values().filter(|r| r.client == port).map(|r| r.server))
            .filter(|peer| peers.contains(peer))
            .collect();
        if peers.len() - held.len() >= FEWEST_TO_GO {
            self.forgotten.entry(port).or_default().extend(&held);
        }
        if !held.is_empty() {
            self.expired.insert(port, held);
        }
        self.note_expired();
    }

    /// A client is gone, and a known quirk lets no server forget it.
    pub(super) fn note_unreleased(&mut self) {
        if self.quirks.contains(Switch::GoneClientIsNeverForgotten)
            && !self.settings.enable_fire_and_forget_requests
        {
            for server in self.servers.keys() {
                *self.unreleased.entry(*server).or_default() += 1;
            }
        }
    }

    /// Whether another peer could be one more than a port has room for, as it never gets rid of
    /// those it has forgotten and still has others that are gone.
    pub(super) fn forgotten_fill(&self) -> bool {
        let room = self.settings.server_expired_connection_buffer;
        let unreleased_fill = self.unreleased.values().any(|count| 2 * count >= room);
        let is_full = |(port, peers): (&Key, &BTreeSet<Key>)| {
            let room = if self.clients.contains_key(port) {
                self.settings.client_expired_connection_buffer
            } else {
                self.settings.server_expired_connection_buffer
            };
            let expired = self.expired.get(port).map_or(0, BTreeSet::len);
            2 * peers.len() + expired >= room
        };
        unreleased_fill && self.quirks.steers(Switch::GoneClientIsNeverForgotten)
            || self.forgotten.iter().any(is_full)
                && self.quirks.steers(Switch::GoneConnectionIsForgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Settings;

    #[test]
    fn what_is_forgotten_and_what_is_expired_share_the_room() {
        let settings = Settings { server_expired_connection_buffer: 3, ..Settings::default() };
        let mut model = Model::new(settings, [Switch::GoneConnectionIsForgotten].into());
        let peers = |keys: &[u32]| keys.iter().copied().map(Key).collect::<BTreeSet<_>>();
        let server = Key(1);
        model.expired.insert(server, peers(&[2, 3]));
        assert!(!model.forgotten_fill(), "it gets rid of those");
        model.forgotten.insert(server, peers(&[4]));
        assert!(model.forgotten_fill());
        model.expired.clear();
        assert!(!model.forgotten_fill());
        model.forgotten.insert(server, peers(&[4, 5]));
        assert!(model.forgotten_fill());
    }
}
