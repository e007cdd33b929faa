//! Steps amid which a participant runs short of what it takes from the system.

use super::{End, Occasion, Position, Run, Situation, checked, intact, may_disturb_held_data};
use crate::{
    actor::{Action, shortage::Shortage},
    coverage::InFlight,
    model::{
        Switch,
        judge::{self, Judged},
        shortage,
    },
};

impl Run<'_> {
    /// Whoever performs the next step runs short of something, if somebody can.
    pub(super) fn announce(&mut self, shortage: Shortage) {
        // Nobody who is to be killed amid a step runs short of anything.
        self.skipped += usize::from(self.doom.take().is_some());
        let shortage = Some(shortage).filter(|_| self.host.can_run_short());
        let unused = std::mem::replace(&mut self.shortage, shortage);
        self.skipped += usize::from(unused.is_some()) + usize::from(shortage.is_none());
    }

    /// What was announced, if what is performed now may run short of it.
    pub(super) fn shortage_amid(&mut self, action: &Action) -> Option<Shortage> {
        let announced = self.shortage.take()?;
        let shortage =
            Some(announced).filter(|_| self.others.is_empty() && self.model.may_run_short(action));
        self.skipped += usize::from(shortage.is_none());
        shortage
    }

    /// Performs an action amid which its participant runs short: it goes well all the same, or is
    /// refused and changes nothing. Where a connection may be missing afterwards, or a clean-up
    /// not be complete, nothing is promised of what comes next but that nobody crashes, a second
    /// clean-up gets it done, and nothing is left behind.
    pub(super) fn take_short(
        &mut self,
        position: Position,
        action: &Action,
        shortage: Shortage,
    ) -> Result<(), End> {
        let prediction = self.model.predict(action);
        let in_flight = InFlight::from(self.model.messages_in_flight());
        self.observer.before(position, action);
        let participant = action.participant(&self.model);
        let (observation, missed) =
            self.host.run_short(participant, action, shortage).map_err(|error| {
                let action = format!("{action}, short at call {}", shortage.after);
                End::Stopped { position, action, error }
            })?;
        let what = || match &missed {
            Some(missed) => format!("{action}, short of {missed} at call {}", shortage.after),
            None => action.to_string(),
        };
        let stopped = |error| End::Stopped { position, action: what(), error };
        let broken = |breach| End::Broken { position, action: what(), breach };
        self.skipped += usize::from(missed.is_none());
        let disconnects = missed.is_some() && self.model.may_disconnect(action);
        let judged = if disconnects {
            let tolerated = self.model.quirks().get(&Switch::ShortCleanUpStops).copied();
            shortage::judge_disconnected(action, &prediction, &observation, tolerated)
        } else if let Some(missed) = &missed {
            shortage::judge_short(action, &prediction, &observation).or_else(|breach| {
                let known = self.model.looks_corrupted(action, &observation, missed.what);
                known.map(Judged::Sighted).ok_or(breach)
            })
        } else {
            judge::judge(action, &prediction, &observation)
        };
        self.observer.after(position, &prediction, &observation);
        let judged = judged.map_err(|mut breach| {
            breach.promise = self.model.sharpen(action, &observation, breach.promise);
            broken(breach)
        })?;
        let strategy = self.model.strategy_at(action, &observation);
        let situation = Situation { step: Occasion::Step(action.into()), strategy, in_flight };
        let audited = intact(&self.host.audit().map_err(stopped)?).map_err(broken)?;
        let mut at_stake = checked(&self.model, action, &observation, judged, &mut self.sightings);
        if may_disturb_held_data(action) {
            at_stake = at_stake.union(audited);
        }
        self.checks.note(situation, at_stake);
        if disconnects && matches!(action, Action::Kill { .. }) {
            // Whoever did not get it all done does so the second time.
            self.observer.before(position, action);
            let again = self.host.perform(participant, action).map_err(stopped)?;
            self.observer.after(position, &prediction, &again);
            shortage::judge_second_clean_up(&again).map_err(broken)?;
        }
        if let Some(missed) = &missed {
            self.model.apply_shortage(action, &observation, missed);
        }
        self.is_adrift = disconnects;
        if !disconnects {
            self.model.apply(action, &observation);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actor::{
            Damage, Damaged, Host, HostError, Key, Observation,
            shortage::{Missed, Missing},
        },
        lockstep::{Outcome, Silent, run},
        model::{Model, Promise},
        scenario::{OpenMode, Scenario, Step, Strategy},
    };

    const JOIN: Step = Step::Join { how: OpenMode::OpenOrCreate, require: None };
    const SHORT: Step = Step::RunShort { after: 0 };
    const KILL: Step = Step::Kill { participant: 1, by: 0 };

    /// Does what goes well, but for whoever runs short.
    struct Short {
        model: Model,
        /// What whoever runs short returns; `None` if nobody is short.
        returns: Option<Observation>,
        /// What a clean-up after that does.
        cleans_up: Option<Observation>,
        /// Whether it damages what is held.
        damages: bool,
        was_short: bool,
    }

    impl Host for Short {
        fn perform(&mut self, _: Key, action: &Action) -> Result<Observation, HostError> {
            if let (Action::Kill { .. }, Some(cleaned_up)) = (action, &self.cleans_up) {
                return Ok(cleaned_up.clone());
            }
            let observation = self.model.ideal(action);
            self.model.apply(action, &observation);
            Ok(observation)
        }

        fn run_short(
            &mut self,
            participant: Key,
            action: &Action,
            _: Shortage,
        ) -> Result<(Observation, Option<Missed>), HostError> {
            let Some(returned) = self.returns.clone() else {
                return Ok((self.perform(participant, action)?, None));
            };
            self.was_short = true;
            Ok((returned, Some(Missed { what: Missing::Mapping, file: "/dev/shm/file".into() })))
        }

        fn audit(&mut self) -> Result<Vec<Damage>, HostError> {
            let what = Damaged::UserHeader(None);
            let damage = Damage { holder: Key(1), what };
            Ok(Vec::from_iter((self.was_short && self.damages).then_some(damage)))
        }

        fn mapped_objects(&mut self) -> Result<usize, HostError> {
            Ok(0)
        }

        fn can_kill(&self) -> bool {
            true
        }

        fn can_run_short(&self) -> bool {
            true
        }
    }

    fn judged(steps: &[Step], change: impl FnOnce(&mut Short)) -> Outcome {
        let scenario = Scenario::of_steps(steps.to_vec());
        let mut model = Model::new(scenario.service.clone(), [].into());
        model.allow_kills(true);
        let (returns, cleans_up) = (None, None);
        let mut host = Short { model, returns, cleans_up, damages: false, was_short: false };
        change(&mut host);
        run(&scenario, &Default::default(), &mut host, &mut Silent)
    }

    fn refused(error: &str) -> Option<Observation> {
        Some(Observation::Refused(error.to_owned()))
    }

    #[test]
    fn whoever_is_refused_for_want_is_as_before() {
        let client = Step::create_client(0, Strategy::Static, 8);
        let steps = [JOIN, SHORT, client, client];
        let end = |returns: Option<Observation>| judged(&steps, |host| host.returns = returns).end;
        assert_eq!(end(refused("UnableToCreateDataSegment")), End::Kept);
        let misnamed = end(refused("ExceedsMaxSupportedClients"));
        assert_eq!(misnamed.promise(), Some(Promise::ClientLimit));
        let End::Broken { action, .. } = misnamed else { panic!("{misnamed:?}") };
        assert!(action.ends_with("short of a mapping for /dev/shm/file at call 0"), "{action}");
        let lied = judged(&steps, |host| {
            host.returns = Some(host.model.ideal(&Action::Leave { participant: Key(1) }));
        });
        assert!(!lied.end.is_kept(), "a port is no `ok`");
        let outcome = judged(&steps, |_| ());
        assert_eq!((outcome.end, outcome.skipped), (End::Kept, 1), "nobody was short");
        let damaged = judged(&steps, |host| {
            (host.returns, host.damages) = (refused("UnableToCreateDataSegment"), true);
        });
        assert_eq!(damaged.end.promise(), Some(Promise::HeldDataStaysIntact));
    }

    #[test]
    fn nothing_is_asked_of_whoever_may_miss_a_connection() {
        let [server, client] = [
            Step::create_server(0, Strategy::Static, 8, 1),
            Step::create_client(0, Strategy::Static, 8),
        ];
        let steps = [JOIN, server, SHORT, client, client];
        let outcome = judged(&steps, |host| host.returns = refused("UnableToCreateDataSegment"));
        assert_eq!((outcome.end, outcome.is_adrift, outcome.skipped), (End::Kept, true, 1));
        let outcome = judged(&steps, |_| ());
        assert_eq!((outcome.end, outcome.is_adrift, outcome.skipped), (End::Kept, false, 1));
    }

    #[test]
    fn who_cleans_up_once_more_gets_it_done() {
        let cleaned_up =
            |cleaned, left| Some(Observation::CleanedUp { dead: 1, cleaned, failed: left, left });
        let outcome = |first, second| {
            judged(&[JOIN, JOIN, SHORT, KILL], |host| {
                (host.returns, host.cleans_up) = (first, second);
            })
        };
        let kept = outcome(cleaned_up(0, 1), cleaned_up(1, 0));
        assert_eq!((kept.end, kept.is_adrift), (End::Kept, true));
        let broken = Some(Promise::DeadNodeIsCleanedUp);
        assert_eq!(outcome(cleaned_up(0, 1), cleaned_up(0, 1)).end.promise(), broken);
        assert_eq!(outcome(cleaned_up(1, 1), cleaned_up(1, 0)).end.promise(), broken, "miscounted");
    }
}
