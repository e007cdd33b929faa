//! What a run found out, as data; the views are one file each.

pub mod gate;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod mixed;
pub mod terminal;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::{
    actor::version,
    campaign::hunt::Effort,
    coverage::{Cell, Coverage, Reach},
    lockstep::{End, Position},
    model::{Promise, quirk::Severity},
    runner::Layout,
    scenario::generate::Family,
    trial::Trial,
};

/// Version of the JSON report.
pub const SCHEMA: u32 = 1;

/// What became of a promise, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing that ran put it at stake.
    NotExercised,
    /// It held every time.
    Kept,
    /// It is broken as a quirk file says.
    Quirk,
    /// A quirk that affects this release no longer shows: its versions are to be
    /// corrected.
    Fixed,
    /// It is broken.
    Broken,
    /// A call did not return in time.
    Hung,
    /// iceoryx2 panicked, aborted or faulted.
    Crashed,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotExercised => "not exercised",
            Self::Kept => "kept",
            Self::Quirk => "quirk",
            Self::Fixed => "fixed",
            Self::Broken => "BROKEN",
            Self::Hung => "HUNG",
            Self::Crashed => "CRASHED",
        })
    }
}

/// On what the run took place.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Environment {
    /// Version of iceoryx2.
    pub iceoryx2: String,
    /// Where it comes from.
    pub source: String,
    /// Version of the gauntlet.
    pub gauntlet: String,
    /// Its commit, if it runs in a checkout.
    pub commit: Option<String>,
    /// `dev` (overflow checks on) or `release`.
    pub profile: String,
    /// `uname -sr`.
    pub kernel: String,
}

impl Environment {
    /// This process'.
    #[must_use]
    pub fn of_this_process() -> Self {
        let output = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok()?;
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let uname = rustix::system::uname();
        Self {
            iceoryx2: version::IOX2_VERSION.to_owned(),
            source: version::IOX2_SOURCE.to_owned(),
            gauntlet: env!("CARGO_PKG_VERSION").to_owned(),
            commit: output(
                "git",
                &["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short", "HEAD"],
            ),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" }.to_owned(),
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
        }
    }
}

/// A broken promise with its case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Which promise.
    pub promise: Promise,
    /// How bad.
    pub verdict: Verdict,
    /// Where it came from: generated, a fixture or a quirk's proof.
    pub origin: String,
    /// How it was judged.
    pub trial: Trial,
    /// Whether it shows only where known quirks are lived with: one of them is met before.
    #[serde(default)]
    pub lenient: bool,
    /// How the shrunk scenario ends.
    pub end: End,
    /// The scenario, saved.
    pub case: PathBuf,
    /// Steps before and after shrinking.
    pub steps: (usize, usize),
    /// Of how many repetitions how many showed it, before shrinking.
    pub confirmed: (usize, usize),
    /// How many scenarios broke this promise.
    pub times: usize,
}

/// A quirk of this release.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuirkReport {
    /// Its file's name.
    pub id: String,
    /// The promise it breaks.
    pub promise: Promise,
    /// Whether its proof still shows it.
    pub shows: bool,
    /// Times the scenarios met it, or another quirk that is lived with in the same way.
    pub sightings: u64,
    /// After how many generated scenarios and seconds that was first.
    #[serde(default)]
    pub first_met: Option<Effort>,
    /// What it does.
    pub severity: Severity,
    /// What happens.
    pub sentence: String,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// On what it ran.
    pub environment: Environment,
    /// Seed of the generated scenarios.
    pub seed: u64,
    /// Scenarios run, by origin or family.
    pub scenarios: BTreeMap<String, usize>,
    /// Steps carried out.
    pub steps: usize,
    /// Steps that had nothing to act on.
    pub skipped: usize,
    /// Seconds it took.
    pub seconds: f64,
    /// Observations held against each promise.
    pub checks: BTreeMap<Promise, u64>,
    /// In what situations that was.
    #[serde(default)]
    pub coverage: BTreeMap<Layout, Coverage>,
    /// Situations in which nothing was put to the test.
    #[serde(default)]
    pub unreached: Vec<(Layout, Cell)>,
    /// Broken promises.
    pub findings: Vec<Finding>,
    /// Known quirks of this release.
    pub quirks: Vec<QuirkReport>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

impl RunReport {
    /// What became of a promise.
    #[must_use]
    pub fn verdict(&self, promise: Promise) -> Verdict {
        let found = self.findings.iter().filter(|f| f.promise == promise).map(|f| f.verdict).max();
        let quirks = self.quirks.iter().filter(|quirk| quirk.promise == promise);
        let known =
            quirks.map(|quirk| if quirk.shows { Verdict::Quirk } else { Verdict::Fixed }).max();
        found.or(known).unwrap_or_else(|| {
            if self.checks.get(&promise).is_some_and(|&n| n > 0) {
                Verdict::Kept
            } else {
                Verdict::NotExercised
            }
        })
    }

    /// In how many of the possible situations promises were put to the test.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach::of(&self.coverage)
    }

    /// Scenarios that were generated, not read from files.
    #[must_use]
    pub fn generated(&self) -> usize {
        let of_family = |family: &Family| self.scenarios.get(&family.id());
        Family::ALL.iter().filter_map(of_family).sum()
    }

    /// Whether the run was long and yet judged little.
    #[must_use]
    pub fn is_below_floor(&self) -> bool {
        !self.interrupted && self.reach().is_below_floor(self.generated())
    }

    /// Whether the gate is open: everything kept or known.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.findings.is_empty() && self.quirks.iter().all(|quirk| quirk.shows)
    }
}

/// The end of a scenario, for a person; the position names a step of `case`.
#[must_use]
pub fn describe_end(end: &End) -> String {
    match end {
        End::Kept => "kept".to_owned(),
        End::Broken { position, action, breach } => format!(
            "{position}: {action}\n  expected: {}\n  observed: {}",
            breach.expected, breach.observed
        ),
        End::Stopped { position: Position::Census, error, .. } => error.to_string(),
        End::Stopped { position, action, error } => format!("{position}: {action}\n  {error}"),
    }
}

impl Finding {
    /// The command that replays it.
    #[must_use]
    pub fn replay_command(&self) -> String {
        replay_command(&self.case, self.trial, self.lenient)
    }
}

/// The command that replays a case, if need be in the company of known quirks.
#[must_use]
pub fn replay_command(case: &Path, trial: impl Into<Trial>, lenient: bool) -> String {
    let release = if cfg!(debug_assertions) { "" } else { " --release" };
    let lenient = if lenient { " --lenient" } else { "" };
    format!("cargo run{release} -- replay{}{lenient} {}", trial.into(), case.display())
}

/// The version of the package `iceoryx2` an interpreter has, or why it has none.
///
/// # Errors
/// If there is no such interpreter or it lacks the package.
pub fn environment_of_python(python: &Path) -> Result<String, String> {
    let code = "import importlib.metadata as m, iceoryx2; print(m.version('iceoryx2'))";
    let output = Command::new(python)
        .args(["-c", code])
        .output()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let printed = String::from_utf8_lossy(&output.stderr);
    Err(printed.lines().last().unwrap_or("it does not run").to_owned())
}
