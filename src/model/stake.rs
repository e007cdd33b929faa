//! What is at stake at a step beyond what its prediction says: strategies, earlier refusals,
//! and what became of a message elsewhere.

use super::{Model, Promise, Promises};
use crate::{
    actor::{Action, Key, Observation, Received},
    payload::MessageId,
    scenario::Strategy,
};

impl Model {
    /// Strategy of the port whose memory an action uses: the sender's of a message that was
    /// received, else that of the port itself.
    #[must_use]
    pub fn strategy_at(&self, action: &Action, observation: &Observation) -> Option<Strategy> {
        if let Observation::Received(Received { origin, .. }) = observation {
            let sender = self.strategies.values().find(|(id, _)| id == origin);
            return sender.map(|(_, strategy)| *strategy);
        }
        let port = match action {
            Action::Join { .. }
            | Action::Leave { .. }
            | Action::Die { .. }
            | Action::Kill { .. }
            | Action::KillAmid { .. }
            | Action::InspectService { .. } => None,
            Action::CreateClient { strategy, .. } | Action::CreateServer { strategy, .. } => {
                return Some(*strategy);
            }
            Action::DropClient { client }
            | Action::LoanRequest { client, .. }
            | Action::UpdateClient { client } => Some(*client),
            Action::DropServer { server }
            | Action::ReceiveRequest { server, .. }
            | Action::InspectServer { server }
            | Action::UpdateServer { server } => Some(*server),
            Action::SendRequest { request, .. } | Action::DropRequest { request } => {
                self.loaned_requests.get(request).map(|loan| loan.client)
            }
            Action::LoanResponse { active, .. }
            | Action::DropActive { active }
            | Action::InspectActive { active } => {
                self.active.get(active).map(|active| active.server)
            }
            Action::SendResponse { response } | Action::DropLoanedResponse { response } => {
                self.loaned_responses.get(response).map(|loan| loan.server)
            }
            Action::ReceiveResponse { pending, .. }
            | Action::DropPending { pending }
            | Action::InspectPending { pending }
            | Action::HintDisconnect { pending } => {
                self.pending.get(pending).map(|pending| pending.client)
            }
            Action::DropResponse { response } => {
                self.responses.get(response).map(|held| held.server)
            }
        };
        self.strategies.get(&port?).map(|(_, strategy)| *strategy)
    }

    /// The promise behind a breach, where what became of the message earlier says
    /// more than where it turned up.
    #[must_use]
    pub fn sharpen(&self, action: &Action, observation: &Observation, promise: Promise) -> Promise {
        match observation {
            // Damaged bytes are damaged bytes, whatever became of the message elsewhere.
            Observation::Received(received) if promise.is_about_identity() => received
                .header
                .and_then(|id| self.forbids(action, id).or_else(|| self.overflow_lost(action, id)))
                .unwrap_or(promise),
            // What should have been a refusal is not what overflowed.
            Observation::Nothing if promise != Promise::BorrowLimit => match *action {
                Action::ReceiveRequest { server, .. } if self.overflowed.contains(&server) => {
                    Promise::RequestOverflowEvictsOldest
                }
                Action::ReceiveResponse { pending, .. } if self.overflowed.contains(&pending) => {
                    Promise::ResponseOverflowEvictsOldest
                }
                _ => promise,
            },
            // All that waits for the server was given up by who sent it.
            Observation::Server { has_requests: false } => match action {
                Action::InspectServer { server } if self.only_forgotten_wait_for(*server) => {
                    Promise::FireAndForgetDelivers
                }
                _ => promise,
            },
            // A loan that had to be refused anyway, and was with another error, says
            // nothing about what an earlier refusal changed.
            Observation::Refused(_)
                if !promise.is_about_refusal() && self.follows_a_refusal(action) =>
            {
                Promise::RefusedLoanChangesNothing
            }
            _ => promise,
        }
    }

    /// Whether there are requests for the server, and nobody waits for a response to any.
    fn only_forgotten_wait_for(&self, server: Key) -> bool {
        let queues = self.in_flight.iter().filter(|((_, to), _)| *to == server);
        let mut waiting = queues.flat_map(|(_, queue)| queue).peekable();
        waiting.peek().is_some()
            && waiting.all(|request| !self.pending.contains_key(&request.pending))
    }

    /// The promise that forbids this message to arrive here, wherever it should be.
    fn forbids(&self, action: &Action, id: MessageId) -> Option<Promise> {
        let came_too_late = |server: &Key| {
            let before = self.late.get(server).copied().unwrap_or(0);
            self.sent_requests[..before].contains(&id)
        };
        match action {
            Action::ReceiveRequest { server, .. } if came_too_late(server) => {
                Some(Promise::LateServerGetsNoOldRequest)
            }
            Action::ReceiveResponse { pending, .. }
                if self.answers.iter().any(|(answer, to)| *answer == id && to != pending) =>
            {
                Some(Promise::ResponseReachesOnlyItsRequest)
            }
            _ => self.fates.get(&id).copied(),
        }
    }

    /// The overflow behind a message that is received although others should have been
    /// before it: what a full buffer gives up beyond its oldest message.
    fn overflow_lost(&self, action: &Action, id: MessageId) -> Option<Promise> {
        match action {
            Action::ReceiveRequest { server, .. } if self.overflowed.contains(server) => {
                let mut queues = self.in_flight.iter().filter(|((_, to), _)| to == server);
                let waits = queues.any(|(_, queue)| queue.iter().any(|request| request.id == id));
                waits.then_some(Promise::RequestOverflowEvictsOldest)
            }
            Action::ReceiveResponse { pending, .. } if self.overflowed.contains(pending) => {
                let targets = &self.pending.get(pending)?.targets;
                let mut waiting = targets.values().flat_map(|target| &target.queue);
                let waits = waiting.any(|response| response.id == id);
                waits.then_some(Promise::ResponseOverflowEvictsOldest)
            }
            _ => None,
        }
    }

    /// Promises that are at stake only because of what happened before.
    #[must_use]
    pub fn also_at_stake(&self, action: &Action, observation: &Observation) -> Promises {
        let received = matches!(observation, Observation::Received(_));
        let delivery = |key: &Key, overflow, discard| {
            let mut promises = Promises::default();
            if received && self.overflowed.contains(key) {
                promises = promises.with(&[overflow]);
            }
            if self.discarding.contains(key) {
                promises = promises.with(&[discard]);
            }
            if received && self.late.contains_key(key) {
                promises = promises.with(&[Promise::LateServerGetsNoOldRequest]);
            }
            promises
        };
        match action {
            Action::ReceiveRequest { server, .. } => delivery(
                server,
                Promise::RequestOverflowEvictsOldest,
                Promise::NoFireAndForgetDiscards,
            ),
            Action::ReceiveResponse { pending, .. } => delivery(
                pending,
                Promise::ResponseOverflowEvictsOldest,
                Promise::DiscardKeepsBuffered,
            ),
            _ if matches!(observation, Observation::Loaned { .. })
                && self.follows_a_refusal(action) =>
            {
                Promises::of(&[Promise::RefusedLoanChangesNothing])
            }
            _ => Promises::default(),
        }
    }

    /// Whether the action loans from something that has refused a loan before.
    fn follows_a_refusal(&self, action: &Action) -> bool {
        match action {
            Action::LoanRequest { client, .. } => self.refused.contains(client),
            Action::LoanResponse { active, .. } => {
                self.refused.contains(active)
                    || self.active.get(active).is_some_and(|a| self.refused.contains(&a.server))
            }
            _ => false,
        }
    }
}
