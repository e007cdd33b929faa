//! Participants whose process is killed, between two actions or amid one.

use std::collections::VecDeque;

use litemap::LiteMap;

use super::{Expected, Model, Port, Prediction, Promise, Switch, predict::must, resolve::modulo};
use crate::{
    actor::{Action, Key, death::Spares},
    payload::MessageId,
    scenario::{CleanUp, Moment, Nth},
};

/// The ports a participant has created.
fn of_participant(ports: &LiteMap<Key, Port>, participant: Key) -> Vec<Key> {
    ports.iter().filter(|(_, port)| port.participant == participant).map(|(key, _)| *key).collect()
}

/// Whether a message, or the hold of one, may be gone after this.
fn lets_go_of_message(doing: &Action) -> bool {
    matches!(
        doing,
        Action::DropRequest { .. }
            | Action::DropPending { .. }
            | Action::DropActive { .. }
            | Action::SendResponse { .. }
            | Action::DropLoanedResponse { .. }
            | Action::DropResponse { .. }
    )
}

/// Puts back at the front what was evicted.
fn put_back<T>(queue: &mut VecDeque<T>, before: VecDeque<T>, id: impl Fn(&T) -> MessageId) {
    let is_there = |queue: &VecDeque<T>, one: &T| queue.iter().any(|other| id(other) == id(one));
    for one in before.into_iter().rev() {
        if !is_there(queue, &one) {
            queue.push_front(one);
        }
    }
}

/// When whoever performs a step is killed, and who cleans up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doom {
    pub(crate) at: Moment,
    pub(crate) by: Nth,
    /// If the step is a clean-up: who cleans up has tried to before.
    pub(crate) contested: bool,
}

impl Model {
    /// Whoever performs this is killed amid it, if that is possible and nothing stands in the
    /// way of what it does.
    pub(crate) fn killed_amid(&self, doing: Action, doom: Doom) -> Action {
        let Doom { at, by, contested } = doom;
        let victim = doing.participant(self);
        let steers = |quirk| self.quirks.steers(quirk);
        let is_refused = matches!(self.predict(&doing).allowed[0], Expected::Refused(_));
        let is_possible = self.can_kill && self.dead.is_empty() && !is_refused;
        let is_steered = || {
            self.may_let_go_of_node(victim, &doing) && steers(Switch::HalfGoneNodeStays)
                || self.makes_or_lets_go_of_port(victim, &doing)
                    && steers(Switch::UnfinishedPortStays)
        };
        let dead = match doing {
            Action::Kill { victim: before, .. } => [victim, before],
            _ => [victim; 2],
        };
        match self.survivor_of(&dead, by) {
            Some(witness) if is_possible && !is_steered() => {
                // Whether there is such a moment only those know who trace them.
                let spares = Spares {
                    makers: steers(Switch::HalfMadeFileStays),
                    removers: steers(Switch::HalfGoneNodeStays),
                };
                let contested = contested && matches!(doing, Action::Kill { .. });
                Action::KillAmid { victim, witness, doing: Box::new(doing), at, spares, contested }
            }
            _ => doing,
        }
    }

    /// Whether a node may be gone after this: whatever came of it holds it, too.
    fn may_let_go_of_node(&self, participant: Key, doing: &Action) -> bool {
        let has_left = self.participants.get(&participant).is_some_and(|other| !other.present);
        match doing {
            Action::Leave { .. } => true,
            Action::DropClient { .. } | Action::DropServer { .. } => has_left,
            doing => has_left && lets_go_of_message(doing),
        }
    }

    /// Whether a port is new or may be gone after this: whatever came out of it holds it, too.
    fn makes_or_lets_go_of_port(&self, participant: Key, doing: &Action) -> bool {
        let mut ports = self.clients.values().chain(self.servers.values());
        match doing {
            Action::CreateClient { .. }
            | Action::CreateServer { .. }
            | Action::DropClient { .. }
            | Action::DropServer { .. } => true,
            doing => {
                lets_go_of_message(doing)
                    && ports.any(|port| port.participant == participant && !port.handle)
            }
        }
    }

    /// One of those who are there and not dead, counted without these.
    pub(super) fn survivor_of(&self, dead: &[Key], by: Nth) -> Option<Key> {
        let can = |key: &Key| !dead.contains(key) && !self.dead.contains(key);
        let others = self.participants.iter().filter(|(key, other)| other.present && can(key));
        let others: Vec<Key> = others.map(|(key, _)| *key).collect();
        Some(others[modulo(by, others.len())?])
    }

    /// Whether the action neither needs the process of somebody dead nor shows that they are: who
    /// comes, goes or looks at the service may clean up, or meet them.
    pub(super) fn is_possible_beside_the_dead(&self, action: &Action) -> bool {
        let shows = matches!(
            action,
            Action::Join { .. } | Action::Leave { .. } | Action::InspectService { .. }
        );
        !shows && !self.dead.contains(&action.participant(self))
    }

    /// Somebody was killed, and another one is asked to clean up after all who were.
    pub(super) fn predict_death(&self, victim: Key) -> Prediction {
        // Somebody has come, opened the service and left before it is asked for.
        let in_passing = self.settings.clean_up_key().is_some();
        let all = self.dead.len() + usize::from(!self.dead.contains(&victim));
        let dead = if in_passing { 0 } else { all };
        must(Promise::DeadNodeIsCleanedUp, Expected::CleanedUp { dead })
    }

    /// The same, amid an action.
    pub(super) fn predict_death_amid(&self, victim: Key, doing: &Action) -> Prediction {
        let mut prediction = self.predict_death(victim);
        let mut allow = |dead| {
            let cleaned_up = Expected::CleanedUp { dead };
            if !prediction.allowed.contains(&cleaned_up) {
                prediction.allowed.push(cleaned_up);
            }
        };
        match doing {
            // Whether the one it was cleaning up after is gone already.
            Action::Kill { .. } if self.settings.clean_up_key().is_none() => allow(2),
            // Whether it was a node yet, or still, is not promised.
            doing
                if matches!(doing, Action::Join { .. })
                    || self.may_let_go_of_node(victim, doing) =>
            {
                allow(0);
                // Whoever opens a service cleans up what "might block another process"
                // (config.rs), which need not be who does not use the service.
                if self.settings.clean_up == CleanUp::OnOpen {
                    allow(1);
                }
            }
            _ => {}
        }
        prediction
    }

    /// A participant was killed, and somebody has cleaned up after all who were.
    pub(super) fn clean_up(&mut self, victim: Key) {
        self.dead.insert(victim);
        while let Some(dead) = self.dead.pop_first() {
            self.kill(dead);
        }
    }

    /// A participant was killed and cleaned up after: its ports are gone with everything that
    /// came out of them. What it had sent and nobody had received may arrive or be lost:
    /// nothing is promised.
    fn kill(&mut self, victim: Key) {
        let clients = of_participant(&self.clients, victim);
        let servers = of_participant(&self.servers, victim);
        self.killed.extend(clients.iter().chain(&servers));
        for (client, server) in &self.acquainted {
            self.bereft.extend(clients.contains(client).then_some(server));
            self.bereft.extend(servers.contains(server).then_some(client));
        }
        for (_, queue) in self.in_flight.iter_mut().filter(|((from, _), _)| clients.contains(from))
        {
            queue.iter_mut().for_each(|request| request.certain = false);
        }
        for (_, pending) in &mut self.pending {
            let answered =
                pending.targets.iter_mut().filter(|(server, _)| servers.contains(server));
            for (_, target) in answered {
                target.queue.iter_mut().for_each(|response| response.certain = false);
            }
        }
        self.loaned_requests.retain(|_, loan| !clients.contains(&loan.client));
        self.loaned_responses.retain(|_, loan| !servers.contains(&loan.server));
        self.responses.retain(|_, held| !clients.contains(&held.client));
        let pending = self.pending.iter().filter(|(_, pending)| clients.contains(&pending.client));
        for key in pending.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.drop_pending(key);
        }
        let active = self.active.iter().filter(|(_, active)| servers.contains(&active.server));
        for key in active.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.drop_active(key);
        }
        for client in clients {
            if let Some(port) = self.clients.get_mut(&client) {
                port.handle = false;
            }
        }
        for server in servers {
            self.drop_server(server);
        }
        if let Some(participant) = self.participants.get_mut(&victim) {
            participant.present = false;
        }
        self.has_lingering = true;
    }

    /// A participant was killed amid an action. Done or not: what it gave others is uncertain, and
    /// so is what made room for it.
    pub(super) fn kill_amid(&mut self, victim: Key, doing: &Action) {
        let requests: Vec<_> = self
            .in_flight
            .iter()
            .filter(|_| matches!(doing, Action::SendRequest { .. }))
            .map(|(connection, queue)| (*connection, queue.clone()))
            .collect();
        let responses: Vec<_> = self
            .pending
            .iter()
            .filter(|_| matches!(doing, Action::SendResponse { .. }))
            .map(|(key, pending)| (*key, pending.targets.clone()))
            .collect();
        let observation = self.ideal(doing);
        self.apply(doing, &observation);
        for (connection, before) in requests {
            let queue = self.in_flight.entry(connection).or_default();
            put_back(queue, before, |request| request.id);
        }
        for (key, targets) in responses {
            let Some(pending) = self.pending.get_mut(&key) else { continue };
            for (server, before) in targets {
                let Some(target) = pending.targets.get_mut(&server) else { continue };
                put_back(&mut target.queue, before.queue, |response| response.id);
            }
        }
        self.kill(victim);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        actor::Observation,
        model::ideal::tests::model_after,
        scenario::{OpenMode, Settings, Step, Strategy},
    };

    const DOOM: Doom = Doom { at: Moment::Call(0), by: 0, contested: false };

    /// How many dead nodes there may be when the second of two participants, who has a server,
    /// was killed amid its next step.
    fn dead_after(before: &[Step], doing: &Step) -> Vec<usize> {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let steps =
            [&[join, join, Step::create_server(1, Strategy::Static, 8, 2)], before].concat();
        let mut model = model_after(Settings::default(), BTreeSet::new(), &steps).expect("a model");
        model.allow_kills(true);
        let doing = model.resolve(doing).expect("an action");
        let action = model.killed_amid(doing, DOOM);
        assert!(matches!(action, Action::KillAmid { .. }), "{action:?}");
        let allowed = model.predict(&action).allowed;
        allowed
            .iter()
            .map(|expected| match expected {
                Expected::CleanedUp { dead } => *dead,
                other => panic!("{other}"),
            })
            .collect()
    }

    #[test]
    fn a_node_is_dead_unless_it_may_not_be_one_yet_or_any_more() {
        let (leave, drop) = (Step::Leave { participant: 1 }, Step::DropServer { server: 0 });
        let look = Step::ReceiveRequest { server: 0 };
        assert_eq!(dead_after(&[], &look), [1]);
        assert_eq!(dead_after(&[], &drop), [1]);
        assert_eq!(dead_after(&[], &leave), [1, 0]);
        assert_eq!(dead_after(&[leave], &look), [1], "the server holds the node");
        assert_eq!(dead_after(&[leave], &drop), [1, 0]);
        let join = Step::Join { how: OpenMode::Open, require: None };
        assert_eq!(dead_after(&[], &join), [1, 0]);
        assert_eq!(dead_after(&[join], &Step::Kill { participant: 0, by: 0 }), [1, 2]);
    }

    #[test]
    fn whoever_lives_with_a_quirk_is_not_killed_amid_what_it_spoils() {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let server = Step::create_server(1, Strategy::Static, 8, 2);
        let client = Step::create_client(0, Strategy::Static, 8);
        let [leave, drop] = [Step::Leave { participant: 1 }, Step::DropServer { server: 0 }];
        let look = Step::UpdateServer { server: 0 };
        let is_killed = |quirk: Option<Switch>, doing: &Step| {
            let quirks = quirk.into_iter().collect();
            let steps = [join, join, server];
            let mut model = model_after(Settings::default(), quirks, &steps).expect("a model");
            model.allow_kills(true);
            let doing = model.resolve(doing).expect("an action");
            matches!(model.killed_amid(doing, DOOM), Action::KillAmid { .. })
        };
        let killed_amid = |quirk| [leave, drop, client, look].map(|step| is_killed(quirk, &step));
        assert_eq!(killed_amid(None), [true; 4]);
        assert_eq!(killed_amid(Some(Switch::HalfGoneNodeStays)), [false, true, true, true]);
        assert_eq!(killed_amid(Some(Switch::UnfinishedPortStays)), [true, false, false, true]);
    }

    #[test]
    fn nothing_needs_who_is_dead_or_shows_that_they_are_until_somebody_cleans_up() {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let client = Step::create_client(0, Strategy::Static, 8);
        let server = Step::create_server(1, Strategy::Static, 8, 2);
        let of_other = Step::create_server(2, Strategy::Static, 8, 2);
        let steps = [join, join, join, join, client, server, of_other];
        let mut model = model_after(Settings::default(), BTreeSet::new(), &steps).expect("a model");
        model.allow_kills(true);
        let cleans_up = Step::CleanUp { by: 1 };
        assert!(model.resolve(&cleans_up).is_none(), "nobody is dead");
        // Of four, the first and, of those that still live, the second.
        for victim in [0, 1] {
            let action = model.resolve(&Step::Die { participant: victim }).expect("an action");
            model.apply(&action, &Observation::Done);
        }
        let of_dead = [client, Step::DropClient { client: 0 }, Step::UpdateClient { client: 0 }];
        let shows = [join, Step::Leave { participant: 1 }, Step::InspectService { participant: 1 }];
        for step in of_dead.iter().chain(&shows) {
            assert!(model.resolve(step).is_none(), "{step:?}");
        }
        let of_others = [server, Step::ReceiveRequest { server: 0 }];
        for step in &of_others {
            assert!(model.resolve(step).is_some(), "{step:?}");
        }
        let dead = |model: &Model, action| match model.predict(action).allowed[..] {
            [Expected::CleanedUp { dead }] => dead,
            ref other => panic!("{other:?}"),
        };
        let action = model.resolve(&cleans_up).expect("an action");
        assert_eq!(action, Action::Kill { victim: Key(1), witness: Key(4) }, "the second one left");
        assert_eq!(dead(&model, &action), 2);
        let third = model.resolve(&Step::Kill { participant: 1, by: 0 }).expect("an action");
        assert_eq!(third, Action::Kill { victim: Key(2), witness: Key(4) });
        assert_eq!(dead(&model, &third), 3);
        let cleaned = Observation::CleanedUp { dead: 2, cleaned: 2, failed: 0, left: 0 };
        model.apply(&action, &cleaned);
        assert_eq!((model.number_of_clients(), model.number_of_servers()), (0, 1), "all is gone");
        assert!(shows.iter().all(|step| model.resolve(step).is_some()));
        assert!(model.resolve(&Step::CleanUp { by: 0 }).is_none());
    }
}
