//! Steps amid which a participant runs short of what it takes from the system.

use super::{End, Occasion, Position, Run, Situation, checked, intact, may_disturb_held_data};
use crate::{
    actor::{Action, shortage::Shortage},
    coverage::InFlight,
    model::{Switch, judge},
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
        let what = || match missed {
            Some(missed) => format!("{action}, short of {missed} at call {}", shortage.after),
            None => action.to_string(),
        };
        let stopped = |error| End::Stopped { position, action: what(), error };
        let broken = |breach| End::Broken { position, action: what(), breach };
        self.skipped += usize::from(missed.is_none());
        let disconnects = missed.is_some() && self.model.may_disconnect(action);
        let judged = if disconnects {
            let tolerated = self.model.quirks().get(&Switch::ShortCleanUpStops).copied();
            judge::judge_disconnected(action, &prediction, &observation, tolerated)
        } else if missed.is_some() {
            judge::judge_short(action, &prediction, &observation)
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
            judge::judge_second_clean_up(&again).map_err(broken)?;
        }
        if let Some(missed) = missed {
            self.model.apply_shortage(action, &observation, missed);
        }
        self.is_adrift = disconnects;
        if !disconnects {
            self.model.apply(action, &observation);
        }
        Ok(())
    }
}
