//! Steps to actions: every index is taken modulo what exists; a step with nothing to act on is
//! skipped, and so is one that is [steered around](super::steering).

use litemap::LiteMap;

use super::{LONGEST_AFFORDABLE, Model, Switch};
use crate::{
    actor::{Action, Key, version},
    payload::MessageId,
    scenario::{Nth, OpenMode, Step, Strategy, is_reduced},
};

/// An index counted modulo the number of what exists.
pub(super) fn modulo(index: Nth, count: usize) -> Option<usize> {
    let index = i64::from(index).checked_rem_euclid(i64::try_from(count).ok()?)?;
    usize::try_from(index).ok()
}

/// The `index`-th of those keys that satisfy `which`, counted modulo their number.
fn nth<T>(map: &LiteMap<Key, T>, index: Nth, which: impl Fn(&T) -> bool) -> Option<Key> {
    let index = modulo(index, map.values().filter(|value| which(value)).count())?;
    map.iter().filter(|(_, value)| which(value)).nth(index).map(|(key, _)| *key)
}

fn any<T>(map: &LiteMap<Key, T>, index: Nth) -> Option<Key> {
    map.get_indexed(modulo(index, map.len())?).map(|(key, _)| *key)
}

impl Model {
    fn fresh(&mut self) -> Key {
        self.next_key += 1;
        Key(self.next_key)
    }

    fn fresh_message(&mut self) -> MessageId {
        self.next_message += 1;
        MessageId::new(self.next_message)
    }

    /// The action of a step, `None` if the step is skipped.
    #[must_use]
    pub fn resolve(&mut self, step: &Step) -> Option<Action> {
        let action = self.action_of(step);
        if self.dead.is_empty() {
            return action;
        }
        action.filter(|action| self.is_possible_beside_the_dead(action))
    }

    fn action_of(&mut self, step: &Step) -> Option<Action> {
        Some(match *step {
            Step::Join { how, require } => {
                // What a newcomer finds while only ports hold the service is nowhere
                // promised.
                if self.participants.values().all(|p| !p.present) && !self.participants.is_empty() {
                    return None;
                }
                let creates = how != OpenMode::Open && self.participants.is_empty();
                // Whoever creates the service has nothing to require of it.
                let require = require.filter(|require| !creates && require.is_meaningful());
                Action::Join { new: self.fresh(), how, require, creates }
            }
            Step::Leave { participant } => {
                Action::Leave { participant: self.participant(participant)? }
            }
            Step::Kill { participant, by } => {
                let victim = self.participant(participant).filter(|_| self.can_kill)?;
                Action::Kill { victim, witness: self.survivor_of(&[victim], by)? }
            }
            Step::Die { participant } => {
                let victim = self.survivor_of(&[], participant).filter(|_| self.can_kill)?;
                self.survivor_of(&[victim], 0)?;
                Action::Die { victim }
            }
            Step::CleanUp { by } => {
                let victim = *self.dead.first()?;
                Action::Kill { victim, witness: self.survivor_of(&[victim], by)? }
            }
            // It says how the next one is performed, see `killed_amid` and `resolve_both`.
            Step::KillAmid { .. } | Step::HoldAmid { .. } | Step::RunShort { .. } => return None,
            Step::CreateClient { participant, strategy, hint, preallocate, active } => {
                let participant = self.participant(participant)?;
                if self.forgotten_fill()
                    || self.holds_of_gone_client()
                        && self.quirks.steers(Switch::RecycledSlotGetsOldConnection)
                {
                    return None;
                }
                let is_slice = self.settings.payload.requests_are_slices();
                let by_key = self.settings.strategy_of_clients();
                let (strategy, hint) = self.memory(by_key, strategy, hint, is_slice)?;
                Action::CreateClient {
                    participant,
                    new: self.fresh(),
                    strategy,
                    hint,
                    preallocate: self
                        .preallocated(preallocate, strategy)
                        .filter(|chunks| !self.loses_data_of_clients_with(*chunks)),
                    active: self.own_active_limit(active, strategy),
                }
            }
            Step::CreateServer { participant, strategy, hint, loans, preallocate } => {
                let participant = self.participant(participant)?;
                if self.forgotten_fill() {
                    return None;
                }
                let is_slice = self.settings.payload.responses_are_slices();
                let by_key = self.settings.strategy_of_servers();
                let (strategy, hint) = self.memory(by_key, strategy, hint, is_slice)?;
                let loans_by_key = self.settings.server_max_loaned_responses_per_request;
                Action::CreateServer {
                    participant,
                    new: self.fresh(),
                    strategy,
                    hint,
                    loans: loans_by_key.unwrap_or(loans).max(1),
                    preallocate: self.preallocated(preallocate, strategy),
                }
            }
            Step::DropClient { client } => Action::DropClient { client: self.client(client)? },
            Step::DropServer { server } => Action::DropServer { server: self.server(server)? },
            Step::LoanRequest { client, len, form } => {
                let client = self.client(client)?;
                let len = self.telling_length(len, self.settings.payload.requests_are_slices())?;
                let port = &self.clients[&client];
                let lacks_a_chunk = port.strategy.is_dynamic()
                    && self.may_exceed_counted(client)
                    && self.quirks.steers(Switch::UndeliveredRequestTakesChunk);
                if lacks_a_chunk || self.steers_around(len, port) {
                    return None;
                }
                Action::LoanRequest {
                    client,
                    new: self.fresh(),
                    id: self.fresh_message(),
                    len,
                    form,
                }
            }
            Step::SendRequest { request } => {
                let request = any(&self.loaned_requests, request)?;
                if self.send_would_wait(request) {
                    return None;
                }
                Action::SendRequest { request, new: self.fresh() }
            }
            Step::DropRequest { request } => {
                Action::DropRequest { request: any(&self.loaned_requests, request)? }
            }
            Step::ReceiveRequest { server } => {
                let server = self.server(server)?;
                if self.would_overfill_server(server) {
                    return None;
                }
                Action::ReceiveRequest { server, new: self.fresh() }
            }
            Step::LoanResponse { active, len, form } => {
                let active = any(&self.active, active)?;
                let len = self.telling_length(len, self.settings.payload.responses_are_slices())?;
                let server = self.active[&active].server;
                if self.steers_around(len, &self.servers[&server])
                    || self.is_about_to_exhaust_chunks(server)
                {
                    return None;
                }
                Action::LoanResponse {
                    active,
                    new: self.fresh(),
                    id: self.fresh_message(),
                    len,
                    form,
                }
            }
            Step::SendResponse { response } => {
                let response = any(&self.loaned_responses, response)?;
                if self.response_would_wait(response) {
                    return None;
                }
                Action::SendResponse { response }
            }
            Step::DropLoanedResponse { response } => {
                Action::DropLoanedResponse { response: any(&self.loaned_responses, response)? }
            }
            Step::ReceiveResponse { pending } => {
                let pending = any(&self.pending, pending)?;
                if self.would_overfill_client(pending) {
                    return None;
                }
                Action::ReceiveResponse { pending, new: self.fresh() }
            }
            Step::DropPending { pending } => {
                Action::DropPending { pending: any(&self.pending, pending)? }
            }
            Step::DropActive { active } => {
                Action::DropActive { active: any(&self.active, active)? }
            }
            Step::DropResponse { response } => {
                Action::DropResponse { response: any(&self.responses, response)? }
            }
            Step::InspectPending { pending } => {
                Action::InspectPending { pending: any(&self.pending, pending)? }
            }
            Step::InspectActive { active } => {
                Action::InspectActive { active: any(&self.active, active)? }
            }
            Step::InspectServer { server } => {
                Action::InspectServer { server: self.server(server)? }
            }
            Step::InspectService { participant } => {
                Action::InspectService { participant: self.participant(participant)? }
            }
            Step::UpdateClient { client } => Action::UpdateClient { client: self.client(client)? },
            Step::UpdateServer { server } => Action::UpdateServer { server: self.server(server)? },
            Step::HintDisconnect { pending } => {
                Action::HintDisconnect { pending: any(&self.pending, pending)? }
            }
        })
    }

    /// What a port is created with. One that sends single values has nothing to choose, but a
    /// config file may choose for it: "the default `AllocationStrategy` used by the `Client` when
    /// the initially preallocated memory is insufficient" (`config.rs`), whatever it sends.
    fn memory(
        &self,
        by_key: Option<Strategy>,
        by_port: Strategy,
        hint: usize,
        is_slice: bool,
    ) -> Option<(Strategy, usize)> {
        if !is_slice {
            return Some((by_key.unwrap_or(Strategy::Static), 1));
        }
        let strategy = by_key.unwrap_or(by_port);
        if self.needs_too_much_heap(hint) && self.quirks.steers(Switch::ImpossibleLocalLoanPanics) {
            return None;
        }
        let longest = LONGEST_AFFORDABLE / self.settings.payload.largest_element();
        Some((strategy, hint.min(longest)))
    }

    /// Chunks to preallocate, where iceoryx2 has that and no known quirk makes it ruin the
    /// process.
    fn preallocated(&self, chunks: Option<usize>, strategy: Strategy) -> Option<usize> {
        let ruins = |chunks| {
            strategy.is_dynamic()
                && is_reduced(Some(chunks))
                && self.quirks.steers(Switch::ReducedPreallocationExhaustsChunks)
        };
        chunks
            .filter(|&chunks| version::HAS_PREALLOCATION && !ruins(chunks))
            .map(|chunks| chunks.max(1))
    }

    /// A client's own limit of active requests, likewise.
    fn own_active_limit(&self, limit: Option<usize>, strategy: Strategy) -> Option<usize> {
        let ruins =
            || strategy.is_dynamic() && self.quirks.steers(Switch::OwnActiveLimitTakesChunks);
        limit.filter(|_| version::HAS_OWN_ACTIVE_REQUESTS && !ruins()).map(|limit| limit.max(1))
    }

    fn participant(&self, index: Nth) -> Option<Key> {
        nth(&self.participants, index, |participant| participant.present)
    }

    fn client(&self, index: Nth) -> Option<Key> {
        nth(&self.clients, index, |port| port.handle)
    }

    fn server(&self, index: Nth) -> Option<Key> {
        nth(&self.servers, index, |port| port.handle)
    }
}

impl Action {
    /// The participant in whose process the action runs, given who owns what.
    #[must_use]
    pub fn participant(&self, model: &Model) -> Key {
        let client = |key: &Key| model.clients.get(key).map(|port| port.participant);
        let server = |key: &Key| model.servers.get(key).map(|port| port.participant);
        let found = match self {
            Self::Join { new, .. } => Some(*new),
            Self::Leave { participant }
            | Self::Die { victim: participant }
            | Self::CreateClient { participant, .. }
            | Self::CreateServer { participant, .. }
            | Self::InspectService { participant } => Some(*participant),
            Self::Kill { witness, .. } | Self::KillAmid { witness, .. } => Some(*witness),
            Self::DropClient { client: key }
            | Self::LoanRequest { client: key, .. }
            | Self::UpdateClient { client: key } => client(key),
            Self::DropServer { server: key }
            | Self::ReceiveRequest { server: key, .. }
            | Self::InspectServer { server: key }
            | Self::UpdateServer { server: key } => server(key),
            Self::SendRequest { request, .. } | Self::DropRequest { request } => {
                model.loaned_requests.get(request).and_then(|loan| client(&loan.client))
            }
            Self::ReceiveResponse { pending, .. }
            | Self::DropPending { pending }
            | Self::InspectPending { pending }
            | Self::HintDisconnect { pending } => {
                model.pending.get(pending).and_then(|pending| client(&pending.client))
            }
            Self::DropResponse { response } => {
                model.responses.get(response).and_then(|response| client(&response.client))
            }
            Self::LoanResponse { active, .. }
            | Self::DropActive { active }
            | Self::InspectActive { active } => {
                model.active.get(active).and_then(|active| server(&active.server))
            }
            Self::SendResponse { response } | Self::DropLoanedResponse { response } => {
                model.loaned_responses.get(response).and_then(|loan| server(&loan.server))
            }
        };
        // An action only names objects the model has.
        found.unwrap_or_default()
    }
}
