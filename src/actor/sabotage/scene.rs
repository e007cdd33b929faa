//! What a saboteur knows of a run: the ports that exist, and what was sent and not yet
//! received. It follows what is reported, so it is as right as the report.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    actor::{Action, Key, Observation, PortId, Received, variant::Variant},
    payload::MessageId,
    scenario::{Settings, Strategy},
};

/// A client or a server.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) id: PortId,
    pub(super) strategy: Strategy,
    pub(super) hint: usize,
    /// Servers: responses that may be loaned per active request.
    pub(super) loans: usize,
    /// Longest loan so far, at least the hint.
    pub(super) longest: usize,
    /// Loans that were longer than every loan before.
    pub(super) growths: usize,
    /// Requests that had been sent when it was created.
    pub(super) born_after: usize,
    /// The `Client` or `Server` itself still exists.
    pub(super) exists: bool,
}

/// What is being loaned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loan {
    /// The client, or the active request.
    pub(super) from: Key,
    pub(super) id: MessageId,
    pub(super) len: usize,
}

/// A message that was sent.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) len: usize,
    /// The client or server that sent it.
    pub(super) sender: Key,
    pub(super) origin: PortId,
    /// The pending response it went out with, or answers.
    pub(super) pending: Key,
    /// Where it still waits: at servers, or at its pending response.
    pub(super) waits_at: BTreeSet<Key>,
    /// Whose full buffer gave it up, or did not take it.
    pub(super) ousted_at: BTreeSet<Key>,
}

impl Message {
    /// The message as it should be received.
    pub(super) fn received(&self) -> Received {
        Received {
            header: Some(self.id),
            len: self.len,
            mismatch: None,
            misaligned: false,
            origin: self.origin,
            header_origin: self.origin,
            elements: self.len as u64,
        }
    }
}

/// An active request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Active {
    pub(super) server: Key,
    pub(super) pending: Key,
}

#[derive(Debug)]
pub(super) struct Scene {
    pub(super) settings: Settings,
    pub(super) variant: Variant,
    pub(super) participants: BTreeSet<Key>,
    pub(super) clients: BTreeMap<Key, Port>,
    pub(super) servers: BTreeMap<Key, Port>,
    pub(super) loans: BTreeMap<Key, Loan>,
    /// Pending responses that exist, and their client.
    pub(super) pending: BTreeMap<Key, Key>,
    pub(super) active: BTreeMap<Key, Active>,
    /// Received responses that are held: pending response and sender.
    pub(super) held: BTreeMap<Key, (Key, PortId)>,
    /// All requests and responses in the order they were sent.
    pub(super) requests: Vec<Message>,
    pub(super) responses: Vec<Message>,
    /// Clients and servers that have refused a loan.
    refused: BTreeSet<Key>,
}

impl Scene {
    pub(super) fn new(settings: Settings, variant: Variant) -> Self {
        Self {
            settings,
            variant,
            participants: BTreeSet::new(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            loans: BTreeMap::new(),
            pending: BTreeMap::new(),
            active: BTreeMap::new(),
            held: BTreeMap::new(),
            requests: Vec::new(),
            responses: Vec::new(),
            refused: BTreeSet::new(),
        }
    }

    fn loaner(&self, action: &Action) -> Option<Key> {
        match action {
            Action::LoanRequest { client, .. } => Some(*client),
            Action::LoanResponse { active, .. } => Some(self.active.get(active)?.server),
            _ => None,
        }
    }

    /// The port whose memory a loan comes from.
    pub(super) fn loans_from(&self, action: &Action) -> Option<&Port> {
        let loaner = self.loaner(action)?;
        self.clients.get(&loaner).or_else(|| self.servers.get(&loaner))
    }

    /// Whether the port a loan comes from has refused one before.
    pub(super) fn follows_a_refusal(&self, action: &Action) -> bool {
        self.loaner(action).is_some_and(|loaner| self.refused.contains(&loaner))
    }

    /// Whether any port has refused a loan.
    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Loans of the same client or active request that exist already, and how many may.
    pub(super) fn loans_beside(&self, action: &Action) -> Option<(usize, usize)> {
        let (from, limit) = match action {
            Action::LoanRequest { client, .. } => (client, self.settings.max_loaned_requests),
            Action::LoanResponse { active, .. } => (active, self.loans_from(action)?.loans),
            _ => return None,
        };
        Some((self.loans.values().filter(|loan| loan.from == *from).count(), limit))
    }

    /// Whether as many responses to an active request wait as may.
    pub(super) fn fills_its_buffer(&self, active: Key) -> bool {
        let Some(Active { server, pending }) = self.active.get(&active) else { return false };
        let waiting = self
            .responses
            .iter()
            .filter(|response| response.sender == *server && response.waits_at.contains(pending));
        waiting.count() >= self.settings.max_response_buffer_size
    }

    /// Whether a loaned response has outlived its active request.
    pub(super) fn has_orphaned_loan(&self) -> bool {
        let exists = |from| self.active.contains_key(from) || self.clients.contains_key(from);
        self.loans.values().any(|loan| !exists(&loan.from))
    }

    /// The message that was received, as it was sent.
    pub(super) fn sent(&self, received: &Received) -> Option<&Message> {
        let all = self.requests.iter().chain(&self.responses);
        all.into_iter().find(|message| Some(message.id) == received.header)
    }

    /// The port that sent a message.
    pub(super) fn sender(&self, received: &Received) -> Option<&Port> {
        let sender = self.sent(received)?.sender;
        self.clients.get(&sender).or_else(|| self.servers.get(&sender))
    }

    /// The message the same port sent before this one.
    pub(super) fn before(&self, received: &Received) -> Option<&Message> {
        let message = self.sent(received)?;
        let mut all = self.requests.iter().chain(&self.responses);
        all.rfind(|other| other.sender == message.sender && other.id < message.id)
    }

    /// The next message of the same port that waits at the same place.
    pub(super) fn behind(&self, received: &Received, at: Key) -> Option<&Message> {
        let message = self.sent(received)?;
        let mut all = self.requests.iter().chain(&self.responses);
        all.find(|other| {
            other.sender == message.sender && other.id > message.id && other.waits_at.contains(&at)
        })
    }

    /// Whether nothing that came out of a server exists any more, nor the server.
    pub(super) fn is_gone(&self, server: &Port) -> bool {
        let mut holders = self.active.values().filter_map(|a| self.servers.get(&a.server));
        !server.exists && holders.all(|other| other.id != server.id)
    }

    /// The client whose request this is or was the pending response of.
    pub(super) fn client_of(&self, pending: Key) -> Option<&Key> {
        self.requests.iter().find(|message| message.pending == pending).map(|m| &m.sender)
    }

    /// Where a receiving action looks.
    pub(super) fn place(action: &Action) -> Option<Key> {
        match action {
            Action::ReceiveRequest { server, .. } => Some(*server),
            Action::ReceiveResponse { pending, .. } => Some(*pending),
            _ => None,
        }
    }

    /// Follows what was reported.
    pub(super) fn note(&mut self, action: &Action, reported: &Observation) {
        match (action, reported) {
            (Action::Join { new, .. }, Observation::Done) => {
                self.participants.insert(*new);
            }
            (Action::Leave { participant }, _) => {
                self.participants.remove(participant);
            }
            (
                Action::CreateClient { new, strategy, hint, .. },
                Observation::PortCreated { id, .. },
            ) => {
                let port = self.new_port(*id, *strategy, *hint, 0);
                self.clients.insert(*new, port);
            }
            (
                Action::CreateServer { new, strategy, hint, loans, .. },
                Observation::PortCreated { id, .. },
            ) => {
                let port = self.new_port(*id, *strategy, *hint, *loans);
                self.servers.insert(*new, port);
            }
            (Action::DropClient { client: key }, _) | (Action::DropServer { server: key }, _) => {
                let port = self.clients.get_mut(key).or_else(|| self.servers.get_mut(key));
                port.into_iter().for_each(|port| port.exists = false);
            }
            (
                Action::LoanRequest { client: from, new, id, len, .. }
                | Action::LoanResponse { active: from, new, id, len, .. },
                Observation::Loaned { .. },
            ) => {
                self.loans.insert(*new, Loan { from: *from, id: *id, len: *len });
                let server = self.active.get(from).map_or(*from, |active| active.server);
                let port = self.clients.get_mut(from).or_else(|| self.servers.get_mut(&server));
                if let Some(port) = port.filter(|port| port.longest < *len) {
                    port.longest = *len;
                    port.growths += 1;
                }
            }
            (Action::LoanRequest { .. } | Action::LoanResponse { .. }, Observation::Refused(_)) => {
                self.refused.extend(self.loaner(action));
            }
            (Action::SendRequest { request, new }, Observation::Sent { .. }) => {
                self.request_sent(*request, *new);
            }
            (Action::SendResponse { response }, Observation::Done) => self.response_sent(*response),
            (
                Action::SendRequest { request: key, .. }
                | Action::DropRequest { request: key }
                | Action::DropLoanedResponse { response: key },
                _,
            ) => {
                self.loans.remove(key);
            }
            (Action::ReceiveRequest { server, new }, Observation::Received(received)) => {
                let pending = self.sent(received).map_or(Key::default(), |m| m.pending);
                self.active.insert(*new, Active { server: *server, pending });
                take_out(&mut self.requests, received, *server);
            }
            (Action::ReceiveRequest { server, .. }, Observation::Nothing)
                if !self.settings.enable_fire_and_forget_requests =>
            {
                let abandoned = self.requests.iter_mut();
                abandoned.filter(|m| !self.pending.contains_key(&m.pending)).for_each(|m| {
                    m.waits_at.remove(server);
                });
            }
            (Action::ReceiveResponse { pending, new }, Observation::Received(received)) => {
                self.held.insert(*new, (*pending, received.origin));
                take_out(&mut self.responses, received, *pending);
            }
            (Action::DropPending { pending }, _) => {
                self.pending.remove(pending);
            }
            (Action::DropActive { active }, _) => {
                self.active.remove(active);
            }
            (Action::DropResponse { response }, _) => {
                self.held.remove(response);
            }
            _ => {}
        }
    }

    fn new_port(&self, id: PortId, strategy: Strategy, hint: usize, loans: usize) -> Port {
        Port {
            id,
            strategy,
            hint,
            loans,
            longest: hint,
            growths: 0,
            born_after: self.requests.len(),
            exists: true,
        }
    }

    fn request_sent(&mut self, request: Key, new: Key) {
        let Some(Loan { from, id, len }) = self.loans.remove(&request) else { return };
        let origin = self.clients.get(&from).map_or(PortId::default(), |port| port.id);
        self.pending.insert(new, from);
        let servers = self.servers.iter().filter(|(_, port)| port.exists).map(|(key, _)| *key);
        let message = Message {
            id,
            len,
            sender: from,
            origin,
            pending: new,
            waits_at: servers.collect(),
            ousted_at: BTreeSet::new(),
        };
        let capacity = self.settings.max_active_requests_per_client;
        let overflows = self.settings.enable_safe_overflow_for_requests;
        put_in(&mut self.requests, message, capacity, overflows);
    }

    fn response_sent(&mut self, response: Key) {
        let Some(Loan { from, id, len }) = self.loans.remove(&response) else { return };
        let Some(Active { server, pending }) = self.active.get(&from).copied() else { return };
        let origin = self.servers.get(&server).map_or(PortId::default(), |port| port.id);
        let waits = self.pending.contains_key(&pending).then_some(pending);
        let message = Message {
            id,
            len,
            sender: server,
            origin,
            pending,
            waits_at: waits.into_iter().collect(),
            ousted_at: BTreeSet::new(),
        };
        let capacity = self.settings.max_response_buffer_size;
        let overflows = self.settings.enable_safe_overflow_for_responses;
        put_in(&mut self.responses, message, capacity, overflows);
    }
}

/// A full buffer gives up its oldest message, or does not take the new one.
fn put_in(messages: &mut Vec<Message>, mut new: Message, capacity: usize, overflows: bool) {
    for place in new.waits_at.clone() {
        let of_same = |m: &&mut Message| m.sender == new.sender && m.waits_at.contains(&place);
        if messages.iter_mut().filter(of_same).count() < capacity {
            continue;
        }
        let oldest = messages.iter_mut().find(of_same).filter(|_| overflows);
        let ousted = oldest.unwrap_or(&mut new);
        ousted.waits_at.remove(&place);
        ousted.ousted_at.insert(place);
    }
    messages.push(new);
}

/// What was sent before by the same port can no longer be received.
fn take_out(messages: &mut [Message], received: &Received, place: Key) {
    let same = |m: &&mut Message| m.origin == received.origin && Some(m.id) <= received.header;
    messages.iter_mut().filter(same).for_each(|message| {
        message.waits_at.remove(&place);
    });
}
