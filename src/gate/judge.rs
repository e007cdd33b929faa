//! A judge for each release: the suite that was compiled against it, as a child process
//! that judges whatever scenario it is given, in children of its own.
//!
//! All that differs between releases stays in that process: names of errors, keys of
//! config files, what the model knows of the API.

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, Write as _},
    path::Path,
    sync::atomic::AtomicBool,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Build;
use crate::{
    actor::{
        HostError,
        child::{Child, Executable, MOST_DEADLINES},
        serve::TracedStep,
        tracee, version,
    },
    lockstep::{End, Position},
    model::{Promise, Switch, quirk::Quirk},
    runner::{DEADLINE, Layout, Runner},
    scenario::{Scenario, generate::scenario_of_run},
    trial::Trial,
    workers,
};

/// Time for whatever a judge does besides the scenario itself.
const SLACK: Duration = Duration::from_secs(10);

/// Judges of one release at the same time: more than there are proofs that hang.
const JUDGES_AT_ONCE: usize = 8;

/// What is to be judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matter {
    /// The scenario a run with this seed has there.
    Generated {
        /// The seed.
        seed: u64,
        /// Counted from 0.
        index: u64,
    },
    /// This one.
    Stated(Box<Scenario>),
}

/// A scenario and how to judge it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Brief {
    /// The scenario.
    pub matter: Matter,
    /// How it is judged.
    pub trial: Trial,
    /// The quirks to live with.
    pub live_with: BTreeSet<Switch>,
    /// Whether every step is wanted.
    pub trace: bool,
    /// Time for it.
    pub deadline: Duration,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ruling {
    /// How it ended.
    pub end: End,
    /// Every step, if asked for and the process survived.
    pub trace: Vec<TracedStep>,
    /// Steps that were carried out.
    pub performed: usize,
    /// What the scenario needs and this release does not have.
    pub lacks: Option<String>,
}

/// How a release does with the scenario that puts one promise to the test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The promise is kept.
    Kept,
    /// It is broken: what was expected and observed.
    Broken(String),
    /// iceoryx2 panicked, aborted or faulted.
    Crashed(String),
    /// A call did not return.
    Hung(String),
    /// The release has no such API.
    Unsupported(String),
    /// Another promise is broken before this one is put to the test.
    Masked(Promise),
    /// Repeated, it showed so many times of so many.
    Flaky(usize, usize),
}

impl Standing {
    /// Whether a breach showed every time.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Crashed(_) | Self::Hung(_))
    }

    /// How bad it is; `None` where nothing is known.
    #[must_use]
    pub fn badness(&self) -> Option<u8> {
        match self {
            Self::Kept => Some(0),
            Self::Broken(_) => Some(1),
            Self::Hung(_) => Some(2),
            Self::Crashed(_) => Some(3),
            Self::Unsupported(_) | Self::Masked(_) | Self::Flaky(..) => None,
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kept => f.write_str("kept"),
            Self::Broken(_) => f.write_str("broken"),
            Self::Crashed(_) => f.write_str("crashes"),
            Self::Hung(_) => f.write_str("hangs"),
            Self::Unsupported(what) => write!(f, "unsupported: {what}"),
            Self::Masked(by) => write!(f, "unclear: {by} breaks before"),
            Self::Flaky(shown, of) => write!(f, "shows {shown} of {of} times"),
        }
    }
}

/// The parent side.
#[derive(Debug)]
pub struct Judge<'a> {
    child: Child,
    interrupted: &'a AtomicBool,
}

impl<'a> Judge<'a> {
    /// Starts the judge of a release.
    ///
    /// # Errors
    /// If the executable cannot be started.
    pub fn start(gauntlet: &Path, interrupted: &'a AtomicBool) -> Result<Self, HostError> {
        let executable = Executable { path: gauntlet.to_owned(), arguments: vec!["judge".into()] };
        Ok(Self { child: Child::start(&executable)?, interrupted })
    }

    /// Has a scenario judged.
    ///
    /// # Errors
    /// If the harness fails; what iceoryx2 does is in the ruling.
    pub fn rule(&mut self, brief: &Brief) -> Result<Ruling, HostError> {
        // A comparison takes two runs, each of which may get on slowly and then not at all.
        let deadline = brief.deadline * 2 * (MOST_DEADLINES + 1) + SLACK;
        let ruling: Result<Ruling, HostError> =
            self.child.converse(brief, deadline, self.interrupted)?;
        ruling
    }

    /// Puts a promise to the test with a scenario, so many times, but once where it does as
    /// `expected`. Where another promise is broken on the way, it is tried again with all
    /// quirks lived with but its own.
    fn standing(
        &mut self,
        case: &Case<'_>,
        expected: Option<bool>,
        times: usize,
    ) -> Result<Standing, HostError> {
        if let Some(tries) = case.quirk.map(|quirk| quirk.tries.get()).filter(|tries| *tries > 1) {
            return self.standing_where_threads_meet(case, tries);
        }
        let mut standings = Vec::new();
        for _ in 0..times {
            let standing = self.standing_once(case)?;
            // A hang takes its deadline each time.
            let is_final = matches!(standing, Standing::Unsupported(_) | Standing::Hung(_))
                || expected == Some(standing.is_broken());
            standings.push(standing);
            if is_final {
                break;
            }
        }
        let shown = standings.iter().filter(|standing| standing.is_broken()).count();
        let of = standings.len();
        Ok(match standings.pop() {
            Some(last) if shown == 0 || shown == of => last,
            _ => Standing::Flaky(shown, of),
        })
    }

    /// The same until it shows, or has not in so many tries.
    fn standing_where_threads_meet(
        &mut self,
        case: &Case<'_>,
        tries: usize,
    ) -> Result<Standing, HostError> {
        let mut standing = self.standing_once(case)?;
        for _ in 1..tries {
            if standing.is_broken() || matches!(standing, Standing::Unsupported(_)) {
                break;
            }
            standing = self.standing_once(case)?;
        }
        Ok(standing)
    }

    fn standing_once(&mut self, case: &Case<'_>) -> Result<Standing, HostError> {
        let Case { scenario, trial, promise, quirk, all } = *case;
        let own = quirk.and_then(|quirk| quirk.switch);
        let mut brief = Brief::strict(scenario, trial);
        let mut ruling = self.rule(&brief)?;
        let is_other = |end: &End| end.promise().is_some_and(|broken| broken != promise);
        if is_other(&ruling.end) {
            brief.live_with = all.iter().copied().filter(|&switch| Some(switch) != own).collect();
            ruling = self.rule(&brief)?;
        }
        if let Some(lacks) = ruling.lacks {
            return Ok(Standing::Unsupported(lacks));
        }
        Ok(match &ruling.end {
            end if end.promise() == Some(promise) => ruling.standing(),
            // What is left when everything is over hides nothing that came before.
            End::Broken { position: Position::Census, .. } | End::Kept => Standing::Kept,
            end => end.promise().map_or(Standing::Kept, Standing::Masked),
        })
    }

    /// What a scenario breaks, judged as if no quirk were known.
    ///
    /// # Errors
    /// If the harness fails.
    pub fn strictly(
        &mut self,
        scenario: &Scenario,
    ) -> Result<(Option<Promise>, Standing), HostError> {
        let ruling = self.rule(&Brief::strict(scenario, Trial::At(Layout::Together.into())))?;
        Ok((ruling.end.promise(), ruling.standing()))
    }

    /// Ends the judge, who cleans up.
    pub fn finish(self) {
        self.child.finish(SLACK);
    }
}

impl Brief {
    /// As if no quirk were known.
    fn strict(scenario: &Scenario, trial: Trial) -> Self {
        Self {
            matter: Matter::Stated(Box::new(scenario.clone())),
            trial,
            live_with: BTreeSet::new(),
            trace: false,
            deadline: Duration::from_secs(2),
        }
    }
}

impl Ruling {
    /// What it says of whatever promise is broken.
    fn standing(&self) -> Standing {
        match &self.end {
            End::Stopped { error: HostError::Hung(_), action, .. } => {
                Standing::Hung(action.clone())
            }
            End::Stopped { error, .. } => Standing::Crashed(error.to_string()),
            End::Broken { action, breach, .. } => Standing::Broken(format!(
                "{action}: expected {}, observed {}",
                breach.expected, breach.observed
            )),
            End::Kept => Standing::Kept,
        }
    }
}

/// A scenario that puts a promise to the test.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// How it is judged.
    pub trial: Trial,
    /// The promise.
    pub promise: Promise,
    /// The quirk it proves.
    pub quirk: Option<&'a Quirk>,
    /// The switches of all quirks.
    pub all: &'a BTreeSet<Switch>,
}

impl<'a> Case<'a> {
    /// The proof of a quirk.
    #[must_use]
    pub fn of_quirk(quirk: &'a Quirk, all: &'a BTreeSet<Switch>) -> Self {
        Self {
            scenario: &quirk.scenario,
            trial: Trial::At(crate::runner::Venue::suited_to(&quirk.scenario, quirk.variant)),
            promise: quirk.promise,
            quirk: Some(quirk),
            all,
        }
    }
}

/// Puts all these promises to the test on a release, several at once: those that hang only wait.
/// What shows where it is not known to, or the other way round, is tried so many times.
///
/// # Errors
/// If the harness fails.
pub fn standings(
    build: &Build,
    cases: &[Case<'_>],
    times: usize,
    interrupted: &AtomicBool,
) -> Result<Vec<Standing>, HostError> {
    workers::each(
        JUDGES_AT_ONCE,
        cases,
        |case| case.promise == Promise::NeverHangs,
        || Judge::start(&build.executable, interrupted),
        |judge, case| {
            let expected = case.quirk.map(|quirk| quirk.affects(&build.version));
            judge.standing(case, expected, times)
        },
        Judge::finish,
    )
}

/// The child side: judges until stdin ends.
///
/// # Errors
/// If stdin or stdout break.
pub fn serve(this: Executable) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    let mut runner = Runner::new(this);
    for line in io::stdin().lock().lines() {
        let ruling = serde_json::from_str(&line?)
            .map_err(|error| HostError::Harness(format!("brief: {error}")))
            .and_then(|brief| rule(&mut runner, brief));
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &ruling)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

fn rule(runner: &mut Runner, brief: Brief) -> Result<Ruling, HostError> {
    let Brief { matter, trial, live_with, trace, deadline } = brief;
    let scenario = match matter {
        Matter::Generated { seed, index } => scenario_of_run(seed, index),
        Matter::Stated(scenario) => *scenario,
    };
    runner.live_with(live_with);
    runner.set_deadline(deadline.min(DEADLINE));
    let judged = trial.judge(runner, &scenario, trace)?;
    Ok(Ruling {
        end: judged.outcome.end,
        trace: judged.trace,
        performed: judged.outcome.performed,
        lacks: version::lacks(&version::iceoryx2_version(), &scenario)
            .or_else(|| tracee::lacks(&scenario))
            .map(str::to_owned),
    })
}
