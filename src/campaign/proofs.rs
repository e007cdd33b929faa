//! The quirks of this release, whether their proofs still show them, and the fixtures.

use std::{collections::BTreeSet, time::Duration};

use super::{Campaign, CampaignError, Case, fixtures, until_interrupted};
use crate::{
    actor::{HostError, tracee, variant::Variant, version},
    model::{Promise, Switch, quirk::Quirk},
    runner::{Judgement, Layout, Runner, Venue},
    scenario::{Scenario, file::ScenarioFileError},
    workers,
};

/// Proofs are a few steps long; one that hangs is to cost no more than this.
const PROOF_DEADLINE: Duration = Duration::from_secs(2);

/// Files that are replayed at the same time: more than there are proofs that hang.
const FILES_AT_ONCE: usize = 8;

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

/// What is on file: a proof of a quirk, or a fixture in one of its layouts.
enum OnFile<'a> {
    Proof(&'a Quirk),
    Fixture(&'a str, &'a Scenario, Layout),
}

impl OnFile<'_> {
    fn hangs(&self) -> bool {
        matches!(self, Self::Proof(quirk) if quirk.promise == Promise::NeverHangs)
    }
}

/// The layouts in which a fixture is replayed: who is alone is so in either, and who is killed, held
/// or short has a process of their own, or is not.
fn layouts_of(scenario: &Scenario) -> impl Iterator<Item = Layout> {
    let suited = Venue::suited_to(scenario, Variant::Ipc).layout;
    let has_company = scenario.has_company();
    let is_wanted =
        move |layout: &Layout| *layout == suited || *layout == Layout::Apart && has_company;
    [Layout::Together, Layout::Apart].into_iter().filter(is_wanted)
}

impl Campaign<'_> {
    /// Runs the proofs of all quirks and all fixtures, several at once: proofs that hang only
    /// wait. Says which of the quirks of this release still show.
    pub(super) fn replay_files(
        &self,
        active: &[Quirk],
    ) -> Result<Vec<(Quirk, bool)>, CampaignError> {
        let (known, fixtures) = (Quirk::known()?, fixtures()?);
        let proofs = known.iter().filter(|_| !self.plan.strict).map(OnFile::Proof);
        let fixtures = fixtures.iter().flat_map(|(name, scenario)| {
            layouts_of(scenario).map(move |layout| OnFile::Fixture(name, scenario, layout))
        });
        let on_file: Vec<_> = proofs.chain(fixtures).collect();
        let begin = || Ok((self.new_runner(), self.new_runner().with_deadline(PROOF_DEADLINE)));
        let replay = |(patient, brisk): &mut (Runner, Runner), file: &OnFile<'_>| {
            until_interrupted(match *file {
                _ if self.is_over() => Ok(None),
                OnFile::Proof(quirk) => self.replay_proof(brisk, quirk, active),
                OnFile::Fixture(name, scenario, layout) => patient
                    .judge(scenario, layout, false)
                    .map_err(CampaignError::from)
                    .and_then(|judgement| {
                        let case = Case::saved(scenario, layout);
                        self.record(patient, case, "fixtures", name, judgement)
                    })
                    .map(|()| None),
            })
        };
        let shown = workers::each(FILES_AT_ONCE, &on_file, OnFile::hangs, begin, replay, drop)?;
        Ok(shown.into_iter().flatten().collect())
    }

    /// Whether the proof of a quirk of this release shows it, which it must; one of another
    /// release must not. Anything else is recorded.
    fn replay_proof(
        &self,
        runner: &mut Runner,
        quirk: &Quirk,
        active: &[Quirk],
    ) -> Result<Option<(Quirk, bool)>, CampaignError> {
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
            return Ok(Some((quirk.clone(), !end.is_kept())));
        }
        let origin = format!("the proof of quirk {}", quirk.id);
        let case = Case::saved(&quirk.scenario, venue);
        self.record(runner, case, "proofs of quirks", &origin, judgement)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{OpenMode, Step};

    #[test]
    fn a_fixture_is_replayed_wherever_it_can_be_what_it_is() {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let layouts = |steps: &[Step]| -> Vec<Layout> {
            layouts_of(&Scenario::of_steps(steps.to_vec())).collect()
        };
        assert_eq!(layouts(&[join]), [Layout::Together]);
        assert_eq!(layouts(&[join, join]), [Layout::Together, Layout::Apart]);
        assert_eq!(layouts(&[join, join, Step::Die { participant: 0 }]), [Layout::Apart]);
        assert_eq!(layouts(&[Step::RunShort { after: 0 }, join]), [Layout::Apart]);
    }
}
