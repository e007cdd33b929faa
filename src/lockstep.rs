//! Scenario in, outcome out: model and host take every step together.
//!
//! Concurrent traffic, if a scenario has some, comes before the steps and is judged when it
//! is over.
//!
//! After the steps the run *settles*: every message is dropped, the service is put
//! under full load (each limit reached on every port, which a leaked loan, borrow or
//! chunk makes impossible), and then everything is dropped.
//!
//! ```
//! use iox2_gauntlet::{actor::iox::Ipc, lockstep, sandbox::Sandbox, scenario::*};
//!
//! let sandbox = Sandbox::new()?;
//! let scenario = Scenario::of_steps(vec![
//!     Step::Join { how: OpenMode::default(), require: None },
//!     Step::create_client(0, Strategy::BestFit, 8),
//!     Step::LoanRequest { client: 0, len: 4096, form: LoanForm::Default },
//! ]);
//! let mut host = Ipc::new(&sandbox.config_path(), "doc", scenario.service.clone())?;
//! let outcome = lockstep::run(&scenario, &Default::default(), &mut host, &mut lockstep::Silent);
//! assert!(outcome.end.is_kept(), "{:?}", outcome.end);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod overlap;
mod shortage;
mod whole;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{
    actor::{Action, Damage, Host, HostError, Key, Observation, overlap::Hold, shortage::Shortage},
    coverage::{Cell, Checks, Coverage, InFlight, Occasion, Situation, Whole},
    model::{
        LeftBehind, Model, Prediction, Promise, Promises, Switch, concurrent,
        death::Doom,
        judge::{self, Breach, Judged},
    },
    scenario::{Concurrent, Scenario, SettleOrder, Step, full_load},
};

/// Where in a run something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// In the traffic that threads make at the same time.
    Concurrent,
    /// At the step of this index.
    Step(usize),
    /// At this action of the full load after the steps.
    FullLoad(usize),
    /// At this action of dropping everything.
    Settle(usize),
    /// In the search for what there is once everything was dropped.
    Aftermath,
    /// In the census after everything was dropped.
    Census,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Concurrent => f.write_str("concurrent traffic"),
            Self::Step(i) => write!(f, "step {}", i + 1),
            Self::FullLoad(i) => write!(f, "full load after the steps, action {}", i + 1),
            Self::Settle(i) => write!(f, "dropping everything, action {}", i + 1),
            Self::Aftermath => f.write_str("search after everything was dropped"),
            Self::Census => f.write_str("census after everything was dropped"),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Every promise that was at stake was kept.
    Kept,
    /// A promise was broken; the run stopped there.
    Broken {
        /// Where.
        position: Position,
        /// The action, for a person.
        action: String,
        /// What was broken and how.
        breach: Breach,
    },
    /// An action did not return.
    Stopped {
        /// Where.
        position: Position,
        /// The action, for a person.
        action: String,
        /// Why.
        error: HostError,
    },
}

impl End {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        *self == Self::Kept
    }

    /// The promise that was broken, if one was.
    #[must_use]
    pub fn promise(&self) -> Option<Promise> {
        match self {
            Self::Broken { breach, .. } => Some(breach.promise),
            Self::Stopped { error: HostError::Crashed(_), .. } => Some(Promise::NeverCrashes),
            Self::Stopped { error: HostError::Hung(_), .. } => Some(Promise::NeverHangs),
            Self::Stopped { error: HostError::ConfigRefused(_), .. } => {
                Some(Promise::SettingsAreKept)
            }
            Self::Kept
            | Self::Stopped { error: HostError::Harness(_) | HostError::Interrupted, .. } => None,
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How often each promise was held against an observation.
    pub checks: BTreeMap<Promise, u64>,
    /// In what situations that was.
    #[serde(default)]
    pub coverage: Coverage,
    /// How often each known quirk showed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sightings: BTreeMap<Switch, u64>,
    /// Known quirks that were steered around: without them it might have gone another way.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub steered: BTreeSet<Switch>,
    /// What known quirks may have left behind.
    #[serde(default, skip_serializing_if = "LeftBehind::is_empty")]
    pub known_leftovers: LeftBehind,
    /// Steps that were carried out.
    pub performed: usize,
    /// Steps that had nothing to act on, or would have waited for ever.
    pub skipped: usize,
    /// Whether it ended with its steps: what is left is still to be dropped, in whatever order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_adrift: bool,
    /// How it ended.
    pub end: End,
}

impl Outcome {
    /// Counts a check of what the whole run left or looks like.
    pub fn note_of_the_whole(&mut self, promise: Promise, whole: Whole) {
        *self.checks.entry(promise).or_default() += 1;
        let step = Occasion::Whole(whole);
        self.coverage.note(Cell { promise, step, strategy: None, in_flight: InFlight::None });
    }
}

/// Counts quirks that showed.
pub(crate) fn sight(
    sightings: &mut BTreeMap<Switch, u64>,
    quirks: impl IntoIterator<Item = Switch>,
) {
    for switch in quirks {
        *sightings.entry(switch).or_default() += 1;
    }
}

/// Watches a run from outside.
pub trait Observer {
    /// Threads are about to make this traffic at the same time.
    fn before_concurrent(&mut self, _: &Concurrent) {}
    /// They still get on.
    fn alive(&mut self) {}
    /// An action is about to be performed.
    fn before(&mut self, position: Position, action: &Action);
    /// It returned.
    fn after(&mut self, position: Position, prediction: &Prediction, observation: &Observation);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn before(&mut self, _: Position, _: &Action) {}
    fn after(&mut self, _: Position, _: &Prediction, _: &Observation) {}
}

/// Runs a scenario on a host and judges every step, living with the quirks that are
/// switched on.
pub fn run(
    scenario: &Scenario,
    quirks: &BTreeSet<Switch>,
    host: &mut dyn Host,
    observer: &mut dyn Observer,
) -> Outcome {
    let mut model = Model::new(scenario.service.clone(), quirks.clone());
    model.allow_kills(host.can_kill());
    let mut run = Run {
        model,
        host,
        observer,
        checks: Checks::new(),
        sightings: BTreeMap::new(),
        performed: 0,
        skipped: 0,
        doom: None,
        others: Vec::new(),
        shortage: None,
        is_adrift: false,
        hold: None,
    };
    let end = run.all(scenario).err().unwrap_or(End::Kept);
    let coverage = run.checks.coverage();
    Outcome {
        checks: coverage.checks(),
        coverage,
        known_leftovers: run.known_leftovers(),
        steered: run.states().flat_map(Model::steered).collect(),
        sightings: run.sightings,
        performed: run.performed,
        skipped: run.skipped,
        is_adrift: run.is_adrift,
        end,
    }
}

struct Run<'a> {
    model: Model,
    host: &'a mut dyn Host,
    observer: &'a mut dyn Observer,
    checks: Checks,
    sightings: BTreeMap<Switch, u64>,
    performed: usize,
    skipped: usize,
    /// How whoever performs the next step is killed.
    doom: Option<Doom>,
    /// Other states iceoryx2 may be in, after actions of which nobody knows which came first.
    others: Vec<Model>,
    /// What whoever performs the next step runs short of.
    shortage: Option<Shortage>,
    /// Nothing is promised of what comes next.
    is_adrift: bool,
    /// How the next two steps meet, and the first of them.
    hold: Option<(Hold, Option<(usize, Step)>)>,
}

impl Run<'_> {
    fn all(&mut self, scenario: &Scenario) -> Result<(), End> {
        if let Some(traffic) = &scenario.concurrent {
            self.at_once(traffic)?;
        }
        // Not a loop: an iterator that drives itself does not hand over steps one by one.
        scenario.all_steps().enumerate().try_for_each(|(i, step)| self.step(i, &step))?;
        self.skipped += usize::from(self.doom.take().is_some());
        self.skipped += usize::from(self.shortage.take().is_some());
        self.let_go()?;
        if self.is_adrift {
            return Ok(());
        }
        self.full_load()?;
        self.settle(scenario.settle)?;
        self.aftermath()
    }

    fn step(&mut self, index: usize, step: &Step) -> Result<(), End> {
        if self.is_adrift {
            self.skipped += 1;
            return Ok(());
        }
        if self.hold.is_some() || matches!(step, Step::HoldAmid { .. }) {
            return self.step_of_two(index, step);
        }
        if let Step::RunShort { after } = *step {
            self.announce(Shortage { after });
            return Ok(());
        }
        if let Step::KillAmid { at, by, contested } = *step {
            let doom = Some(Doom { at, by, contested }).filter(|_| self.host.can_kill_amid());
            let unused = std::mem::replace(&mut self.doom, doom);
            self.skipped += usize::from(unused.is_some()) + usize::from(doom.is_none());
            self.skipped += usize::from(self.shortage.take().is_some());
            return Ok(());
        }
        // Not taken out of its option: to move an action costs more than to find it.
        let Some(action) = &self.resolve(step) else {
            self.skipped += 1;
            return Ok(());
        };
        if let Some(shortage) = self.shortage_amid(action) {
            self.take_short(Position::Step(index), action, shortage)?;
        } else if let Some(doom) = self.doom.take() {
            let action = self.model.killed_amid(action.clone(), doom);
            self.take(Position::Step(index), &action)?;
        } else {
            self.take(Position::Step(index), action)?;
        }
        self.performed += 1;
        Ok(())
    }

    /// Nothing can be predicted: everything is judged when it is over.
    fn at_once(&mut self, traffic: &Concurrent) -> Result<(), End> {
        let position = Position::Concurrent;
        self.observer.before_concurrent(traffic);
        let stopped = |error| End::Stopped { position, action: traffic.describe(), error };
        let observer = &mut *self.observer;
        let logs = self.host.at_once(traffic, &mut || observer.alive()).map_err(stopped)?;
        match concurrent::judge(traffic, self.model.settings(), self.model.quirks(), &logs) {
            concurrent::Verdict::Kept(checked, lived_with) => {
                sight(&mut self.sightings, lived_with);
                let step = Occasion::Whole(Whole::Concurrent);
                let in_flight = InFlight::Many;
                let situation = Situation { step, strategy: None, in_flight };
                self.checks.note(situation, checked);
                self.performed += logs.requests();
                Ok(())
            }
            concurrent::Verdict::Broken(action, breach) => {
                Err(End::Broken { position, action, breach })
            }
            concurrent::Verdict::Stopped(error) => Err(stopped(error)),
        }
    }

    fn take(&mut self, position: Position, action: &Action) -> Result<(), End> {
        let mut prediction = self.model.predict(action);
        let in_flight = InFlight::from(self.model.messages_in_flight());
        self.observer.before(position, action);
        let stopped = |error| End::Stopped { position, action: action.to_string(), error };
        let broken = |breach| End::Broken { position, action: action.to_string(), breach };
        let performed = self.host.perform(action.participant(&self.model), action);
        let observation = match &performed {
            Ok(observation) => observation,
            Err(error) => return Err(stopped(error.clone())),
        };
        let mut judged = judge::judge(action, &prediction, observation);
        if let Err(breach) = judged {
            judged = self.in_another_state(action, observation, &mut prediction).ok_or(breach);
        }
        self.observer.after(position, &prediction, observation);
        let judged = match judged {
            Ok(judged) => judged,
            Err(mut breach) => {
                breach.promise = self.model.sharpen(action, observation, breach.promise);
                return Err(broken(breach));
            }
        };
        let strategy = self.model.strategy_at(action, observation);
        let situation = Situation { step: Occasion::Step(action.into()), strategy, in_flight };
        let mut checked = checked(&self.model, action, observation, judged, &mut self.sightings);
        self.model.apply(action, observation);
        self.others_follow(action, observation);
        let damage = match may_disturb_held_data(action).then(|| self.host.audit()) {
            Some(audited) => Some(audited.map_err(stopped)?),
            None => None,
        };
        let audited = damage.as_deref().map_or(Ok(Promises::default()), intact);
        if let Ok(intact) = audited {
            checked = checked.union(intact);
        }
        self.checks.note(situation, checked);
        audited.map(|_| ()).map_err(broken)
    }

    /// Loans as much as may be loaned on top of what is held, drops all messages, then brings
    /// every port to all its limits at once.
    fn full_load(&mut self) -> Result<(), End> {
        let mut actions = 0;
        // If somebody is still dead.
        self.load(&[Step::CleanUp { by: 0 }], &mut actions)?;
        let settings = self.model.settings().clone();
        let clients = self.model.number_of_clients();
        let active = self.model.number_of_active_requests();
        let loans = self.model.most_response_loans();
        let len = self.model.everybodys_length();
        self.load(&full_load::on_top(&settings, clients, active, loans, len), &mut actions)?;
        for (_, action) in self.model.leftovers() {
            if is_message(&action) {
                self.take(Position::FullLoad(actions), &action)?;
                actions += 1;
            }
        }
        let servers = self.model.number_of_servers();
        let waiting = self.model.messages_in_flight();
        let steps = full_load::steps(&settings, clients, servers, waiting, loans, len);
        self.load(&steps, &mut actions)?;
        self.check_domain(Position::FullLoad(actions))?;
        self.check_exposure(Position::FullLoad(actions))?;
        self.check_mapped_objects(Position::FullLoad(actions))
    }

    fn load(&mut self, steps: &[Step], actions: &mut usize) -> Result<(), End> {
        for step in steps {
            if let Some(action) = self.resolve(step) {
                self.take(Position::FullLoad(*actions), &action)?;
                *actions += 1;
            }
        }
        Ok(())
    }

    /// What known quirks may have left behind in one of the states iceoryx2 may be in.
    fn known_leftovers(&self) -> LeftBehind {
        let mut known = LeftBehind::default();
        self.states().for_each(|state| known.extend(state.known_leftovers()));
        known
    }

    fn settle(&mut self, order: SettleOrder) -> Result<(), End> {
        let mut left = self.model.leftovers();
        match order {
            SettleOrder::NewestFirst => left.reverse(),
            SettleOrder::OldestFirst => {}
            SettleOrder::Shuffled(seed) => left.sort_by_key(|(key, _)| scatter(seed, *key)),
        }
        let mut actions = 0;
        for (_, action) in left {
            // Whoever leaves after the ports says whether they are gone.
            if let Action::Leave { participant } = action
                && self.model.no_port_lives()
            {
                self.take(Position::Settle(actions), &Action::InspectService { participant })?;
                actions += 1;
            }
            self.take(Position::Settle(actions), &action)?;
            actions += 1;
        }
        Ok(())
    }
}

/// The promises an action has put to the test in this state; a known quirk that showed puts none.
fn checked(
    before: &Model,
    action: &Action,
    observation: &Observation,
    judged: Judged,
    sightings: &mut BTreeMap<Switch, u64>,
) -> Promises {
    match judged {
        Judged::Kept(promises) => promises.union(before.also_at_stake(action, observation)),
        Judged::Sighted(switch) => {
            sight(sightings, [switch]);
            Promises::default()
        }
    }
}

/// What an audit has put to the test.
fn intact(damage: &[Damage]) -> Result<Promises, Breach> {
    let promise = Promise::HeldDataStaysIntact;
    damage.first().map_or(Ok(Promises::of(&[promise])), |damage| {
        Err(Breach {
            promise,
            expected: format!("what {} holds to stay as it is", damage.holder),
            observed: damage.what.to_string(),
        })
    })
}

/// A fixed pseudo-random permutation per seed.
fn scatter(seed: u32, key: Key) -> u64 {
    let x = (u64::from(seed) << 32 | u64::from(key.0)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn is_message(action: &Action) -> bool {
    !matches!(action, Action::Leave { .. } | Action::DropClient { .. } | Action::DropServer { .. })
}

/// Whether memory may be allocated, reused, mapped or unmapped.
fn may_disturb_held_data(action: &Action) -> bool {
    !matches!(
        action,
        Action::Join { .. }
            | Action::InspectPending { .. }
            | Action::InspectActive { .. }
            | Action::InspectServer { .. }
            | Action::InspectService { .. }
            | Action::HintDisconnect { .. }
    )
}
