//! How soon generation finds what is known: with everything known but one quirk, the
//! first breach is that quirk.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{CampaignError, active_quirks, switches};
use crate::{
    actor::{HostError, child::Executable, variant::Variant},
    model::{Promise, Switch},
    runner::{Runner, Venue},
    scenario::generate::scenario_of_run,
    workers,
};

/// Hanging scenarios are part of the game; each costs no more than this.
const DEADLINE: Duration = Duration::from_secs(2);

/// How to hunt: everybody in one process, but where somebody is killed.
#[derive(Debug, Clone)]
pub struct HuntPlan {
    /// How children are started.
    pub executable: Executable,
    /// Seeds 1 to this are tried.
    pub seeds: u64,
    /// Scenarios tried at most per quirk and seed.
    pub scenarios: u64,
    /// Time spent at most per quirk and seed.
    pub time: Duration,
    /// Workers; each takes a seed at a time.
    pub jobs: usize,
    /// Only quirks whose id contains this, and those a breach cannot tell from them.
    pub filter: String,
}

/// How long it took to find something.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Scenarios, the one that showed it included.
    pub scenarios: u64,
    /// Seconds on one core, with nothing else running.
    pub seconds: f64,
}

/// What was hunted, and how soon it was found per seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Quarry {
    /// The quirks; several if they break one promise and are lived with in one way, so
    /// that a breach cannot tell them apart.
    pub quirks: Vec<String>,
    /// The promise they break.
    pub promise: Promise,
    /// One entry per seed, `None` if it was not found within the plan's limits.
    pub found: Vec<Option<Effort>>,
}

impl Quarry {
    /// The median effort, seeds that found nothing last; `None` if most found nothing.
    #[must_use]
    pub fn median(&self) -> Option<Effort> {
        let mut found: Vec<_> = self.found.iter().flatten().copied().collect();
        found.sort_by_key(|effort| effort.scenarios);
        let middle = self.found.len().checked_sub(1)? / 2;
        found.get(middle).copied()
    }

    /// Seeds that found it.
    #[must_use]
    pub fn times_found(&self) -> usize {
        self.found.iter().flatten().count()
    }
}

/// Hunts the quirks of this release. `progress` is told about every quarry that is done.
///
/// # Errors
/// If the harness fails or is interrupted.
pub fn hunt(
    plan: &HuntPlan,
    interrupted: &Arc<AtomicBool>,
    progress: &(dyn Fn(&Quarry) + Sync),
) -> Result<Vec<Quarry>, CampaignError> {
    let quirks = active_quirks()?;
    let mut wanted: BTreeMap<(Switch, Variant), BTreeMap<Promise, Vec<String>>> = BTreeMap::new();
    for quirk in &quirks {
        if let Some(switch) = quirk.switch {
            let promises = wanted.entry((switch, quirk.variant)).or_default();
            promises.entry(quirk.promise).or_default().push(quirk.id.clone());
        }
    }
    for promises in wanted.values_mut() {
        promises.retain(|_, ids| ids.iter().any(|id| id.contains(&plan.filter)));
    }
    wanted.retain(|_, promises| !promises.is_empty());
    let mut quarries = Vec::new();
    for ((switch, variant), promises) in wanted {
        let mut known = switches(&quirks);
        known.remove(&switch);
        let hunters = Hunters {
            plan,
            interrupted,
            known,
            variant,
            promises: promises.keys().copied().collect(),
        };
        let found = workers::each(
            plan.jobs,
            &Vec::from_iter(1..=plan.seeds),
            |_| false,
            || Ok(()),
            |(), &seed| hunters.with_seed(seed),
            drop,
        )?;
        for (promise, quirks) in promises {
            let of = |efforts: &BTreeMap<Promise, Effort>| efforts.get(&promise).copied();
            let quarry = Quarry { quirks, promise, found: found.iter().map(of).collect() };
            progress(&quarry);
            quarries.push(quarry);
        }
    }
    Ok(quarries)
}

/// After the quirks of one switch.
struct Hunters<'a> {
    plan: &'a HuntPlan,
    interrupted: &'a Arc<AtomicBool>,
    known: std::collections::BTreeSet<Switch>,
    variant: Variant,
    promises: Vec<Promise>,
}

impl Hunters<'_> {
    fn with_seed(&self, seed: u64) -> Result<BTreeMap<Promise, Effort>, HostError> {
        let mut runner = Runner::new(self.plan.executable.clone())
            .with_deadline(DEADLINE)
            .interrupted_by(Arc::clone(self.interrupted));
        runner.live_with(self.known.clone());
        let started = Instant::now();
        let mut efforts = BTreeMap::new();
        for index in 0..self.plan.scenarios {
            if started.elapsed() > self.plan.time || efforts.len() == self.promises.len() {
                break;
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(HostError::Interrupted);
            }
            let scenario = scenario_of_run(seed, index);
            let venue = Venue::suited_to(&scenario, self.variant);
            let end = runner.judge(&scenario, venue, false)?.outcome.end;
            if let Some(promise) = end.promise().filter(|p| self.promises.contains(p)) {
                let seconds = started.elapsed().as_secs_f64();
                efforts.entry(promise).or_insert(Effort { scenarios: index + 1, seconds });
            }
        }
        Ok(efforts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_found_nothing_count_as_slowest_in_the_median() {
        let effort = |scenarios| Some(Effort { scenarios, seconds: 1.0 });
        let quarry = |found| Quarry { quirks: Vec::new(), promise: Promise::LoanLimit, found };
        let median = |found| quarry(found).median().map(|effort| effort.scenarios);
        assert_eq!(median(vec![effort(9), None, effort(3)]), Some(9));
        assert_eq!(median(vec![None, None, effort(3)]), None);
        assert_eq!(median(Vec::new()), None);
    }
}
