//! Steps that are taken at the same time, and the states iceoryx2 may be in after them.

use super::{End, Occasion, Position, Run, Situation, checked, intact, may_disturb_held_data};
use crate::{
    actor::{Action, Observation, overlap::Hold},
    coverage::InFlight,
    model::{
        Model, Prediction, Promises,
        judge::{self, Judged},
        overlap::{self, World},
    },
    scenario::Step,
};

/// States iceoryx2 may be in at most before nobody overlaps with anybody any more.
const MOST_STATES: usize = 4;

impl Run<'_> {
    /// The action of a step, if it is the same in every state iceoryx2 may be in.
    pub(super) fn resolve(&mut self, step: &Step) -> Option<Action> {
        let action = self.model.resolve(step);
        // Mostly there are no others.
        if self.others.is_empty() {
            return action;
        }
        let mut is_same = true;
        for other in &mut self.others {
            is_same &= other.resolve(step) == action;
            other.number_as(&self.model);
        }
        action.filter(|_| is_same)
    }

    /// A step that says that the next two meet, or one of these.
    pub(super) fn step_of_two(&mut self, index: usize, step: &Step) -> Result<(), End> {
        if let Step::HoldAmid { at, then } = *step {
            self.let_go()?;
            // Nobody who is to be killed amid a step meets anybody.
            self.skipped += usize::from(self.doom.take().is_some());
            self.skipped += usize::from(self.shortage.take().is_some());
            if self.host.can_hold() {
                self.hold = Some((Hold { at, then }, None));
            } else {
                self.skipped += 1;
            }
            return Ok(());
        }
        let announces = matches!(step, Step::KillAmid { .. } | Step::RunShort { .. });
        match self.hold.take() {
            Some((hold, Some((at, first)))) if !announces => {
                let both = self.resolve_both([&first, step]);
                if let Some(actions) = both {
                    return self.overlap(index, &actions, hold);
                }
                self.skipped += 1;
                self.step(at, &first)?;
                self.step(index, step)
            }
            Some((hold, None)) if !announces => {
                self.hold = Some((hold, Some((index, *step))));
                Ok(())
            }
            held => {
                self.hold = held;
                self.let_go()?;
                self.step(index, step)
            }
        }
    }

    /// Nobody meets whoever was to be held: they are not.
    pub(super) fn let_go(&mut self) -> Result<(), End> {
        let Some((_, first)) = self.hold.take() else { return Ok(()) };
        self.skipped += 1;
        first.map_or(Ok(()), |(index, step)| self.step(index, &step))
    }

    /// What two steps come to at the same time, if that is the same in every state iceoryx2 may be
    /// in, and these are not too many.
    fn resolve_both(&mut self, steps: [&Step; 2]) -> Option<[Action; 2]> {
        if self.others.len() >= MOST_STATES {
            return None;
        }
        let before = self.model.clone();
        let actions = self.model.resolve_both(steps)?;
        let others = self.others.iter_mut();
        let all: Vec<_> = others.map(|other| other.clone().resolve_both(steps)).collect();
        if all.iter().all(|other| other.as_ref() == Some(&actions)) {
            self.others.iter_mut().for_each(|other| other.number_as(&self.model));
            return Some(actions);
        }
        self.model = before;
        None
    }

    /// Two participants do something at the same time.
    fn overlap(&mut self, index: usize, actions: &[Action; 2], hold: Hold) -> Result<(), End> {
        let positions = [Position::Step(index - 1), Position::Step(index)];
        let [first, second] = actions;
        // Who is held between two questions gets the answers of different times.
        let hold = Hold { then: hold.then.filter(|_| !overlap::asks(second)), ..hold };
        let action = || format!("{first}; amid it ({}): {second}", hold.at);
        let stopped = |error| End::Stopped { position: positions[1], action: action(), error };
        let in_flight = InFlight::from(self.model.messages_in_flight());
        let by =
            [(first.participant(&self.model), first), (second.participant(&self.model), second)];
        let seen = self.host.overlap(by, hold).map_err(stopped)?;
        let after = |model: &Model| model.in_either_order(actions, &seen.observations, seen.met);
        let of_others: Vec<World> =
            self.others.iter().flat_map(|m| after(m).ok()).flatten().collect();
        let mut worlds = match after(&self.model) {
            Ok(found) => found,
            Err(breach) if of_others.is_empty() => {
                return Err(End::Broken { position: positions[1], action: action(), breach });
            }
            Err(_) => Vec::new(),
        };
        worlds.extend(of_others);
        // No quirk has shown where all can be as promised.
        worlds.sort_by_key(World::shows_quirk);
        let World { model, judged } = worlds.remove(0);
        self.performed += 2;
        let audited = intact(&self.host.audit().map_err(stopped)?);
        for (which, judged) in judged.into_iter().enumerate() {
            let (action, observation) = (&actions[which], &seen.observations[which]);
            self.observer.before(positions[which], action);
            let (before, prediction, judged) = judged;
            self.observer.after(positions[which], &prediction, observation);
            let strategy = before.strategy_at(action, observation);
            let situation = Situation { step: Occasion::Step(action.into()), strategy, in_flight };
            let mut at_stake = judged.map_or_else(Promises::default, |judged| {
                checked(&before, action, observation, judged, &mut self.sightings)
            });
            if let Ok(intact) = audited
                && may_disturb_held_data(action)
            {
                at_stake = at_stake.union(intact);
            }
            self.checks.note(situation, at_stake);
        }
        self.model = model;
        self.others.clear();
        for World { model, .. } in worlds {
            if model != self.model && !self.others.contains(&model) {
                self.others.push(model);
            }
        }
        audited.map(|_| ()).map_err(|breach| End::Broken {
            position: positions[1],
            action: action(),
            breach,
        })
    }

    /// Goes on in another state iceoryx2 may be in, if there is one that allows what was observed.
    #[cold]
    pub(super) fn in_another_state(
        &mut self,
        action: &Action,
        observation: &Observation,
        prediction: &mut Prediction,
    ) -> Option<Judged> {
        let judged = |model: &Model| {
            let prediction = model.predict(action);
            Some((judge::judge(action, &prediction, observation).ok()?, prediction))
        };
        let (at, judged) =
            self.others.iter().enumerate().find_map(|(i, m)| Some((i, judged(m)?)))?;
        self.model = self.others.swap_remove(at);
        *prediction = judged.1;
        Some(judged.0)
    }

    /// The states iceoryx2 may be in.
    pub(super) fn states(&self) -> impl Iterator<Item = &Model> {
        std::iter::once(&self.model).chain(&self.others)
    }

    /// The other states go on as well, those that allow what was observed.
    pub(super) fn others_follow(&mut self, action: &Action, observation: &Observation) {
        if self.others.is_empty() {
            return;
        }
        self.others.retain_mut(|other| {
            let is_allowed = judge::judge(action, &other.predict(action), observation).is_ok();
            other.apply(action, observation);
            is_allowed
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        strategy::{Strategy as _, ValueTree as _},
        test_runner::{Config, TestRunner},
    };

    use super::*;
    use crate::{
        actor::{Damage, Damaged, Host, HostError, Key, Overlapped},
        lockstep::{Silent, run},
        model::Promise,
        scenario::{LoanForm, Moment, OpenMode, Scenario, Strategy, generate::Family},
    };

    /// An iceoryx2 that keeps every promise: whoever meets comes in an order of its own.
    struct Perfect {
        model: Model,
        /// Whether the second of two that meet comes first, for the last two at first.
        second_first: Vec<bool>,
        met: usize,
        /// Whether it denies everything it has received.
        hides: bool,
        /// Whether a meeting damages what somebody holds.
        damages: bool,
        /// What is mapped.
        mapped: usize,
        /// Whether it can kill amid an action.
        kills: bool,
    }

    impl Perfect {
        fn of(scenario: &Scenario, second_first: Vec<bool>) -> Self {
            let mut model = Model::new(scenario.service.clone(), [].into());
            model.allow_kills(true);
            Self {
                model,
                second_first,
                met: 0,
                hides: false,
                damages: false,
                mapped: 0,
                kills: false,
            }
        }

        fn go_on(&mut self, action: &Action) -> Observation {
            let observation = self.model.ideal(action);
            self.model.apply(action, &observation);
            observation
        }
    }

    impl Host for Perfect {
        fn perform(&mut self, _: Key, action: &Action) -> Result<Observation, HostError> {
            let observation = self.go_on(action);
            let is_receipt = matches!(observation, Observation::Received(_));
            Ok(if self.hides && is_receipt { Observation::Nothing } else { observation })
        }

        fn audit(&mut self) -> Result<Vec<Damage>, HostError> {
            let what = Damaged::UserHeader(None);
            let is_damaged = self.damages && self.met > 0;
            Ok(is_damaged.then_some(Damage { holder: Key(1), what }).into_iter().collect())
        }

        fn mapped_objects(&mut self) -> Result<usize, HostError> {
            Ok(self.mapped)
        }

        fn overlap(
            &mut self,
            [(_, first), (_, second)]: [(Key, &Action); 2],
            _: Hold,
        ) -> Result<Overlapped, HostError> {
            self.met += 1;
            let observations = if self.second_first.pop().unwrap_or_default() {
                let second = self.go_on(second);
                [self.go_on(first), second]
            } else {
                [self.go_on(first), self.go_on(second)]
            };
            Ok(Overlapped { observations, met: true })
        }

        fn can_hold(&self) -> bool {
            true
        }

        fn can_kill_amid(&self) -> bool {
            self.kills
        }
    }

    #[test]
    fn whoever_comes_first_no_promise_is_broken_by_who_keeps_them_all() {
        let mut runner = TestRunner::new(Config::default());
        let scenarios = Family::Overlap.scenarios();
        let orders = proptest::collection::vec(proptest::bool::ANY, 40);
        let mut met = 0;
        for _ in 0..300 {
            let scenario = scenarios.new_tree(&mut runner).expect("a scenario").current();
            let orders = orders.new_tree(&mut runner).expect("an order").current();
            let mut host = Perfect::of(&scenario, orders);
            let outcome = run(&scenario, &Default::default(), &mut host, &mut Silent);
            assert_eq!(outcome.end, End::Kept, "{scenario:?}");
            met += host.met;
        }
        assert!(met > 300, "{met} meetings");
    }

    /// A client's request, after its connection was looked at by both sides at the same time.
    fn asks_after_a_meeting() -> Scenario {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let form = LoanForm::Default;
        Scenario::of_steps(vec![
            join,
            join,
            Step::create_client(0, Strategy::Static, 8),
            Step::create_server(1, Strategy::Static, 8, 1),
            Step::HoldAmid { at: Moment::Change(0), then: None },
            Step::UpdateClient { client: 0 },
            Step::UpdateServer { server: 0 },
            Step::LoanRequest { client: 0, len: 8, form },
            Step::SendRequest { request: 0 },
            Step::ReceiveRequest { server: 0 },
        ])
    }

    #[test]
    fn what_no_state_allows_is_a_breach_after_a_meeting_as_well() {
        let scenario = asks_after_a_meeting();
        let mut host = Perfect::of(&scenario, Vec::new());
        let outcome = run(&scenario, &Default::default(), &mut host, &mut Silent);
        assert_eq!((outcome.end, host.met), (End::Kept, 1));
        assert_eq!((outcome.performed, outcome.skipped), (9, 0));
        let mut host = Perfect { hides: true, ..Perfect::of(&scenario, Vec::new()) };
        let outcome = run(&scenario, &Default::default(), &mut host, &mut Silent);
        assert_eq!(outcome.end.promise(), Some(Promise::NoRequestIsLost));
    }

    #[test]
    fn what_is_held_is_looked_at_when_a_meeting_is_over() {
        let scenario = asks_after_a_meeting();
        let mut host = Perfect { damages: true, ..Perfect::of(&scenario, Vec::new()) };
        let outcome = run(&scenario, &Default::default(), &mut host, &mut Silent);
        let End::Broken { position, breach, .. } = outcome.end else { panic!("{:?}", outcome.end) };
        assert_eq!(breach.promise, Promise::HeldDataStaysIntact);
        assert_eq!(position, Position::Step(6));
    }

    #[test]
    fn what_only_one_of_the_states_allows_leaves_that_one() {
        let mut scenario = asks_after_a_meeting();
        // If the server has looked before there was a client, it need not have what that leaves.
        scenario.steps.splice(
            2..7,
            [
                Step::create_server(1, Strategy::Static, 8, 1),
                Step::HoldAmid { at: Moment::Change(0), then: None },
                Step::create_client(0, Strategy::Static, 8),
                Step::UpdateServer { server: 0 },
            ],
        );
        let last = scenario.steps.len() - 1;
        let leaves = [Step::DropPending { pending: 0 }, Step::DropClient { client: 0 }];
        scenario.steps.splice(last..last, leaves);
        scenario.service.enable_fire_and_forget_requests = true;
        let end = |scenario: &Scenario| {
            let mut host = Perfect { hides: true, ..Perfect::of(scenario, Vec::new()) };
            run(scenario, &Default::default(), &mut host, &mut Silent).end
        };
        assert_eq!(end(&scenario), End::Kept);
        // It has looked after that.
        scenario.steps.remove(3);
        assert!(end(&scenario).promise().is_some());
    }

    /// A run that may be in any of these states.
    fn in_states<'a>(
        model: Model,
        others: Vec<Model>,
        host: &'a mut Perfect,
        observer: &'a mut Silent,
    ) -> Run<'a> {
        Run {
            model,
            host,
            observer,
            checks: crate::coverage::Checks::new(),
            sightings: Default::default(),
            performed: 0,
            skipped: 0,
            doom: None,
            shortage: None,
            is_adrift: false,
            others,
            hold: None,
        }
    }

    #[test]
    fn as_much_may_be_mapped_as_in_any_of_the_states() {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let model = Model::new(Default::default(), [].into());
        let mut other = model.clone();
        for _ in 0..2 {
            let action = other.resolve(&join).expect("an action");
            other.apply(&action, &Observation::Done);
        }
        let most = |model: &Model| model.most_mapped_objects().expect("a bound").most;
        assert!(most(&model) < most(&other));
        let is_kept = |others: Vec<Model>, mapped| {
            let scenario = asks_after_a_meeting();
            let mut host = Perfect { mapped, ..Perfect::of(&scenario, Vec::new()) };
            let mut watch = Silent;
            let mut run = in_states(model.clone(), others, &mut host, &mut watch);
            run.check_mapped_objects(Position::FullLoad(0)).is_ok()
        };
        assert!(is_kept(vec![other.clone()], most(&other)));
        assert!(!is_kept(vec![other.clone()], most(&other) + 1));
        assert!(!is_kept(Vec::new(), most(&other)));
    }

    #[test]
    fn a_step_that_comes_to_different_things_is_not_taken() {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let nobody = Model::new(Default::default(), [].into());
        let mut somebody = nobody.clone();
        let action = somebody.resolve(&join).expect("an action");
        somebody.apply(&action, &Observation::Done);
        let is_taken = |model: &Model, other: &Model| {
            let mut host = Perfect::of(&asks_after_a_meeting(), Vec::new());
            let mut watch = Silent;
            let mut run = in_states(model.clone(), vec![other.clone()], &mut host, &mut watch);
            run.resolve(&Step::create_client(0, Strategy::Static, 8)).is_some()
        };
        assert!(is_taken(&somebody, &somebody));
        assert!(!is_taken(&somebody, &nobody));
        assert!(!is_taken(&nobody, &somebody));
    }

    #[test]
    fn a_state_that_does_not_allow_what_was_observed_is_given_up() {
        let join = Step::Join { how: OpenMode::Create, require: None };
        let model = Model::new(Default::default(), [].into());
        let mut other = model.clone();
        let first = other.resolve(&join).expect("an action");
        other.apply(&first, &Observation::Done);
        let mut host = Perfect::of(&asks_after_a_meeting(), Vec::new());
        let (mut watch, others) = (Silent, vec![other.clone(), model.clone()]);
        let mut run = in_states(model, others, &mut host, &mut watch);
        let second = other.resolve(&join).expect("an action");
        run.others_follow(&second, &Observation::Done);
        assert_eq!(run.others.len(), 1, "only where nobody had joined");
        let left = run.others[0].leftovers();
        assert_eq!(left.len(), 1, "it has gone on: {left:?}");
        run.others_follow(&second, &Observation::Refused("AlreadyExists".to_owned()));
        assert_eq!(run.others.len(), 1);
    }

    #[test]
    fn whom_nobody_meets_does_what_they_do_alone() {
        let hold = Step::HoldAmid { at: Moment::Change(0), then: None };
        let whole = asks_after_a_meeting();
        let of = |change: &dyn Fn(&mut Vec<Step>)| {
            let mut scenario = whole.clone();
            change(&mut scenario.steps);
            let mut host = Perfect::of(&scenario, Vec::new());
            let outcome = run(&scenario, &Default::default(), &mut host, &mut Silent);
            assert_eq!(outcome.end, End::Kept);
            (host.met, outcome.performed, outcome.skipped)
        };
        // Both are of the same participant.
        assert_eq!(of(&|steps| steps[6] = Step::UpdateClient { client: 0 }), (0, 9, 1));
        assert_eq!(of(&|steps| steps.truncate(6)), (0, 5, 1), "there is no second one");
        assert_eq!(of(&|steps| steps.truncate(5)), (0, 4, 1), "there is none at all");
        assert_eq!(of(&|steps| steps.insert(5, hold)), (1, 9, 1), "the last one counts");
        assert_eq!(of(&|steps| steps.insert(6, hold)), (1, 9, 1), "the next two meet");
        let kill = Step::KillAmid { at: Moment::Change(0), by: 0, contested: false };
        // Nobody can be killed there.
        assert_eq!(of(&|steps| steps.insert(5, kill)), (0, 9, 2), "or who is to be killed");
        assert_eq!(of(&|steps| steps.insert(6, kill)), (0, 9, 2), "or whom to kill");
        let mut scenario = whole.clone();
        scenario.steps.insert(4, kill);
        let mut host = Perfect { kills: true, ..Perfect::of(&scenario, Vec::new()) };
        let outcome = run(&scenario, &Default::default(), &mut host, &mut Silent);
        let seen = (outcome.end, host.met, outcome.performed, outcome.skipped);
        assert_eq!(
            seen,
            (End::Kept, 1, 9, 1),
            "whoever meets somebody is not killed, nor the next"
        );
        let nothing = Step::DropResponse { response: 0 };
        assert_eq!(of(&|steps| steps.insert(6, nothing)), (0, 9, 2), "or who does nothing");
    }
}
