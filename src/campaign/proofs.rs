//! The quirks of this release, and whether their proofs still show them.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Campaign, CampaignError, Case};
use crate::{
    actor::{HostError, tracee, version},
    model::{Switch, quirk::Quirk},
    runner::{Judgement, Runner, Venue},
    scenario::file::ScenarioFileError,
    workers,
};

/// Proofs are a few steps long; one that hangs is to cost no more than this.
const PROOF_DEADLINE: Duration = Duration::from_secs(2);

/// Proofs that are run at the same time.
const PROOFS_AT_ONCE: usize = 4;

/// The quirks of the iceoryx2 this is compiled against, but for those nobody could meet here.
///
/// # Errors
/// If one of the compiled-in files is broken.
pub fn active_quirks() -> Result<Vec<Quirk>, ScenarioFileError> {
    let version = version::iceoryx2_version();
    let is_met =
        |quirk: &Quirk| quirk.affects(&version) && tracee::lacks(&quirk.scenario).is_none();
    Ok(Quirk::known()?.into_iter().filter(is_met).collect())
}

/// The switches of these quirks.
#[must_use]
pub fn switches(quirks: &[Quirk]) -> BTreeSet<Switch> {
    quirks.iter().filter_map(|quirk| quirk.switch).collect()
}

/// Judges the proof of a quirk strictly, until it shows as often as the file says; if another
/// promise is broken on the way there, again with all other known quirks lived with.
///
/// # Errors
/// If the harness fails.
pub fn judge_proof(
    runner: &mut Runner,
    quirk: &Quirk,
    known: &BTreeSet<Switch>,
) -> Result<Judgement, HostError> {
    let mut judged = judge_proof_once(runner, quirk, known)?;
    for _ in 1..quirk.tries.get() {
        if judged.outcome.end.promise() == Some(quirk.promise) {
            break;
        }
        judged = judge_proof_once(runner, quirk, known)?;
    }
    Ok(judged)
}

fn judge_proof_once(
    runner: &mut Runner,
    quirk: &Quirk,
    known: &BTreeSet<Switch>,
) -> Result<Judgement, HostError> {
    runner.live_with(BTreeSet::new());
    let venue = Venue::suited_to(&quirk.scenario, quirk.variant);
    let strictly = runner.judge(&quirk.scenario, venue, false)?;
    if strictly.outcome.end.promise().is_none_or(|promise| promise == quirk.promise) {
        return Ok(strictly);
    }
    let is_other = |switch: &Switch| Some(*switch) != quirk.switch;
    runner.live_with(known.iter().copied().filter(is_other).collect());
    runner.judge(&quirk.scenario, venue, false)
}

impl Campaign<'_> {
    /// Runs every quirk's proof strictly, several at once: those that hang only wait. A proof
    /// of this release must show; one of another release must not.
    pub(super) fn replay_proofs(
        &self,
        active: &[Quirk],
        reports: &mut Vec<(Quirk, bool)>,
    ) -> Result<(), CampaignError> {
        let known = Mutex::new(Quirk::known()?.into_iter());
        let shown = Mutex::new(Vec::new());
        let next = || known.lock().unwrap_or_else(PoisonError::into_inner).next();
        let done = workers::at_once(PROOFS_AT_ONCE, || {
            let mut runner = self.new_runner().with_deadline(PROOF_DEADLINE);
            while let Some(quirk) = next().filter(|_| !self.is_over()) {
                if let Some(shows) = self.replay_proof(&mut runner, &quirk, active)? {
                    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                    shown.push((quirk, shows));
                }
            }
            Ok(())
        });
        *reports = shown.into_inner().unwrap_or_else(PoisonError::into_inner);
        reports.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        done
    }

    /// Whether the proof of a quirk of this release shows it; anything else is recorded.
    fn replay_proof(
        &self,
        runner: &mut Runner,
        quirk: &Quirk,
        active: &[Quirk],
    ) -> Result<Option<bool>, CampaignError> {
        let is_active = active.iter().any(|other| other.id == quirk.id);
        let venue = Venue::suited_to(&quirk.scenario, quirk.variant);
        // The proof of another release's quirk is a scenario like any other.
        let judgement = if is_active {
            judge_proof(runner, quirk, &self.switches)?
        } else {
            runner.live_with(self.switches.clone());
            runner.judge(&quirk.scenario, venue, false)?
        };
        let end = &judgement.outcome.end;
        if is_active && (end.is_kept() || end.promise() == Some(quirk.promise)) {
            self.count("proofs of quirks", venue.layout, &judgement);
            return Ok(Some(!end.is_kept()));
        }
        let origin = format!("the proof of quirk {}", quirk.id);
        let case = Case::saved(&quirk.scenario, venue);
        self.record(runner, case, "proofs of quirks", &origin, judgement)?;
        Ok(None)
    }
}
