//! The child side of a run in a process of its own: one JSON object per line on
//! stdin and stdout.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, BufRead, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Action, ActionKind, Damage, Host, HostError, Key, Observation, iox,
    presence::Aftermath,
    sabotage::{Sabotage, Saboteur},
    tracee::between_marks,
    variant::Variant,
};
use crate::{
    lockstep::{self, Observer, Outcome, Position},
    model::{Prediction, Switch},
    sandbox::{Census, Domain, exposure::Exposure},
    scenario::{Concurrent, Scenario, Settings},
};

/// What the parent asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Run a scenario with all its participants in this process.
    Judge {
        /// Config file of the domain.
        config: PathBuf,
        /// Name of the service.
        service: String,
        /// Where to note the position before every action.
        flight_recorder: PathBuf,
        /// What to run.
        scenario: Box<Scenario>,
        /// On which service variant.
        variant: Variant,
        /// Quirks to live with.
        quirks: BTreeSet<Switch>,
        /// Whether to report every step.
        trace: bool,
    },
    /// Be one participant of a scenario whose lockstep runs in the parent.
    Host {
        /// Config file of the domain.
        config: PathBuf,
        /// Name of the service.
        service: String,
        /// Service settings.
        settings: Box<Settings>,
        /// Which service variant.
        variant: Variant,
    },
    /// Perform an action, as that participant.
    Perform(Action),
    /// The same between two marks, see [`overlap`](super::overlap).
    PerformMarked(Action),
    /// Re-read all payloads.
    Audit,
    /// Count the shared-memory objects that are mapped.
    MappedObjects,
    /// Name the files that the domain must not have.
    StrangeFiles,
    /// Tell what can be written in the domain.
    Exposure,
    /// Look what there is once everything was dropped.
    Aftermath,
    /// Drop everything and take a census of the domain.
    Census,
}

/// What the child answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::Judge`].
    Judged {
        /// The result.
        outcome: Outcome,
        /// What was left when everything was dropped; empty after a breach.
        census: Census,
        /// Every step, if asked for.
        trace: Vec<TracedStep>,
    },
    /// To [`Request::Host`].
    Ready,
    /// To [`Request::Perform`] and [`Request::PerformMarked`].
    Observed(Observation),
    /// To [`Request::Audit`].
    Audited(Vec<Damage>),
    /// To [`Request::MappedObjects`].
    Mapped(usize),
    /// To [`Request::StrangeFiles`].
    Strange(Option<Vec<String>>),
    /// To [`Request::Exposure`].
    Exposed(Option<Exposure>),
    /// To [`Request::Aftermath`].
    Looked(Option<Aftermath>),
    /// To [`Request::Census`].
    Counted(Census),
    /// The request could not be carried out.
    Failed(HostError),
    /// The process panicked and is about to end.
    Panicked(String),
}

impl Reply {
    /// It answers something else than what was asked.
    #[must_use]
    pub fn unexpected(&self) -> HostError {
        HostError::Harness(format!("unexpected reply {self:?}"))
    }
}

/// One action of a run, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedStep {
    /// Where in the run.
    pub position: Position,
    /// What kind of action it was.
    pub kind: ActionKind,
    /// What was done.
    pub action: String,
    /// What was allowed.
    pub expected: String,
    /// What happened; empty while the action has not returned.
    pub observed: String,
    /// Whether a message may have been lost here, or not.
    pub may_lose_a_message: bool,
}

/// Notes the position of a run in a file before every action, so that whoever finds
/// the process dead knows where it was.
#[derive(Debug)]
struct FlightRecorder {
    file: File,
    last: Option<Note>,
    tracer: Option<Tracer>,
}

/// Keeps every action of a run, for a person.
#[derive(Debug, Default)]
pub struct Tracer {
    /// In the order they were performed.
    pub steps: Vec<TracedStep>,
}

impl Observer for Tracer {
    fn before(&mut self, position: Position, action: &Action) {
        self.steps.push(TracedStep {
            position,
            kind: action.into(),
            action: action.to_string(),
            expected: String::new(),
            observed: String::new(),
            may_lose_a_message: false,
        });
    }

    fn after(&mut self, _: Position, prediction: &Prediction, observation: &Observation) {
        if let Some(step) = self.steps.last_mut() {
            step.expected = prediction.to_string();
            step.may_lose_a_message = prediction.may_lose_a_message();
            step.observed = crate::model::wording::summary(observation);
        }
    }
}

/// Bytes of one note: JSON, padded with spaces so that a shorter note covers a longer.
const NOTE: usize = 256;

/// What a flight recorder last noted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Note {
    /// Where in the run.
    pub position: Position,
    /// What was about to be done.
    pub action: String,
    /// How often it has shown since that it gets on.
    #[serde(default)]
    pub beats: u64,
}

/// Looks whether a flight recorder goes on being written: every call says whether it was since
/// the call before.
pub fn pulse(path: &Path) -> impl FnMut() -> bool {
    let mut last = Vec::new();
    move || {
        let now = std::fs::read(path).unwrap_or_default();
        std::mem::replace(&mut last, now) != last
    }
}

impl FlightRecorder {
    fn create(path: &Path, trace: bool) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        Ok(Self { file, last: None, tracer: trace.then(Tracer::default) })
    }

    fn note(&mut self, position: Position, action: String) {
        self.write(Note { position, action, beats: 0 });
    }

    fn write(&mut self, note: Note) {
        if let Ok(text) = serde_json::to_string(&note) {
            // A lost note costs the place of a crash, not the crash.
            let _ = self.file.write_all_at(format!("{text:<NOTE$}").as_bytes(), 0);
        }
        self.last = Some(note);
    }
}

impl Observer for FlightRecorder {
    fn before_concurrent(&mut self, traffic: &Concurrent) {
        self.note(Position::Concurrent, traffic.describe());
    }

    fn alive(&mut self) {
        if let Some(last) = self.last.take() {
            self.write(Note { beats: last.beats + 1, ..last });
        }
    }

    fn before(&mut self, position: Position, action: &Action) {
        self.note(position, action.to_string());
        if let Some(tracer) = &mut self.tracer {
            tracer.before(position, action);
        }
    }

    fn after(&mut self, position: Position, prediction: &Prediction, observation: &Observation) {
        if let Some(tracer) = &mut self.tracer {
            tracer.after(position, prediction, observation);
        }
    }
}

/// Reads the last note of a flight recorder.
#[must_use]
pub fn last_note(path: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Serves requests until stdin ends, with a host that is sabotaged if asked for.
///
/// # Errors
/// If stdin or stdout break.
pub fn serve(sabotage: Option<&Sabotage>) -> io::Result<()> {
    // Nobody else would end a child that hangs when its parent was killed.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    iox::silence();
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without a message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let _ = reply(&Reply::Panicked(format!("panicked at {place}: {}", abridged(message))));
        // Unwinding through a port that just failed could do anything.
        std::process::exit(101);
    }));
    let mut host: Option<Hosted> = None;
    for line in io::stdin().lock().lines() {
        let request = match serde_json::from_str(&line?) {
            Ok(request) => request,
            Err(error) => {
                reply(&Reply::Failed(HostError::Harness(format!("request: {error}"))))?;
                continue;
            }
        };
        let answer = answer(request, sabotage, &mut host).unwrap_or_else(Reply::Failed);
        reply(&answer)?;
    }
    Ok(())
}

/// Characters of a panic message that are kept at either end: iceoryx2 prints whole ports
/// between what failed and why.
const KEPT_OF_PANIC: usize = 200;

fn abridged(message: &str) -> String {
    let head: String = message.chars().take(KEPT_OF_PANIC).collect();
    let length = message.chars().count();
    if length <= 2 * KEPT_OF_PANIC {
        return message.to_owned();
    }
    let tail: String = message.chars().skip(length - KEPT_OF_PANIC).collect();
    format!("{head} ... {tail}")
}

fn reply(reply: &Reply) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, reply)?;
    out.write_all(b"\n")?;
    out.flush()
}

pub(crate) fn harness(error: impl ToString) -> HostError {
    HostError::Harness(error.to_string())
}

/// A host in the domain, and whoever sabotages it.
fn open(
    config: &Path,
    service: &str,
    settings: Settings,
    sabotage: Option<&Sabotage>,
    domain: &Domain,
    variant: Variant,
) -> Result<Box<dyn Host>, HostError> {
    let host = iox::host(variant, config, service, settings.clone())?;
    Ok(match sabotage {
        Some(sabotage) => {
            Box::new(Saboteur::new(host, sabotage, settings, domain.clone(), variant))
        }
        None => host,
    })
}

/// The objects of one participant, and the domain they live in.
type Hosted = (Box<dyn Host>, Domain);

fn answer(
    request: Request,
    sabotage: Option<&Sabotage>,
    host: &mut Option<Hosted>,
) -> Result<Reply, HostError> {
    let nobody = || HostError::Harness("no participant is hosted here".to_owned());
    Ok(match request {
        Request::Judge { config, service, flight_recorder, scenario, variant, quirks, trace } => {
            let domain = Domain::of_config(&config).map_err(harness)?;
            let mut host =
                open(&config, &service, scenario.service.clone(), sabotage, &domain, variant)?;
            let mut recorder = FlightRecorder::create(&flight_recorder, trace).map_err(harness)?;
            let outcome = lockstep::run(&scenario, &quirks, host.as_mut(), &mut recorder);
            drop(host);
            let census = if outcome.end.is_kept() {
                domain.census_alone().map_err(harness)?
            } else {
                Census::default()
            };
            let trace = recorder.tracer.map(|tracer| tracer.steps).unwrap_or_default();
            Reply::Judged { outcome, census, trace }
        }
        Request::Host { config, service, settings, variant } => {
            let domain = Domain::of_config(&config).map_err(harness)?;
            let mut hosted = open(&config, &service, *settings, sabotage, &domain, variant)?;
            // Who is killed must not leave that either.
            hosted.open_aside();
            *host = Some((hosted, domain));
            Reply::Ready
        }
        Request::Perform(action) => {
            let host = &mut host.as_mut().ok_or_else(nobody)?.0;
            host.prepare(&action)?;
            Reply::Observed(host.perform(Key::default(), &action)?)
        }
        Request::PerformMarked(action) => {
            let host = &mut host.as_mut().ok_or_else(nobody)?.0;
            host.prepare(&action)?;
            Reply::Observed(between_marks(|| host.perform(Key::default(), &action))?)
        }
        Request::Audit => Reply::Audited(host.as_mut().ok_or_else(nobody)?.0.audit()?),
        Request::MappedObjects => {
            Reply::Mapped(host.as_mut().ok_or_else(nobody)?.0.mapped_objects()?)
        }
        Request::StrangeFiles => {
            Reply::Strange(host.as_mut().ok_or_else(nobody)?.0.strange_files()?)
        }
        Request::Exposure => Reply::Exposed(host.as_mut().ok_or_else(nobody)?.0.exposure()?),
        Request::Aftermath => Reply::Looked(host.as_mut().ok_or_else(nobody)?.0.aftermath()?),
        Request::Census => {
            let (objects, domain) = host.take().ok_or_else(nobody)?;
            drop(objects);
            Reply::Counted(domain.census_alone().map_err(harness)?)
        }
    })
}
