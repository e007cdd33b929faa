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

mod leftovers;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    actor::{
        Action, Damage, Host, HostError, Key, Observation, Overlapped,
        child::{Child, Executable},
        death::Spares,
        overlap::Hold,
        presence::Aftermath,
        serve::{self, Note, Reply, Request, TracedStep, Tracer},
        shortage::{Missing, Shortage},
        tracee,
        variant::Variant,
    },
    coverage::{Coverage, Whole},
    lockstep::{self, End, Outcome, Position, Silent},
    model::{self, Promise, Switch, judge::Breach},
    sandbox::{Census, Domain, Sandbox, SandboxError},
    scenario::{Moment, Scenario},
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
                for switch in explained {
                    *judgement.outcome.sightings.entry(switch).or_default() += 1;
                }
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
        let pulse = serve::pulse(&flight_recorder);
        match child.ask_while(pulse, &request, self.deadline, &self.interrupted) {
            Ok(Reply::Judged { outcome, census, trace }) => {
                Ok((Judgement { outcome, trace }, census))
            }
            Ok(other) => Err(HostError::Harness(format!("unexpected reply {other:?}"))),
            Err(error @ (HostError::Harness(_) | HostError::Interrupted)) => Err(error),
            Err(error) => {
                let end = match serve::last_note(&flight_recorder) {
                    Some(Note { position, action, .. }) => End::Stopped { position, action, error },
                    // It ended before the first action: nothing iceoryx2 could have done.
                    None => return Err(HostError::Harness(format!("child {error}"))),
                };
                let outcome = Outcome {
                    checks: BTreeMap::new(),
                    coverage: Coverage::default(),
                    sightings: BTreeMap::new(),
                    known_leftovers: BTreeMap::new(),
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
        if let End::Stopped { error, .. } = &outcome.end
            && let HostError::Harness(_) | HostError::Interrupted = error
        {
            return Err(error.clone());
        }
        let mut census = Census::default();
        if outcome.end.is_kept() {
            for child in host.participants.values_mut() {
                match child.ask(&Request::Census, self.deadline, &self.interrupted) {
                    Ok(Reply::Counted(counted)) => census.leftovers.extend(counted.leftovers),
                    Ok(other) => {
                        return Err(HostError::Harness(format!("unexpected reply {other:?}")));
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

/// One child process per participant.
struct ApartHost<'a> {
    /// They take turns.
    executables: [&'a Executable; 2],
    /// Participants that have joined, or tried to.
    joined: usize,
    /// Those that live and were started from the first of them.
    own: BTreeSet<Key>,
    deadline: Duration,
    interrupted: &'a AtomicBool,
    open: Request,
    participants: BTreeMap<Key, Child>,
}

impl ApartHost<'_> {
    /// Kills a participant, and reaps it: who is not reaped may still look alive.
    fn end(&mut self, participant: Key) {
        self.participants.remove(&participant).iter_mut().for_each(Child::end);
        self.own.remove(&participant);
    }

    fn process_of(&mut self, participant: Key) -> Result<&mut Child, HostError> {
        let nobody = || HostError::Harness(format!("participant {participant} has no process"));
        self.participants.get_mut(&participant).ok_or_else(nobody)
    }

    /// Starts the process of a participant.
    fn start(&mut self, participant: Key) -> Result<(), HostError> {
        let mut child = Child::start(self.executables[self.joined % 2])?;
        if self.joined.is_multiple_of(2) || std::ptr::eq(self.executables[0], self.executables[1]) {
            self.own.insert(participant);
        }
        self.joined += 1;
        child.ask(&self.open, self.deadline, self.interrupted)?;
        self.participants.insert(participant, child);
        Ok(())
    }
}

impl Host for ApartHost<'_> {
    fn perform(&mut self, participant: Key, action: &Action) -> Result<Observation, HostError> {
        if let Action::Die { victim } = action {
            self.end(*victim);
            return Ok(Observation::Done);
        }
        if let Action::KillAmid { victim, witness, doing, at, spares } = action {
            match **doing {
                Action::Join { .. } => self.start(*victim)?,
                Action::Kill { victim, .. } => self.end(victim),
                _ => {}
            }
            if let Some(mut victim) = self.participants.remove(victim) {
                let request = Request::Perform(action.clone());
                victim.die_amid(&request, *at, *spares, self.deadline, self.interrupted)?;
            }
            let cleans_up = Action::Kill { victim: *victim, witness: *witness };
            return self.perform(participant, &cleans_up);
        }
        if let Action::Join { new, .. } = action {
            self.start(*new)?;
        }
        if let Action::Kill { victim, .. } = action {
            self.end(*victim);
        }
        let (deadline, interrupted) = (self.deadline, self.interrupted);
        let child = self.process_of(participant)?;
        match child.ask(&Request::Perform(action.clone()), deadline, interrupted)? {
            Reply::Observed(observation) => Ok(observation),
            other => Err(HostError::Harness(format!("unexpected reply {other:?}"))),
        }
    }

    fn audit(&mut self) -> Result<Vec<Damage>, HostError> {
        let mut damage = Vec::new();
        for child in self.participants.values_mut() {
            match child.ask(&Request::Audit, self.deadline, self.interrupted)? {
                Reply::Audited(found) => damage.extend(found),
                other => return Err(HostError::Harness(format!("unexpected reply {other:?}"))),
            }
        }
        Ok(damage)
    }

    fn mapped_objects(&mut self) -> Result<usize, HostError> {
        let mut sum = 0;
        for child in self.participants.values_mut() {
            match child.ask(&Request::MappedObjects, self.deadline, self.interrupted)? {
                Reply::Mapped(count) => sum += count,
                other => return Err(HostError::Harness(format!("unexpected reply {other:?}"))),
            }
        }
        Ok(sum)
    }

    fn aftermath(&mut self) -> Result<Option<Aftermath>, HostError> {
        // The others may not know the question.
        let Some(child) = self.own.last().and_then(|own| self.participants.get_mut(own)) else {
            return Ok(None);
        };
        match child.ask(&Request::Aftermath, self.deadline, self.interrupted)? {
            Reply::Looked(aftermath) => Ok(aftermath),
            other => Err(HostError::Harness(format!("unexpected reply {other:?}"))),
        }
    }

    fn can_kill(&self) -> bool {
        true
    }

    fn overlap(
        &mut self,
        actions: [(Key, &Action); 2],
        hold: Hold,
    ) -> Result<Overlapped, HostError> {
        for (_, action) in actions {
            if let Action::Join { new, .. } = action {
                self.start(*new)?;
            }
        }
        let nobody = |key| HostError::Harness(format!("participant {key} has no process"));
        let [first, second] = actions.map(|(participant, _)| participant);
        let mut children = [first, second].map(|key| (key, self.participants.remove(&key)));
        let [(_, Some(one)), (_, Some(other))] = &mut children else { return Err(nobody(first)) };
        let requests = actions.map(|(_, action)| Request::PerformMarked(action.clone()));
        let both = [&requests[0], &requests[1]];
        let (observations, met) =
            Child::overlap([one, other], both, hold, self.deadline, self.interrupted)?;
        let back = children.into_iter().filter_map(|(key, child)| Some((key, child?)));
        self.participants.extend(back);
        Ok(Overlapped { observations, met })
    }

    fn run_short(
        &mut self,
        participant: Key,
        action: &Action,
        shortage: Shortage,
    ) -> Result<(Observation, Option<Missing>), HostError> {
        if let Action::Join { new, .. } = action {
            self.start(*new)?;
        }
        let mut request = Request::PerformMarked(action.clone());
        if let Action::Kill { victim, witness } = *action {
            self.end(victim);
            // The clean-up alone, and not what is looked at before.
            let (doing, at) = (Box::new(action.clone()), Moment::Call(0));
            let spares = Spares::default();
            request = Request::Perform(Action::KillAmid { victim, witness, doing, at, spares });
        }
        let (deadline, interrupted) = (self.deadline, self.interrupted);
        self.process_of(participant)?.run_short(&request, shortage, deadline, interrupted)
    }

    fn can_run_short(&self) -> bool {
        // The others may not know how.
        std::ptr::eq(self.executables[0], self.executables[1]) && tracee::can_run_short()
    }

    fn can_hold(&self) -> bool {
        // The others may not know how.
        std::ptr::eq(self.executables[0], self.executables[1]) && tracee::is_possible()
    }

    fn can_kill_amid(&self) -> bool {
        tracee::is_possible()
    }
}
