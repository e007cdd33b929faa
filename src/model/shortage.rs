//! Participants that run short of what they take from the system: when they may, how what comes of
//! it is judged, and what it leaves with known quirks.

use super::{
    Model, Prediction, Promise, Promises, Switch,
    judge::{Breach, Judged, judge, names},
    left_behind::FILES_OF_A_NODE,
    wording::summary,
};
use crate::actor::{
    Action, Key, Observation,
    shortage::{Missed, Missing},
};

/// Static and dynamic config of the service and of the one every participant has aside.
const FILES_OF_SERVICES: usize = 4;

impl Model {
    /// Whether an action takes something from the system, and its participant may run short of it.
    pub(crate) fn may_run_short(&self, action: &Action) -> bool {
        let takes = match action {
            Action::Join { .. } => {
                !self.participants.is_empty()
                    || !self.quirks.steers(Switch::ShortFirstNodeBlocksDomain)
            }
            Action::LoanRequest { .. }
            | Action::LoanResponse { .. }
            | Action::CreateClient { .. }
            | Action::CreateServer { .. } => true,
            _ => self.may_disconnect(action),
        };
        takes && self.dead.is_empty()
    }

    /// Whether a shortage amid an action may leave a connection missing, or a clean-up undone:
    /// iceoryx2 lets a port that cannot connect to another go on without
    /// (`DegradationAction::Warn`), and does not say for how long. Every other action returns a
    /// value or an error, and nothing is otherwise after an error.
    pub(crate) fn may_disconnect(&self, action: &Action) -> bool {
        match action {
            Action::CreateClient { .. } => !self.servers.is_empty(),
            Action::CreateServer { .. } => !self.clients.is_empty(),
            Action::SendRequest { .. }
            | Action::ReceiveRequest { .. }
            | Action::SendResponse { .. }
            | Action::ReceiveResponse { .. }
            | Action::UpdateClient { .. }
            | Action::UpdateServer { .. }
            | Action::Kill { .. } => true,
            _ => false,
        }
    }

    /// The known quirk that lets a service look corrupted to whoever is short of a descriptor, if
    /// it did.
    pub(crate) fn looks_corrupted(
        &self,
        action: &Action,
        observation: &Observation,
        missing: Missing,
    ) -> Option<Switch> {
        let quirk = Switch::ShortServiceLooksCorrupted;
        match (action, observation, missing) {
            (Action::Join { .. }, Observation::Refused(error), Missing::Descriptor)
                if names(error, "ServiceInCorruptedState") =>
            {
                self.quirks.contains(quirk).then_some(quirk)
            }
            _ => None,
        }
    }

    /// Notes what known quirks make of a shortage amid an action.
    pub(crate) fn apply_shortage(
        &mut self,
        action: &Action,
        observation: &Observation,
        missed: &Missed,
    ) {
        if let (&Action::Kill { victim, .. }, Observation::CleanedUp { failed, left: 0, .. }) =
            (action, observation)
        {
            self.leave_what_is_of(victim, *failed > 0);
        }
        let is_refused = matches!(observation, Observation::Refused(_));
        if is_refused && matches!(action, Action::Join { .. }) {
            self.left_behind.add(Switch::ShortNodeStays, FILES_OF_A_NODE);
        }
        // Without a descriptor no file is made that could stay or stand in the way.
        let name = missed.file.file_name().filter(|_| missed.what != Missing::Descriptor);
        let Some(name) = name.map(|name| name.to_string_lossy().into_owned()) else { return };
        let grows = match action {
            Action::LoanRequest { client, .. } => Some(*client),
            Action::LoanResponse { active, .. } => self.active.get(active).map(|a| a.server),
            _ => None,
        };
        if grows.is_some() {
            self.short_growths.extend(grows);
            self.left_behind.named.insert(name, Switch::FailedGrowthSticks);
        } else {
            self.left_behind.named.insert(name, Switch::ShortCreationLeavesMemory);
        }
    }

    /// A clean-up has forgotten somebody: the memory and the connections of their ports stay, and
    /// if it has failed, their node and services as well.
    fn leave_what_is_of(&mut self, victim: Key, has_failed: bool) {
        let quirk = Switch::ShortCleanUpStops;
        let ports = self.clients.values().chain(self.servers.values());
        let ports = ports.filter(|port| port.participant == victim);
        let ids: Vec<String> = ports.map(|port| port.id.0.to_string()).collect();
        self.left_behind.named.extend(ids.into_iter().map(|id| (id, quirk)));
        if has_failed {
            self.left_behind.add(quirk, FILES_OF_A_NODE + FILES_OF_SERVICES);
        }
    }
}

/// Judges an observation of a participant that ran short of something amid the action.
///
/// # Errors
/// The promise that is broken: it crashed, or was refused for a reason there is not.
pub(crate) fn judge_short(
    action: &Action,
    prediction: &Prediction,
    observation: &Observation,
) -> Result<Judged, Breach> {
    let judged = judge(action, prediction, observation);
    let always = Promises::of(&[Promise::NeverCrashes, Promise::NeverHangs]);
    match observation {
        Observation::Refused(error) if judged.is_err() && is_for_want(error) => {
            Ok(Judged::Kept(always))
        }
        _ => judged,
    }
}

/// As [`judge_short`], of an action that may leave a connection missing: it may look as if nobody
/// was there, or nothing, but not as if something else was. A clean-up may leave a node dead, but
/// not count it as cleaned up then, unless a known quirk does.
///
/// # Errors
/// As [`judge_short`].
pub(crate) fn judge_disconnected(
    action: &Action,
    prediction: &Prediction,
    observation: &Observation,
    miscounts: Option<Switch>,
) -> Result<Judged, Breach> {
    match observation {
        Observation::Received(_) | Observation::Refused(_) => {
            judge_short(action, prediction, observation)
        }
        Observation::CleanedUp { left, .. }
            if *left > 0 && !observation.accounts_for_the_dead() =>
        {
            miscounts.map(Judged::Sighted).ok_or_else(|| Breach {
                promise: Promise::DeadNodeIsCleanedUp,
                expected: "no node that is cleaned up to be dead afterwards".to_owned(),
                observed: summary(observation),
            })
        }
        _ => Ok(Judged::Kept(Promises::of(&[Promise::NeverCrashes, Promise::NeverHangs]))),
    }
}

/// Judges a clean-up after one that ran short of something.
///
/// # Errors
/// If it did not get done what was left.
pub(crate) fn judge_second_clean_up(observation: &Observation) -> Result<(), Breach> {
    match observation {
        Observation::CleanedUp { failed: 0, left: 0, .. } => Ok(()),
        other => Err(Breach {
            promise: Promise::DeadNodeIsCleanedUp,
            expected: "no dead node after a second clean-up, which has all it takes".to_owned(),
            observed: summary(other),
        }),
    }
}

/// Whether an error may say that there is nothing left of something: not that a limit is reached,
/// that the service is another one than was asked for, or that somebody is amid something.
fn is_for_want(error: &str) -> bool {
    let other_reasons = [
        "Exceeds",
        "Exist",
        "Incompatible",
        "DoesNotSupport",
        "Permission",
        "Mismatch",
        "Hangs",
        "Corrupted",
        "MarkedForDestruction",
        "BeingCreated",
    ];
    !other_reasons.iter().any(|other| error.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Expected, predict::must},
        scenario::{OpenMode, Settings},
    };

    fn cleaned_up(cleaned: usize, failed: usize, left: usize) -> Observation {
        Observation::CleanedUp { dead: 1, cleaned, failed, left }
    }

    fn refused(error: &str) -> Observation {
        Observation::Refused(error.to_owned())
    }

    #[test]
    fn whoever_is_short_is_refused_for_that_and_for_nothing_else() {
        let action = Action::UpdateClient { client: Default::default() };
        let prediction = must(Promise::ClientLimit, Expected::Done);
        let is_kept = |observed: &Observation| judge_short(&action, &prediction, observed).is_ok();
        assert!(is_kept(&Observation::Done));
        assert!(is_kept(&refused("OutOfMemory")) && is_kept(&refused("UnableToCreateDataSegment")));
        for other in ["ExceedsMaxLoans", "DoesNotExist", "HangsInCreation", "VersionMismatch"] {
            assert!(!is_kept(&refused(other)), "{other}");
            let missing = judge_disconnected(&action, &prediction, &refused(other), None);
            assert!(missing.is_err(), "{other}");
        }
        assert!(!is_kept(&Observation::Nothing));
        let missing = judge_disconnected(&action, &prediction, &Observation::Nothing, None);
        assert!(missing.is_ok(), "nobody is connected");
    }

    #[test]
    fn a_service_that_looks_corrupted_is_a_breach_but_with_the_quirk() {
        let quirk = Switch::ShortServiceLooksCorrupted;
        let new = Default::default();
        let (how, require, creates) = (OpenMode::OpenOrCreate, None, false);
        let join = Action::Join { new, how, require, creates };
        let observed = refused("RequestResponseOpenError(ServiceInCorruptedState)");
        let breach = judge_short(&join, &must(Promise::NodeLimit, Expected::Done), &observed);
        assert!(breach.is_err_and(|breach| breach.promise == Promise::CreateAndOpen));
        let [with, without] = [vec![quirk], Vec::new()]
            .map(|quirks| Model::new(Settings::default(), quirks.into_iter().collect()));
        let missing = Missing::Descriptor;
        assert_eq!(with.looks_corrupted(&join, &observed, missing), Some(quirk));
        assert_eq!(without.looks_corrupted(&join, &observed, missing), None);
        assert_eq!(with.looks_corrupted(&join, &observed, Missing::Mapping), None);
        assert_eq!(with.looks_corrupted(&join, &refused("HangsInCreation"), missing), None);
        let leave = Action::Leave { participant: new };
        assert_eq!(with.looks_corrupted(&leave, &observed, missing), None);
    }

    #[test]
    fn what_a_clean_up_leaves_it_does_not_count_and_the_second_one_gets_done() {
        let action = Action::UpdateClient { client: Default::default() };
        let prediction = must(Promise::DeadNodeIsCleanedUp, Expected::CleanedUp { dead: 1 });
        let quirk = Switch::ShortCleanUpStops;
        let first = |observed: &Observation, known| {
            judge_disconnected(&action, &prediction, observed, known)
        };
        assert!(first(&cleaned_up(0, 1, 1), None).is_ok());
        assert!(first(&cleaned_up(1, 0, 0), None).is_ok());
        let miscounted = cleaned_up(1, 0, 1);
        let promise = Promise::DeadNodeIsCleanedUp;
        assert!(first(&miscounted, None).is_err_and(|breach| breach.promise == promise));
        assert_eq!(first(&miscounted, Some(quirk)), Ok(Judged::Sighted(quirk)));
        assert!(judge_second_clean_up(&cleaned_up(1, 0, 0)).is_ok());
        assert!(judge_second_clean_up(&cleaned_up(0, 1, 0)).is_err());
        assert!(judge_second_clean_up(&cleaned_up(0, 0, 1)).is_err());
        assert!(judge_second_clean_up(&refused("InternalError")).is_err());
    }
}
