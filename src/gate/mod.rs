//! Two releases of iceoryx2 side by side: what changes for whoever moves from one to the
//! other.
//!
//! The suite is compiled once per release ([`workshop`]); each build is judge of its own
//! release ([`judge`]). Every proof of a quirk, every fixture and every case that a run on
//! either release finds is then tried on both, and generated scenarios are compared step by
//! step ([`compare`]). So each line of the result has a scenario that shows it.

pub mod compare;
pub mod conformance;
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
    report::{RunReport, describe_end},
    runner::Layout,
    scenario::{Scenario, file::ScenarioFileError},
    trial::Trial,
};

use compare::{Compared, Extent};
use judge::{Case, Judge};
pub use release::{GitReference, Release, ReleaseError};
use report::{Change, Delta, GateReport, Origin, Side, Word};
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
    let mut judges = [
        Judge::start(&builds[0].executable, interrupted)?,
        Judge::start(&builds[1].executable, interrupted)?,
    ];
    tell("trying every known case on both");
    let mut changes = Vec::new();
    for quirk in &quirks {
        let file = PathBuf::from(format!("fixtures/quirks/{}.toml", quirk.id));
        let case = Case::of_quirk(quirk, &all);
        let versions = builds.each_ref().map(|build| quirk.affects(&build.version));
        let mut change = try_on_both(&mut judges, &case, Origin::Quirk, &quirk.id, file)?;
        change.expected = Some(versions);
        change.sentence = Some(quirk.sentence.trim().to_owned());
        changes.push(change);
    }
    for (of, report) in [(Origin::Baseline, &runs[0]), (Origin::Candidate, &runs[1])] {
        for finding in &report.findings {
            let scenario = Scenario::load(&finding.case)?;
            let case = Case {
                scenario: &scenario,
                trial: finding.trial,
                promise: finding.promise,
                own: None,
                all: &all,
            };
            let mut change =
                try_on_both(&mut judges, &case, of, &finding.origin, finding.case.clone())?;
            change.sentence = Some(describe_end(&finding.end).replace('\n', " "));
            changes.push(change);
        }
    }
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

/// Tries a case on both releases.
fn try_on_both(
    judges: &mut [Judge<'_>; 2],
    case: &Case<'_>,
    origin: Origin,
    name: &str,
    file: PathBuf,
) -> Result<Change, GateError> {
    let [baseline, candidate] = judges;
    let standings = [baseline.standing(case, REPETITIONS)?, candidate.standing(case, REPETITIONS)?];
    Ok(Change {
        word: Word::of(&standings[0], &standings[1]),
        name: name.to_owned(),
        promise: Some(case.promise),
        origin,
        standings,
        file,
        trial: case.trial,
        expected: None,
        sentence: None,
        times: 1,
    })
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
    let text = report::to_config(&baseline.defaults);
    fs::write(&config, text).map_err(|source| GateError::Io { path: config.clone(), source })?;
    let path = config.display().to_string();
    let candidate: facts::Facts = ask(&builds[1], &["facts", "--config", &path])?;
    Ok(report::deltas(&baseline, &candidate))
}

/// Each of the two in turn, so that a busy machine disturbs both.
fn timings(builds: &[Build; 2]) -> Result<Vec<report::Timing>, GateError> {
    let mut samples: [Vec<facts::Timings>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..TIMED {
        for (build, samples) in builds.iter().zip(&mut samples) {
            samples.push(ask(build, &["facts", "--timings"])?);
        }
    }
    Ok(report::timings(&samples))
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
