//! A whole run: the fixtures, the proofs of all quirks, then generated scenarios, on
//! several workers; every failure confirmed, shrunk and saved.

mod case;
pub mod hunt;
mod proofs;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io, mem,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use include_dir::{Dir, include_dir};

use crate::{
    actor::{HostError, child::Executable, variant::Variant},
    coverage::{Coverage, Reach},
    lockstep::End,
    model::{Promise, Switch, quirk::Quirk},
    report::{Environment, Finding, QuirkReport, RunReport, SCHEMA, Verdict},
    runner::{Judgement, Layout, Runner, Venue},
    sandbox,
    scenario::{
        Scenario,
        file::ScenarioFileError,
        generate::{Family, scenario_of_run},
        shrink,
    },
    trial::Trial,
    workers,
};

pub use case::save_case;
use hunt::Effort;
pub use proofs::{active_quirks, judge_proof, switches};

static FIXTURES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/fixtures/scenarios");

/// Distinct cases that are shrunk and saved per promise; further breaches of the same
/// promise are counted.
const CASES_PER_PROMISE: usize = 3;

/// Repetitions that confirm a failure before it is shrunk.
const CONFIRMATIONS: usize = 3;

/// Scenarios tried at most to shrink one case.
const SHRINK_BUDGET: usize = 2000;

/// Time spent at most to shrink one case: hanging ones take their deadline each.
const SHRINK_TIME: Duration = Duration::from_secs(15);

/// How the `index`-th generated scenario is judged: every sixteenth apart, every eighth on
/// another service variant, and every family has its turn with all of them.
fn trial_of_turn(index: u64) -> Trial {
    let family = Family::of_turn(index);
    if matches!(family, Family::Death | Family::Overlap | Family::Shortage) {
        // Only who has a process of its own can be killed or held, or run short of anything.
        let variant = if index / 32 % 4 == 3 { Variant::IpcThreadsafe } else { Variant::Ipc };
        return Trial::At(Venue { layout: Layout::Apart, variant });
    }
    if family == Family::Concurrency {
        let variant = match index / 64 % 4 {
            0 => Variant::IpcThreadsafe,
            1 => Variant::Ipc,
            2 => Variant::LocalThreadsafe,
            _ => Variant::Local,
        };
        return Trial::At(Venue::together_on(variant));
    }
    let is_long = matches!(family, Family::ManyGrowths | Family::Turnover);
    let place = if is_long { index / 64 % 16 } else { (index + index / 8) % 16 };
    let round = index / if is_long { 1024 } else { 128 };
    let other = match round % 3 {
        0 => Variant::Local,
        1 => Variant::IpcThreadsafe,
        _ => Variant::LocalThreadsafe,
    };
    match place {
        3 if round % 4 == 1 => {
            Trial::At(Venue { layout: Layout::Apart, variant: Variant::IpcThreadsafe })
        }
        3 => Layout::Apart.into(),
        6 => Trial::AgainstVariant(other),
        11 => Trial::At(Venue::together_on(other)),
        _ if family == Family::Growth => Trial::AgainstOtherStrategies,
        _ => Layout::Together.into(),
    }
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How children are started.
    pub executable: Executable,
    /// Seed of the generated scenarios.
    pub seed: u64,
    /// For so long scenarios are generated.
    pub time: Duration,
    /// No more scenarios than this are generated.
    pub scenarios: u64,
    /// Workers.
    pub jobs: usize,
    /// Time for one scenario.
    pub deadline: Duration,
    /// Where artefacts go.
    pub out: PathBuf,
    /// Judge strictly, as if no quirk were known.
    pub strict: bool,
    /// End with the first broken promise, once it is confirmed, shrunk and saved.
    pub fail_fast: bool,
}

/// Why a run could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The harness failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A fixture or quirk file is broken.
    #[error(transparent)]
    File(#[from] ScenarioFileError),
    /// A case could not be saved.
    #[error("write {}: {source}", path.display())]
    Save {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The scenarios every run replays.
///
/// # Errors
/// If one of the compiled-in files is broken.
pub fn fixtures() -> Result<Vec<(String, Scenario)>, ScenarioFileError> {
    let mut fixtures = Vec::new();
    for entry in FIXTURES.files() {
        let path = Path::new("fixtures/scenarios").join(entry.path());
        let scenario = Scenario::parse(entry.contents_utf8().unwrap_or_default(), &path)?;
        fixtures.push((path.display().to_string(), scenario));
    }
    fixtures.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(fixtures)
}

/// Runs the plan. `progress` is told after every scenario how many there were.
///
/// # Errors
/// If the harness fails or a case cannot be saved; what iceoryx2 does is in the
/// report.
pub fn run(
    plan: &Plan,
    interrupted: &Arc<AtomicBool>,
    progress: &(dyn Fn(&Tally) + Sync),
) -> Result<RunReport, CampaignError> {
    let started = Instant::now();
    sandbox::room::check(plan.jobs).map_err(HostError::from)?;
    let quirks = active_quirks()?;
    let campaign = Campaign {
        plan,
        interrupted,
        progress,
        started,
        switches: if plan.strict { BTreeSet::new() } else { switches(&quirks) },
        tally: Mutex::new(Tally::default()),
    };
    let proofs = campaign.replay_files(&quirks)?;
    until_interrupted(campaign.generate_on_all_workers())?;
    let mut tally = campaign.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let findings = tally.findings();
    let sightings = |quirk: &Quirk| {
        quirk.switch.and_then(|switch| tally.sightings.get(&switch)).copied().unwrap_or(0)
    };
    let quirks = proofs
        .into_iter()
        .map(|(quirk, shows)| QuirkReport {
            sightings: sightings(&quirk),
            first_met: quirk.switch.and_then(|switch| tally.first_met.get(&switch)).copied(),
            id: quirk.id,
            promise: quirk.promise,
            shows,
            severity: quirk.severity,
            sentence: quirk.sentence,
        })
        .collect();
    Ok(RunReport {
        schema: SCHEMA,
        environment: Environment::of_this_process(),
        seed: plan.seed,
        scenarios: tally.scenarios,
        steps: tally.steps,
        skipped: tally.skipped,
        seconds: started.elapsed().as_secs_f64(),
        checks: tally.checks,
        unreached: Reach::of(&tally.coverage).unreached,
        coverage: tally.coverage,
        findings,
        quirks,
        interrupted: interrupted.load(Ordering::Relaxed),
    })
}

/// What was judged until somebody interrupted it is worth reporting.
fn until_interrupted<T: Default>(done: Result<T, CampaignError>) -> Result<T, CampaignError> {
    match done {
        Err(CampaignError::Host(HostError::Interrupted)) => Ok(T::default()),
        done => done,
    }
}

/// Running totals.
#[derive(Debug, Default)]
pub struct Tally {
    /// Scenarios run, by origin or family.
    pub scenarios: BTreeMap<String, usize>,
    /// Steps carried out.
    pub steps: usize,
    /// Steps that had nothing to act on.
    pub skipped: usize,
    /// Observations held against each promise.
    pub checks: BTreeMap<Promise, u64>,
    /// In what situations that was.
    pub coverage: BTreeMap<Layout, Coverage>,
    /// Times each quirk was met.
    pub sightings: BTreeMap<Switch, u64>,
    /// When each quirk was first met by a generated scenario.
    pub first_met: BTreeMap<Switch, Effort>,
    /// Scenarios that were generated.
    generated: u64,
    /// Broken promises so far.
    pub findings: Vec<Finding>,
    /// How often each promise was broken.
    broken: BTreeMap<Promise, usize>,
}

/// A scenario that is being judged.
#[derive(Clone, Copy)]
struct Case<'a> {
    scenario: &'a Scenario,
    trial: Trial,
    /// It has been shrunk already.
    is_small: bool,
}

impl<'a> Case<'a> {
    /// A case from a file.
    fn saved(scenario: &'a Scenario, venue: impl Into<Venue>) -> Self {
        Self { scenario, trial: Trial::At(venue.into()), is_small: true }
    }
}

struct Campaign<'a> {
    plan: &'a Plan,
    interrupted: &'a Arc<AtomicBool>,
    progress: &'a (dyn Fn(&Tally) + Sync),
    started: Instant,
    switches: BTreeSet<Switch>,
    tally: Mutex<Tally>,
}

impl Campaign<'_> {
    fn new_runner(&self) -> Runner {
        let mut runner = Runner::new(self.plan.executable.clone())
            .with_deadline(self.plan.deadline)
            .interrupted_by(Arc::clone(self.interrupted));
        runner.live_with(self.switches.clone());
        runner
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Whether no further scenario is wanted.
    fn is_over(&self) -> bool {
        self.is_interrupted() || self.plan.fail_fast && !self.tally().findings.is_empty()
    }

    fn generate_on_all_workers(&self) -> Result<(), CampaignError> {
        let deadline = Instant::now() + self.plan.time;
        let next = AtomicU64::new(0);
        workers::at_once(self.plan.jobs, || self.generate(&next, deadline))
    }

    fn generate(&self, next: &AtomicU64, deadline: Instant) -> Result<(), CampaignError> {
        let mut runner = self.new_runner();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= self.plan.scenarios || Instant::now() >= deadline || self.is_over() {
                return Ok(());
            }
            let scenario = scenario_of_run(self.plan.seed, index);
            let family = Family::of_turn(index);
            let origin = family.id();
            let trial = trial_of_turn(index);
            let judgement = trial.judge(&mut runner, &scenario, false)?;
            let case = Case { scenario: &scenario, trial, is_small: false };
            self.record(&mut runner, case, &origin, &scenario.title, judgement)?;
        }
    }

    fn count(&self, origin: &str, layout: Layout, judgement: &Judgement) {
        let mut tally = self.tally();
        *tally.scenarios.entry(origin.to_owned()).or_default() += 1;
        tally.steps += judgement.outcome.performed;
        tally.skipped += judgement.outcome.skipped;
        tally.coverage.entry(layout).or_default().merge(&judgement.outcome.coverage);
        for (&promise, &count) in &judgement.outcome.checks {
            *tally.checks.entry(promise).or_default() += count;
        }
        let is_generated = Family::ALL.iter().any(|family| family.id() == origin);
        tally.generated += u64::from(is_generated);
        let effort =
            Effort { scenarios: tally.generated, seconds: self.started.elapsed().as_secs_f64() };
        for (&switch, &count) in &judgement.outcome.sightings {
            *tally.sightings.entry(switch).or_default() += count;
            if is_generated {
                tally.first_met.entry(switch).or_insert(effort);
            }
        }
        (self.progress)(&tally);
    }

    /// Counts a judged scenario; a broken promise is confirmed, shrunk and saved.
    fn record(
        &self,
        runner: &mut Runner,
        case: Case<'_>,
        family: &str,
        origin: &str,
        judgement: Judgement,
    ) -> Result<(), CampaignError> {
        let Case { is_small, .. } = case;
        self.count(family, case.trial.venue().layout, &judgement);
        let Some(promise) = judgement.outcome.end.promise() else { return Ok(()) };
        let Some(number) = self.reserve(promise) else { return Ok(()) };
        let shows_in = |trial: Trial, runner: &mut Runner, candidate: &Scenario| {
            let judged = trial.judge(runner, candidate, false).ok();
            judged.filter(|judged| judged.outcome.end.promise() == Some(promise))
        };
        // Of two runs that are compared, the one that breaks the promise by itself.
        let halves = case.trial.halves(case.scenario);
        let alone =
            halves.into_iter().find(|(trial, half)| shows_in(*trial, runner, half).is_some());
        let (trial, scenario) = alone.unwrap_or_else(|| (case.trial, case.scenario.clone()));
        let scenario = &scenario;
        let shows = |runner: &mut Runner, candidate: &Scenario| shows_in(trial, runner, candidate);
        // Each repetition of a hang takes its whole deadline.
        let tries = if promise == Promise::NeverHangs { 1 } else { CONFIRMATIONS };
        let mut confirmed = 0;
        for _ in 0..tries {
            confirmed += usize::from(shows(runner, scenario).is_some());
        }
        let mut small = scenario.clone();
        if confirmed == tries && !is_small {
            let until = Instant::now() + SHRINK_TIME;
            small = shrink::shrink(scenario, SHRINK_BUDGET, |candidate| {
                Instant::now() < until
                    && !self.is_interrupted()
                    && shows(runner, candidate).is_some()
            });
        }
        small.title = scenario.title.clone();
        let end = shows(runner, &small).map_or(judgement.outcome.end, |judged| judged.outcome.end);
        let path = self.plan.out.join("cases").join(format!("{promise}-{number}.toml"));
        let lenient = save_case(&path, &small, &end, runner, trial)?;
        let verdict = match &end {
            End::Stopped { error: HostError::Hung(_), .. } => Verdict::Hung,
            End::Stopped { .. } => Verdict::Crashed,
            _ => Verdict::Broken,
        };
        self.tally().findings.push(Finding {
            promise,
            verdict,
            origin: origin.to_owned(),
            trial,
            lenient,
            end,
            case: path,
            steps: (scenario.written_steps(), small.written_steps()),
            confirmed: (confirmed, tries),
            times: 1,
        });
        Ok(())
    }

    /// The number of the next case of this promise, if another one is wanted; if not, it is
    /// counted.
    fn reserve(&self, promise: Promise) -> Option<usize> {
        let mut tally = self.tally();
        let is_late = self.plan.fail_fast && !tally.broken.is_empty();
        let broken = tally.broken.entry(promise).or_default();
        *broken += 1;
        Some(*broken).filter(|&number| !is_late && number <= CASES_PER_PROMISE)
    }
}

impl Tally {
    /// The findings, those that were counted only with the first of their promise.
    fn findings(&mut self) -> Vec<Finding> {
        let mut findings = mem::take(&mut self.findings);
        findings.sort_by(|a, b| (a.promise, &a.case).cmp(&(b.promise, &b.case)));
        for (&promise, &broken) in &self.broken {
            if let Some(first) = findings.iter_mut().find(|finding| finding.promise == promise) {
                first.times += broken.saturating_sub(CASES_PER_PROMISE);
            }
        }
        findings
    }
}

/// Makes the directory for one run below `base` and points `latest` there.
///
/// # Errors
/// If it cannot be written.
pub fn make_run_directory(base: &Path) -> Result<PathBuf, CampaignError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| CampaignError::Save { path, source }
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let name = format!("{now}-{}", std::process::id());
    let dir = base.join("runs").join(&name);
    fs::create_dir_all(dir.join("cases")).map_err(fail(&dir))?;
    let latest = base.join("latest");
    // Replaced atomically, so that two runs at a time do not trip over each other.
    let temporary = base.join(format!("latest-{name}"));
    std::os::unix::fs::symlink(Path::new("runs").join(&name), &temporary)
        .map_err(fail(&temporary))?;
    fs::rename(&temporary, &latest).map_err(fail(&latest))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_runs_together_and_apart_and_on_every_variant() {
        let elsewhere = [Family::Death, Family::Concurrency, Family::Overlap, Family::Shortage];
        for family in Family::ALL.into_iter().filter(|family| !elsewhere.contains(family)) {
            let turns = (0..8192).filter(|&index| Family::of_turn(index) == family);
            let trials: BTreeSet<_> = turns.map(trial_of_turn).collect();
            let venues = trials.iter().filter(|trial| matches!(trial, Trial::At(_))).count();
            let variants =
                trials.iter().filter(|trial| matches!(trial, Trial::AgainstVariant(_))).count();
            // Growth is never alone on shared memory together: it is compared.
            let expected = if family == Family::Growth { 5 } else { 6 };
            assert_eq!((venues, variants), (expected, 3), "{family:?}: {trials:?}");
        }
    }
}
