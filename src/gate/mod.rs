//! Two releases of iceoryx2 side by side: what changes for whoever moves from one to the
//! other.
//!
//! The suite is compiled once per release ([`workshop`]); each build is judge of its own
//! release ([`judge`]). Every proof of a quirk, every fixture and every case that a run on
//! either release finds is then tried on both, and generated scenarios are compared step by
//! step ([`compare`]). So each line of the result has a scenario that shows it.

pub mod compare;
pub mod conformance;
pub mod deltas;
pub mod facts;
pub mod judge;
pub mod matrix;
pub mod mixed;
pub mod release;
pub mod report;
pub mod workshop;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use crate::{
    actor::HostError,
    campaign::{self, CampaignError},
    model::{Promise, Switch, quirk::Quirk},
    report::{Finding, RunReport, describe_end},
    runner::Layout,
    scenario::{Scenario, file::ScenarioFileError},
    trial::Trial,
};

use compare::{Compared, Extent};
use deltas::Delta;
use judge::{Case, Judge, Standing};
pub use release::{GitReference, Release, ReleaseError};
use report::{Change, GateReport, Origin, Side, Word};
pub use workshop::{Build, BuildError, Workshop};

/// Repetitions of a scenario on each release; whatever does not show every time is spurious.
const REPETITIONS: usize = 3;

/// Pairs of measurements of time, one of each release in turn.
const TIMED: usize = 5;

/// What to compare, and how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A run on each release takes so long, and so does the comparison of both.
    pub time: Duration,
    /// No more than these scenarios are generated for each.
    pub scenarios: u64,
    /// Seed of the generated scenarios.
    pub seed: u64,
    /// Where artefacts go.
    pub out: PathBuf,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A suite could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The harness failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A quirk or scenario file is broken.
    #[error(transparent)]
    File(#[from] ScenarioFileError),
    /// A case could not be saved.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
    /// A build of the suite did not do what it was asked for.
    #[error("the suite built against iceoryx2 {release} failed to {what}: {why}")]
    Suite {
        /// Which build.
        release: String,
        /// What it was to do.
        what: &'static str,
        /// What it printed.
        why: String,
    },
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Compares two builds. `tell` hears what is going on.
///
/// # Errors
/// If the harness fails; what either release does is in the report.
pub fn gate(
    builds: &[Build; 2],
    plan: &Plan,
    interrupted: &AtomicBool,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<GateReport, GateError> {
    let started = Instant::now();
    let runs =
        [run(&builds[0], plan, "baseline", tell)?, run(&builds[1], plan, "candidate", tell)?];
    let quirks = Quirk::known()?;
    let all = campaign::switches(&quirks);
    tell("trying every known case on both");
    let changes = try_on_both(builds, &quirks, &all, &found(&runs)?, interrupted)?;
    let mut judges = [
        Judge::start(&builds[0].executable, interrupted)?,
        Judge::start(&builds[1].executable, interrupted)?,
    ];
    tell("comparing generated scenarios step by step");
    let extent = Extent { seed: plan.seed, time: plan.time, scenarios: plan.scenarios };
    let compared = compare::compare(&mut judges, extent, &all, interrupted, &|count| {
        tell(&format!("compared {count} generated scenarios step by step"));
    })?;
    let differences = differences(&mut judges, &compared, &all, plan)?;
    judges.into_iter().for_each(Judge::finish);
    tell("looking at defaults, memory and time");
    let facts = facts(builds, plan)?;
    let timings = timings(builds)?;
    let [baseline, candidate] = [0, 1].map(|i| Side::new(&builds[i], &runs[i]));
    Ok(GateReport {
        schema: report::SCHEMA,
        baseline,
        candidate,
        promises: promises(&runs),
        changes,
        differences,
        compared_scenarios: compared.scenarios,
        compared_steps: compared.steps,
        facts,
        timings,
        seed: plan.seed,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// A whole run of the suite on its release.
fn run(
    build: &Build,
    plan: &Plan,
    side: &str,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<RunReport, GateError> {
    tell(&format!("running the suite on iceoryx2 {}, the {side}", build.release));
    let out = plan.out.join(side);
    let output = Command::new(&build.executable)
        .arg("run")
        .args(["--format", "json", "--seed", &plan.seed.to_string()])
        .args(["--for", &format!("{}ms", plan.time.as_millis())])
        .args(["--scenarios", &plan.scenarios.to_string()])
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| GateError::Io { path: build.executable.clone(), source })?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let printed = String::from_utf8_lossy(&output.stderr);
        let last = printed.lines().last().map_or_else(|| error.to_string(), str::to_owned);
        if output.status.code() == Some(crate::exit::Exit::Interrupted as i32) {
            return HostError::Interrupted.into();
        }
        GateError::Suite { release: build.release.to_string(), what: "run", why: last }
    })
}

/// A case from before the comparison.
struct Known<'a> {
    case: Case<'a>,
    name: String,
    origin: Origin,
    file: PathBuf,
    expected: Option<[bool; 2]>,
    sentence: String,
}

impl Known<'_> {
    fn tried(self, standings: [Standing; 2]) -> Change {
        let Self { case, name, origin, file, expected, sentence } = self;
        Change {
            word: Word::of(&standings[0], &standings[1]),
            name,
            promise: Some(case.promise),
            origin,
            standings,
            file,
            trial: case.trial,
            expected,
            sentence: Some(sentence),
            times: 1,
        }
    }
}

/// A case that a run found, which no quirk explains.
struct Found<'a> {
    of: Origin,
    finding: &'a Finding,
    scenario: Scenario,
}

fn found(runs: &[RunReport; 2]) -> Result<Vec<Found<'_>>, GateError> {
    let mut found = Vec::new();
    for (of, run) in [Origin::Baseline, Origin::Candidate].into_iter().zip(runs) {
        for finding in &run.findings {
            found.push(Found { of, finding, scenario: Scenario::load(&finding.case)? });
        }
    }
    Ok(found)
}

/// Tries the proofs of quirks and what the runs found on both releases.
fn try_on_both(
    builds: &[Build; 2],
    quirks: &[Quirk],
    all: &BTreeSet<Switch>,
    found: &[Found<'_>],
    interrupted: &AtomicBool,
) -> Result<Vec<Change>, GateError> {
    let proofs = quirks.iter().map(|quirk| Known {
        case: Case::of_quirk(quirk, all),
        name: quirk.id.clone(),
        origin: Origin::Quirk,
        file: PathBuf::from(format!("fixtures/quirks/{}.toml", quirk.id)),
        expected: Some(builds.each_ref().map(|build| quirk.affects(&build.version))),
        sentence: quirk.sentence.trim().to_owned(),
    });
    let found = found.iter().map(|Found { of, finding, scenario }| {
        let &Finding { trial, promise, .. } = *finding;
        Known {
            case: Case { scenario, trial, promise, quirk: None, all },
            name: finding.origin.clone(),
            origin: *of,
            file: finding.case.clone(),
            expected: None,
            sentence: describe_end(&finding.end).replace('\n', " "),
        }
    });
    let known: Vec<_> = proofs.chain(found).collect();
    let cases: Vec<_> = known.iter().map(|known| known.case).collect();
    let standings = |build: &Build| judge::standings(build, &cases, REPETITIONS, interrupted);
    let [baseline, candidate] = [standings(&builds[0])?, standings(&builds[1])?];
    let both = baseline.into_iter().zip(candidate).map(<[Standing; 2]>::from);
    Ok(known.into_iter().zip(both).map(|(known, both)| known.tried(both)).collect())
}

/// The differences, each saved and judged strictly by both releases.
fn differences(
    judges: &mut [Judge<'_>; 2],
    compared: &Compared,
    all: &BTreeSet<Switch>,
    plan: &Plan,
) -> Result<Vec<Change>, GateError> {
    let dir = plan.out.join("differences");
    let mut changes = Vec::new();
    for (number, shown) in compared.shown.iter().enumerate() {
        let difference = &shown.difference;
        let mut repeats = 0;
        for _ in 0..REPETITIONS {
            let again = compare::differ(judges, &shown.scenario, all)?;
            repeats += usize::from(again.is_some_and(|again| again.key == difference.key));
        }
        let step = difference.key.step.map_or_else(|| "whole".to_owned(), |kind| kind.to_string());
        let file = dir.join(format!("{:03}-{step}.toml", number + 1));
        let sentence = format!(
            "{}: {} became {}",
            difference.action, difference.observed[0], difference.observed[1]
        );
        save(&file, &shown.scenario, &format!("{}: {sentence}", difference.position))?;
        let (was_broken, baseline) = judges[0].strictly(&shown.scenario)?;
        let (is_broken, candidate) = judges[1].strictly(&shown.scenario)?;
        let promise = is_broken.or(was_broken);
        let standings = [baseline, candidate];
        let word = if repeats < REPETITIONS {
            Word::Spurious
        } else {
            match Word::of(&standings[0], &standings[1]) {
                Word::Same | Word::Unsupported | Word::Unclear | Word::Spurious => Word::Changed,
                word => word,
            }
        };
        changes.push(Change {
            word,
            name: step,
            promise,
            origin: Origin::Compared,
            standings,
            file,
            trial: Trial::At(Layout::Together.into()),
            expected: None,
            sentence: Some(sentence),
            times: shown.times,
        });
    }
    Ok(changes)
}

fn save(path: &Path, scenario: &Scenario, header: &str) -> Result<(), GateError> {
    let fail = |source| GateError::Io { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(fail)?;
    }
    fs::write(path, scenario.to_toml(header, |_| None)).map_err(fail)
}

/// What became of every promise in the two runs.
fn promises(runs: &[RunReport; 2]) -> BTreeMap<Promise, [crate::report::Verdict; 2]> {
    let verdicts = |&promise: &Promise| (promise, runs.each_ref().map(|run| run.verdict(promise)));
    Promise::ALL.iter().map(verdicts).collect()
}

fn facts(builds: &[Build; 2], plan: &Plan) -> Result<Vec<Delta>, GateError> {
    let baseline: facts::Facts = ask(&builds[0], &["facts"])?;
    // What a user of the baseline may have written down, shown to the candidate.
    let config = plan.out.join("config-of-the-baseline.toml");
    let text = deltas::to_config(&baseline.defaults);
    fs::write(&config, text).map_err(|source| GateError::Io { path: config.clone(), source })?;
    let path = config.display().to_string();
    let candidate: facts::Facts = ask(&builds[1], &["facts", "--config", &path])?;
    Ok(deltas::deltas(&baseline, &candidate))
}

/// Each of the two in turn, so that a busy machine disturbs both.
fn timings(builds: &[Build; 2]) -> Result<Vec<deltas::Timing>, GateError> {
    let mut samples: [Vec<facts::Timings>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..TIMED {
        for (build, samples) in builds.iter().zip(&mut samples) {
            samples.push(ask(build, &["facts", "--timings"])?);
        }
    }
    Ok(deltas::timings(&samples))
}

/// What a build prints as JSON.
fn ask<T: serde::de::DeserializeOwned>(build: &Build, arguments: &[&str]) -> Result<T, GateError> {
    let output = Command::new(&build.executable)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| GateError::Io { path: build.executable.clone(), source })?;
    serde_json::from_slice(&output.stdout).map_err(|_| GateError::Suite {
        release: build.release.to_string(),
        what: "say what its release is like",
        why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
