//! Participants that have a process each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicBool,
    time::Duration,
};

use crate::{
    actor::{
        Action, Damage, Host, HostError, Key, Observation, Overlapped,
        child::{Child, Executable},
        overlap::Hold,
        presence::Aftermath,
        serve::{Reply, Request},
        shortage::{Missed, Shortage},
        tracee,
    },
    sandbox::exposure::Exposure,
};

/// One child process per participant.
pub(super) struct ApartHost<'a> {
    /// They take turns.
    pub(super) executables: [&'a Executable; 2],
    /// Participants that have joined, or tried to.
    pub(super) joined: usize,
    /// Those that live and were started from the first of them.
    pub(super) own: BTreeSet<Key>,
    pub(super) deadline: Duration,
    pub(super) interrupted: &'a AtomicBool,
    pub(super) open: Request,
    pub(super) participants: BTreeMap<Key, Child>,
}

impl ApartHost<'_> {
    /// Kills a participant, and reaps it: who is not reaped may still look alive.
    fn end(&mut self, participant: Key) {
        self.participants.remove(&participant).iter_mut().for_each(Child::end);
        self.own.remove(&participant);
    }

    fn process_of(&mut self, participant: Key) -> Result<&mut Child, HostError> {
        let nobody = || HostError::Harness(format!("participant {participant} has no process"));
        self.participants.get_mut(&participant).ok_or_else(nobody)
    }

    /// Asks the processes that were started from the first executable: others may not know the
    /// question.
    fn ask_own(&mut self, request: &Request) -> Result<Vec<Reply>, HostError> {
        let own = self.participants.iter_mut().filter(|(key, _)| self.own.contains(key));
        own.map(|(_, child)| child.ask(request, self.deadline, self.interrupted)).collect()
    }

    /// Starts the process of a participant.
    fn start(&mut self, participant: Key) -> Result<(), HostError> {
        let mut child = Child::start(self.executables[self.joined % 2])?;
        if self.joined.is_multiple_of(2) || std::ptr::eq(self.executables[0], self.executables[1]) {
            self.own.insert(participant);
        }
        self.joined += 1;
        child.ask(&self.open, self.deadline, self.interrupted)?;
        self.participants.insert(participant, child);
        Ok(())
    }
}

impl Host for ApartHost<'_> {
    fn perform(&mut self, participant: Key, action: &Action) -> Result<Observation, HostError> {
        if let Action::Die { victim } = action {
            self.end(*victim);
            return Ok(Observation::Done);
        }
        if let Action::KillAmid { victim, witness, doing, at, spares, contested } = action {
            match **doing {
                Action::Join { .. } => self.start(*victim)?,
                Action::Kill { victim, .. } => self.end(victim),
                _ => {}
            }
            if let Some(mut victim) = self.participants.remove(victim) {
                let request = Request::Perform(action.clone());
                let (deadline, interrupted) = (self.deadline, self.interrupted);
                let mut rival = None;
                let tries = || {
                    if let Action::Kill { victim, .. } = **doing
                        && *contested
                    {
                        let same = Action::Kill { victim, witness: *witness };
                        rival = Some(self.perform(*witness, &same)?);
                    }
                    Ok(())
                };
                victim.die_amid(&request, *at, *spares, tries, deadline, interrupted)?;
                // It may find it done, to be done, or that somebody is at it.
                if let Some(rival) = rival.filter(|seen| !seen.accounts_for_the_dead()) {
                    return Ok(rival);
                }
            }
            let cleans_up = Action::Kill { victim: *victim, witness: *witness };
            return self.perform(participant, &cleans_up);
        }
        if let Action::Join { new, .. } = action {
            self.start(*new)?;
        }
        if let Action::Kill { victim, .. } = action {
            self.end(*victim);
        }
        let (deadline, interrupted) = (self.deadline, self.interrupted);
        let child = self.process_of(participant)?;
        match child.ask(&Request::Perform(action.clone()), deadline, interrupted)? {
            Reply::Observed(observation) => Ok(observation),
            other => Err(other.unexpected()),
        }
    }

    fn audit(&mut self) -> Result<Vec<Damage>, HostError> {
        let mut damage = Vec::new();
        for child in self.participants.values_mut() {
            match child.ask(&Request::Audit, self.deadline, self.interrupted)? {
                Reply::Audited(found) => damage.extend(found),
                other => return Err(other.unexpected()),
            }
        }
        Ok(damage)
    }

    fn mapped_objects(&mut self) -> Result<usize, HostError> {
        let mut sum = 0;
        for child in self.participants.values_mut() {
            match child.ask(&Request::MappedObjects, self.deadline, self.interrupted)? {
                Reply::Mapped(count) => sum += count,
                other => return Err(other.unexpected()),
            }
        }
        Ok(sum)
    }

    fn strange_files(&mut self) -> Result<Option<Vec<String>>, HostError> {
        let mut all: Option<Vec<String>> = None;
        for reply in self.ask_own(&Request::StrangeFiles)? {
            match reply {
                Reply::Strange(None) => {}
                Reply::Strange(Some(names)) => all.get_or_insert_default().extend(names),
                other => return Err(other.unexpected()),
            }
        }
        Ok(all)
    }

    fn exposure(&mut self) -> Result<Option<Exposure>, HostError> {
        let mut all: Option<Exposure> = None;
        for reply in self.ask_own(&Request::Exposure)? {
            match reply {
                Reply::Exposed(None) => {}
                Reply::Exposed(Some(one)) => all.get_or_insert_default().extend(one),
                other => return Err(other.unexpected()),
            }
        }
        Ok(all)
    }

    fn aftermath(&mut self) -> Result<Option<Aftermath>, HostError> {
        // The others may not know the question.
        let Some(child) = self.own.last().and_then(|own| self.participants.get_mut(own)) else {
            return Ok(None);
        };
        match child.ask(&Request::Aftermath, self.deadline, self.interrupted)? {
            Reply::Looked(aftermath) => Ok(aftermath),
            other => Err(other.unexpected()),
        }
    }

    fn can_kill(&self) -> bool {
        true
    }

    fn overlap(
        &mut self,
        actions: [(Key, &Action); 2],
        hold: Hold,
    ) -> Result<Overlapped, HostError> {
        for (_, action) in actions {
            if let Action::Join { new, .. } = action {
                self.start(*new)?;
            }
        }
        let nobody = |key| HostError::Harness(format!("participant {key} has no process"));
        let [first, second] = actions.map(|(participant, _)| participant);
        let mut children = [first, second].map(|key| (key, self.participants.remove(&key)));
        let [(_, Some(one)), (_, Some(other))] = &mut children else { return Err(nobody(first)) };
        let requests = actions.map(|(_, action)| Request::PerformMarked(action.clone()));
        let both = [&requests[0], &requests[1]];
        let (observations, met) =
            Child::overlap([one, other], both, hold, self.deadline, self.interrupted)?;
        let back = children.into_iter().filter_map(|(key, child)| Some((key, child?)));
        self.participants.extend(back);
        Ok(Overlapped { observations, met })
    }

    fn run_short(
        &mut self,
        participant: Key,
        action: &Action,
        shortage: Shortage,
    ) -> Result<(Observation, Option<Missed>), HostError> {
        if let Action::Join { new, .. } = action {
            self.start(*new)?;
        }
        if let Action::Kill { victim, .. } = action {
            self.end(*victim);
        }
        let request = Request::PerformMarked(action.clone());
        let (deadline, interrupted) = (self.deadline, self.interrupted);
        self.process_of(participant)?.run_short(&request, shortage, deadline, interrupted)
    }

    fn can_run_short(&self) -> bool {
        // The others may not know how.
        std::ptr::eq(self.executables[0], self.executables[1]) && tracee::can_run_short()
    }

    fn can_hold(&self) -> bool {
        // The others may not know how.
        std::ptr::eq(self.executables[0], self.executables[1]) && tracee::is_possible()
    }

    fn can_kill_amid(&self) -> bool {
        tracee::is_possible()
    }
}
