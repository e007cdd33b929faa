//! Runs scenarios in child processes, in either layout, whatever iceoryx2 does.
//!
//! A panic, a fault or a hang of iceoryx2 ends a child, never the runner: it is an
//! [`End::Stopped`] like any other outcome. After each scenario the runner takes a census
//! of what was left. The children are the `gauntlet` program itself.
//!
//! ```no_run
//! use iox2_gauntlet::{
//!     actor::child::Executable,
//!     runner::{Layout, Runner},
//!     scenario::generate::scenario_of_run,
//! };
//!
//! let mut runner = Runner::new(Executable::gauntlet("target/release/gauntlet"));
//! for layout in [Layout::Together, Layout::Apart] {
//!     let judgement = runner.judge(&scenario_of_run(1, 0), layout, false)?;
//!     println!("{layout:?}: {:?}", judgement.outcome.end);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apart;
mod leftovers;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use apart::ApartHost;
use serde::{Deserialize, Serialize};

use crate::{
    actor::{
        HostError,
        child::{Child, Executable},
        serve::{self, Note, Reply, Request, TracedStep, Tracer},
        variant::Variant,
    },
    coverage::{Coverage, Whole},
    lockstep::{self, End, Outcome, Position, Silent},
    model::{self, LeftBehind, Promise, Switch, judge::Breach},
    sandbox::{Census, Domain, Sandbox, SandboxError},
    scenario::Scenario,
};

/// Which participant lives in which process.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Layout {
    /// All in one.
    Together,
    /// Each in its own.
    Apart,
}

/// Where a scenario takes place: in which processes, on which service variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Venue {
    /// Which participant lives in which process.
    pub layout: Layout,
    /// The service variant.
    #[serde(default)]
    pub variant: Variant,
}

impl Venue {
    /// All in one process, on this variant.
    #[must_use]
    pub fn together_on(variant: Variant) -> Self {
        Self { layout: Layout::Together, variant }
    }

    /// The fewest processes in which no step of the scenario has to be left out.
    #[must_use]
    pub fn suited_to(scenario: &Scenario, variant: Variant) -> Self {
        let several = scenario.kills() || scenario.holds_amid() || scenario.runs_short();
        let apart = several && variant.crosses_processes();
        Self { layout: if apart { Layout::Apart } else { Layout::Together }, variant }
    }

    /// Whether the participants can reach each other there.
    #[must_use]
    pub fn is_possible(self) -> bool {
        self.layout == Layout::Together || self.variant.crosses_processes()
    }
}

impl From<Layout> for Venue {
    /// On shared memory.
    fn from(layout: Layout) -> Self {
        Self { layout, variant: Variant::Ipc }
    }
}

impl fmt::Display for Venue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.layout, self.variant)
    }
}

/// How long a scenario may take without getting on, or an action of a participant apart.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Children are replaced after this many scenarios, so that what one leaves in its
/// process cannot add up over hours.
const SCENARIOS_PER_CHILD: usize = 2000;

/// A judged scenario.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The result.
    pub outcome: Outcome,
    /// Every action, if asked for and the process survived.
    pub trace: Vec<TracedStep>,
}

/// Runs scenarios one after the other in a sandbox and child process of its own.
#[derive(Debug)]
pub struct Runner {
    executable: Executable,
    /// Participants apart that are not started from `executable`: the second, fourth, ...
    other: Option<Executable>,
    deadline: Duration,
    quirks: BTreeSet<Switch>,
    interrupted: Arc<AtomicBool>,
    sandbox: Option<Sandbox>,
    child: Option<Child>,
    scenarios: usize,
}

impl From<SandboxError> for HostError {
    fn from(error: SandboxError) -> Self {
        Self::Harness(error.to_string())
    }
}

impl Runner {
    /// A runner whose children are started from `executable`.
    #[must_use]
    pub fn new(executable: Executable) -> Self {
        Self {
            executable,
            other: None,
            deadline: DEADLINE,
            quirks: BTreeSet::new(),
            interrupted: Arc::default(),
            sandbox: None,
            child: None,
            scenarios: 0,
        }
    }

    /// Starts every other participant apart from another executable that understands the
    /// same requests, e.g. in another language.
    #[must_use]
    pub fn with_every_other_from(self, other: Executable) -> Self {
        Self { other: Some(other), ..self }
    }

    /// Gives every scenario this much time, and more as long as it gets on.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same for every further scenario.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Gives up whatever it is doing, with [`HostError::Interrupted`], once this is set.
    #[must_use]
    pub fn interrupted_by(self, interrupted: Arc<AtomicBool>) -> Self {
        Self { interrupted, ..self }
    }

    /// Lives with these quirks; without any, every breach ends its scenario.
    pub fn live_with(&mut self, quirks: BTreeSet<Switch>) {
        self.quirks = quirks;
    }

    /// Does something as if no quirk were known.
    pub fn strictly<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let quirks = std::mem::take(&mut self.quirks);
        let done = work(self);
        self.quirks = quirks;
        done
    }

    /// Judges a scenario at a venue; a [`Layout`] alone means shared memory.
    ///
    /// # Errors
    /// Only if the harness itself failed or the venue is impossible; a crash or a hang of
    /// iceoryx2 is an outcome.
    pub fn judge(
        &mut self,
        scenario: &Scenario,
        venue: impl Into<Venue>,
        trace: bool,
    ) -> Result<Judgement, HostError> {
        let venue @ Venue { layout, variant } = venue.into();
        if !venue.is_possible() {
            return Err(HostError::Harness(format!("objects of {variant} cannot be apart")));
        }
        self.scenarios += 1;
        // Whoever is first in a domain makes files of its own: always or never.
        if self.scenarios.is_multiple_of(SCENARIOS_PER_CHILD) || scenario.begins_short() {
            self.start_afresh();
        }
        let scenario = &model::steered(scenario, &self.quirks);
        let (sandbox_dir, config) = self.prepare(scenario)?;
        let service = format!("gauntlet/{}", self.scenarios);
        let judged = match layout {
            Layout::Together => {
                let recorder = sandbox_dir.join("flight-recorder");
                self.judge_together(scenario, variant, config.clone(), service, recorder, trace)
            }
            Layout::Apart => self.judge_apart(scenario, variant, &config, &service, trace),
        };
        let (mut judgement, census) = judged.inspect_err(|_| self.start_afresh())?;
        if judgement.outcome.end.is_kept() {
            let promise = Promise::NothingIsLeftBehind;
            let explained = leftovers::explain(&judgement.outcome.known_leftovers, &census);
            if !explained.is_empty() {
                lockstep::sight(&mut judgement.outcome.sightings, explained);
                self.start_afresh();
            } else if census.is_clean() {
                judgement.outcome.note_of_the_whole(promise, Whole::Census);
            } else {
                judgement.outcome.end = End::Broken {
                    position: Position::Census,
                    action: "count what is left".to_owned(),
                    breach: Breach {
                        promise,
                        expected: "nothing".to_owned(),
                        observed: census.to_string(),
                    },
                };
            }
        }
        if judgement.outcome.end.is_kept() {
            if scenario.service.to_config_fragment().is_some() {
                let _ = fs::remove_file(&config);
            }
        } else {
            // Objects may be left, in a state nobody knows.
            self.start_afresh();
        }
        Ok(judgement)
    }

    /// The quirks to live with on this service variant.
    fn known_on(&self, variant: Variant) -> BTreeSet<Switch> {
        self.quirks.iter().copied().filter(|switch| switch.concerns(variant)).collect()
    }

    /// Ends the child and removes the sandbox; the next scenario gets new ones.
    pub fn start_afresh(&mut self) {
        self.child = None;
        self.sandbox = None;
    }

    fn prepare(&mut self, scenario: &Scenario) -> Result<(PathBuf, PathBuf), HostError> {
        let sandbox = match &mut self.sandbox {
            Some(sandbox) => sandbox,
            none => none.insert(Sandbox::new()?),
        };
        let name = format!("scenario-{}", self.scenarios);
        let config = sandbox.config_for(&name, &scenario.service)?;
        Ok((sandbox.dir().to_owned(), config))
    }

    fn judge_together(
        &mut self,
        scenario: &Scenario,
        variant: Variant,
        config: PathBuf,
        service: String,
        flight_recorder: PathBuf,
        trace: bool,
    ) -> Result<(Judgement, Census), HostError> {
        let quirks = self.known_on(variant);
        let child = match &mut self.child {
            Some(child) => child,
            none => none.insert(Child::start(&self.executable)?),
        };
        let request = Request::Judge {
            config,
            service,
            flight_recorder: flight_recorder.clone(),
            scenario: Box::new(scenario.clone()),
            variant,
            quirks,
            trace,
        };
        // What is there is of the scenario before.
        let _ = fs::remove_file(&flight_recorder);
        let pulse = serve::pulse(&flight_recorder);
        match child.ask_while(pulse, &request, self.deadline, &self.interrupted) {
            Ok(Reply::Judged { outcome, census, trace }) => {
                Ok((Judgement { outcome, trace }, census))
            }
            Ok(other) => Err(other.unexpected()),
            Err(error @ (HostError::Harness(_) | HostError::Interrupted)) => Err(error),
            Err(error) => {
                let end = match (error, serve::last_note(&flight_recorder)) {
                    (HostError::ConfigRefused(observed), _) => config_refused(
                        Position::Step(0),
                        "read the config file".to_owned(),
                        observed,
                    ),
                    (error, Some(Note { position, action, .. })) => {
                        End::Stopped { position, action, error }
                    }
                    // It ended before the first action: nothing iceoryx2 could have done.
                    (error, None) => return Err(HostError::Harness(format!("child {error}"))),
                };
                let outcome = Outcome {
                    checks: BTreeMap::new(),
                    coverage: Coverage::default(),
                    sightings: BTreeMap::new(),
                    steered: BTreeSet::new(),
                    known_leftovers: LeftBehind::default(),
                    performed: 0,
                    skipped: 0,
                    is_adrift: false,
                    end,
                };
                Ok((Judgement { outcome, trace: Vec::new() }, Census::default()))
            }
        }
    }

    fn judge_apart(
        &self,
        scenario: &Scenario,
        variant: Variant,
        config: &std::path::Path,
        service: &str,
        trace: bool,
    ) -> Result<(Judgement, Census), HostError> {
        let mut host = ApartHost {
            executables: [&self.executable, self.other.as_ref().unwrap_or(&self.executable)],
            joined: 0,
            own: BTreeSet::new(),
            deadline: self.deadline,
            interrupted: &self.interrupted,
            open: Request::Host {
                config: config.to_owned(),
                service: service.to_owned(),
                settings: Box::new(scenario.service.clone()),
                variant,
            },
            participants: BTreeMap::new(),
        };
        let quirks = self.known_on(variant);
        let mut tracer = Tracer::default();
        let mut outcome = if trace {
            lockstep::run(scenario, &quirks, &mut host, &mut tracer)
        } else {
            lockstep::run(scenario, &quirks, &mut host, &mut Silent)
        };
        match outcome.end {
            End::Stopped {
                error: error @ (HostError::Harness(_) | HostError::Interrupted),
                ..
            } => {
                return Err(error);
            }
            End::Stopped { position, action, error: HostError::ConfigRefused(observed) } => {
                outcome.end = config_refused(position, action, observed);
            }
            _ => {}
        }
        let mut census = Census::default();
        if outcome.end.is_kept() {
            for child in host.participants.values_mut() {
                match child.ask(&Request::Census, self.deadline, &self.interrupted) {
                    Ok(Reply::Counted(counted)) => census.leftovers.extend(counted.leftovers),
                    Ok(other) => {
                        return Err(other.unexpected());
                    }
                    // It may crash where it drops everything.
                    Err(error @ (HostError::Crashed(_) | HostError::Hung(_))) => {
                        let action = "drop everything".to_owned();
                        outcome.end = End::Stopped { position: Position::Census, action, error };
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if outcome.is_adrift {
                // The first counted what the others had not dropped yet.
                let domain = Domain::of_config(config).map_err(serve::harness)?;
                census.leftovers.retain(|left| !left.is_file());
                census.leftovers.extend(domain.census().map_err(serve::harness)?.leftovers);
            }
            census.leftovers.sort();
            census.leftovers.dedup();
        }
        Ok((Judgement { outcome, trace: tracer.steps }, census))
    }
}

/// A run that ended because iceoryx2 does not take a config file with settings it documents.
fn config_refused(position: Position, action: String, observed: String) -> End {
    let expected = "the settings of the config file".to_owned();
    let breach = Breach { promise: Promise::SettingsAreKept, expected, observed };
    End::Broken { position, action, breach }
}
