//! How soon generation finds what is known: scenarios are judged with everything known, and
//! those in which a quirk mattered once more with everything known but that one. If they break
//! its promise then, it is found.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    model::{Promise, Switch, steered},
    runner::{Runner, Venue},
    sandbox,
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
    /// Scenarios generated at most per seed, on each service variant with quirks of its own.
    pub scenarios: u64,
    /// Time spent at most per seed, what is judged once more not counted.
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
    /// Seconds until then, what is judged once more for other quirks not counted.
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

/// Hunts the quirks of this release. `progress` is told which were found, with which seed and
/// effort.
///
/// # Errors
/// If the harness fails or is interrupted.
pub fn hunt(
    plan: &HuntPlan,
    interrupted: &Arc<AtomicBool>,
    progress: &(dyn Fn(&[String], u64, Effort) + Sync),
) -> Result<Vec<Quarry>, CampaignError> {
    sandbox::room::check(plan.jobs).map_err(HostError::from)?;
    let quirks = active_quirks()?;
    let known = switches(&quirks);
    let mut quarries = Vec::new();
    for variant in quirks.iter().map(|quirk| quirk.variant).collect::<BTreeSet<_>>() {
        let mut wanted: BTreeMap<Prey, Vec<String>> = BTreeMap::new();
        for quirk in quirks.iter().filter(|quirk| quirk.variant == variant) {
            if let Some(switch) = quirk.switch {
                wanted.entry((switch, quirk.promise)).or_default().push(quirk.id.clone());
            }
        }
        wanted.retain(|_, ids| ids.iter().any(|id| id.contains(&plan.filter)));
        let hunters = Hunters { plan, interrupted, progress, known: &known, variant };
        let found = workers::each(
            plan.jobs,
            &Vec::from_iter(1..=plan.seeds),
            |_| false,
            || Ok(()),
            |(), &seed| hunters.with_seed(seed, &wanted),
            drop,
        )?;
        for (prey, quirks) in wanted {
            let of = |efforts: &BTreeMap<Prey, Effort>| efforts.get(&prey).copied();
            quarries.push(Quarry {
                quirks,
                promise: prey.1,
                found: found.iter().map(of).collect(),
            });
        }
    }
    Ok(quarries)
}

/// How something is lived with, and the promise it breaks.
type Prey = (Switch, Promise);

struct Hunters<'a> {
    plan: &'a HuntPlan,
    interrupted: &'a Arc<AtomicBool>,
    progress: &'a (dyn Fn(&[String], u64, Effort) + Sync),
    known: &'a BTreeSet<Switch>,
    variant: Variant,
}

impl Hunters<'_> {
    fn with_seed(
        &self,
        seed: u64,
        wanted: &BTreeMap<Prey, Vec<String>>,
    ) -> Result<BTreeMap<Prey, Effort>, HostError> {
        let new_runner = || {
            Runner::new(self.plan.executable.clone())
                .with_deadline(DEADLINE)
                .interrupted_by(Arc::clone(self.interrupted))
        };
        // Whoever breaks something starts afresh, which is not to take the time of the others.
        let (mut runner, mut again) = (new_runner(), new_runner());
        runner.live_with(self.known.clone());
        let mut at_large: BTreeSet<Prey> = wanted.keys().copied().collect();
        let mut efforts = BTreeMap::new();
        let mut spent = Duration::ZERO;
        for index in 0..self.plan.scenarios {
            if at_large.is_empty() || spent > self.plan.time {
                break;
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(HostError::Interrupted);
            }
            let started = Instant::now();
            let scenario = scenario_of_run(seed, index);
            let venue = Venue::suited_to(&scenario, self.variant);
            let outcome = runner.judge(&scenario, venue, false)?.outcome;
            spent += started.elapsed();
            let effort = Effort { scenarios: index + 1, seconds: spent.as_secs_f64() };
            let mattered = |switch: Switch| {
                !outcome.end.is_kept()
                    || outcome.sightings.contains_key(&switch)
                    || outcome.steered.contains(&switch)
                    || *steered(&scenario, &[switch].into()) != scenario
            };
            let missing: BTreeSet<Switch> =
                at_large.iter().map(|(switch, _)| *switch).filter(|s| mattered(*s)).collect();
            for switch in missing {
                again.live_with(self.known.iter().copied().filter(|s| *s != switch).collect());
                let promise = again.judge(&scenario, venue, false)?.outcome.end.promise();
                // What is broken with all of them known is something else.
                let promise = promise.filter(|_| promise != outcome.end.promise());
                let prey = promise.map(|promise| (switch, promise));
                if let Some(prey) = prey.filter(|prey| at_large.remove(prey)) {
                    (self.progress)(&wanted[&prey], seed, effort);
                    efforts.insert(prey, effort);
                }
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
