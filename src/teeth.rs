//! How soon every saboteur is caught, by which name, and how small its case becomes.
//!
//! Saboteurs run where scenarios always run, in child processes behind a [`Runner`], so
//! that their teeth are those of a run: lockstep, census, crash, hang and comparison of
//! strategies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

use crate::{
    actor::{HostError, child::Executable, sabotage::Sabotage, variant::Variant},
    campaign::{CampaignError, active_quirks, switches},
    lockstep::{End, Position},
    model::Promise,
    runner::{DEADLINE, Judgement, Layout, Runner, Venue},
    sandbox,
    scenario::{
        Scenario,
        generate::{Family, scenario_of_run},
        shrink,
    },
    trial::Trial,
    workers,
};

/// A saboteur that hangs costs this much every time: some hundred times what a scenario
/// takes.
const HANGING_DEADLINE: Duration = Duration::from_secs(1);

/// Steps to which the case of a saboteur that hangs is shrunk at least, and no further: it
/// would take a minute.
const SMALL_ENOUGH_TO_HANG: usize = 10;

/// Scenarios tried at most to shrink the case of one saboteur.
const SHRINK_BUDGET: usize = 600;

/// How much longer it takes to catch a saboteur that only breaks in where participants meet or run
/// short of something: they do in every 32nd or 64th scenario, and the others cost nothing here.
const BETWEEN_RARE_ONES: u64 = 5;

/// How to show teeth.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How children are started.
    pub executable: Executable,
    /// Seed of the generated scenarios.
    pub seed: u64,
    /// Scenarios within which a saboteur has to be caught.
    pub patience: u64,
    /// Shrinking ends at so many written steps; at 0 it goes on while it gains anything.
    pub small_enough: usize,
    /// Workers; each takes a saboteur at a time.
    pub jobs: usize,
}

/// What became of a saboteur.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Catch {
    /// It was caught by the name of the promise it breaks.
    Caught {
        /// Scenarios, the one that caught it included.
        scenarios: u64,
        /// Written steps after shrinking.
        steps: usize,
        /// What they are.
        case: Box<Scenario>,
    },
    /// The first breach was one of another promise.
    Misnamed {
        /// Scenarios, the one with the breach included.
        scenarios: u64,
        /// How it ended.
        end: End,
    },
    /// Nothing was broken within the plan's patience.
    Escaped,
}

/// A saboteur and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Bite {
    /// The saboteur.
    #[serde(flatten)]
    pub sabotage: &'static Sabotage,
    /// What became of it.
    #[serde(flatten)]
    pub catch: Catch,
}

/// Lets every saboteur loose, in the order of [`Sabotage::all`].
///
/// # Errors
/// If the harness fails or is interrupted.
pub fn show(plan: &Plan, interrupted: &Arc<AtomicBool>) -> Result<Vec<Bite>, CampaignError> {
    sandbox::room::check(plan.jobs).map_err(HostError::from)?;
    let known = switches(&active_quirks()?);
    let hangs = |sabotage: &&'static Sabotage| sabotage.breaks == Promise::NeverHangs;
    let let_loose = |(): &mut (), sabotage: &&'static Sabotage| {
        let (sabotage, is_hanging) = (*sabotage, hangs(sabotage));
        let mut runner = Runner::new(plan.executable.sabotaged(sabotage))
            .with_deadline(if is_hanging { HANGING_DEADLINE } else { DEADLINE })
            .interrupted_by(Arc::clone(interrupted));
        runner.live_with(known.clone());
        let small_enough = plan.small_enough.max(if is_hanging { SMALL_ENOUGH_TO_HANG } else { 0 });
        let hunt = Hunt { plan, small_enough, sabotage, runner, interrupted };
        Ok::<_, HostError>(Bite { sabotage, catch: hunt.catch()? })
    };
    let mut bites = workers::each(plan.jobs, &Sabotage::all(), hangs, || Ok(()), let_loose, drop)?;
    bites.sort_by_key(|bite| (bite.sabotage.breaks, bite.sabotage.id));
    Ok(bites)
}

/// The hunt for one saboteur.
struct Hunt<'a> {
    plan: &'a Plan,
    small_enough: usize,
    sabotage: &'static Sabotage,
    runner: Runner,
    interrupted: &'a AtomicBool,
}

impl Hunt<'_> {
    fn catch(mut self) -> Result<Catch, HostError> {
        let patience = self.plan.patience;
        let only_in = self.sabotage.only_in();
        let patience = if only_in.is_some() { patience * BETWEEN_RARE_ONES } else { patience };
        for index in 0..patience {
            if only_in.is_some_and(|family| Family::of_turn(index) != family) {
                continue;
            }
            let scenario = scenario_of_run(self.plan.seed, index);
            // It takes long, and nothing would be wrong with it.
            if scenario.concurrent.is_some() && !self.sabotage.meddles_at_once() {
                continue;
            }
            let end = self.judge(&scenario)?.outcome.end;
            let scenarios = index + 1;
            match end.promise() {
                Some(promise) if promise == self.sabotage.breaks => {
                    let case = Box::new(self.shrink(&scenario, &end));
                    let steps = case.written_steps();
                    return Ok(Catch::Caught { scenarios, steps, case });
                }
                None if end.is_kept() => {}
                // The lie was what should have happened where a known quirk prevents it, so
                // that nothing was wrong but the object that does not exist.
                None if matches!(end, End::Stopped { error: HostError::Harness(_), .. }) => {}
                _ => return Ok(Catch::Misnamed { scenarios, end }),
            }
        }
        Ok(Catch::Escaped)
    }

    fn judge(&mut self, scenario: &Scenario) -> Result<Judgement, HostError> {
        let trial = match self.sabotage.breaks {
            _ if self.sabotage.only_in().is_some() => {
                Trial::At(Venue::suited_to(scenario, Variant::Ipc))
            }
            Promise::StrategiesAgree => Trial::AgainstOtherStrategies,
            Promise::VariantsAgree => Trial::AgainstVariant(Variant::Local),
            Promise::DeadNodeIsListed | Promise::DeadNodeIsCleanedUp => {
                Trial::At(Venue::suited_to(scenario, Variant::Ipc))
            }
            _ => Layout::Together.into(),
        };
        trial.judge(&mut self.runner, scenario, false)
    }

    fn shows(&mut self, scenario: &Scenario) -> bool {
        let judged = self.judge(scenario);
        judged.is_ok_and(|judged| judged.outcome.end.promise() == Some(self.sabotage.breaks))
    }

    fn shrink(&mut self, scenario: &Scenario, end: &End) -> Scenario {
        let mut best = until(end, scenario);
        if best != *scenario && !self.shows(&best) {
            best = scenario.clone();
        }
        let mut size = best.written_steps();
        let enough = self.small_enough;
        shrink::shrink(&best, SHRINK_BUDGET, |candidate| {
            let shows =
                size > enough && !self.interrupted.load(Ordering::Relaxed) && self.shows(candidate);
            if shows {
                size = candidate.written_steps();
            }
            shows
        })
    }
}

/// The scenario without the steps after the one it ended at.
fn until(end: &End, scenario: &Scenario) -> Scenario {
    let mut short = scenario.clone();
    if let End::Broken { position: Position::Step(last), .. }
    | End::Stopped { position: Position::Step(last), .. } = end
        && *last < short.steps.len()
    {
        short.steps.truncate(last + 1);
        short.repeat = None;
    }
    short
}
