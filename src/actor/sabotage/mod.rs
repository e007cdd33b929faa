//! Teeth: hosts that break one promise on purpose, to show that a check can fail.
//!
//! A saboteur wraps a real host and falsifies what it observes, or does something else
//! than it was asked to. Each is a defect iceoryx2 could have; [`crate::teeth`] shows that
//! the engine catches every one of them, by the name of the promise it breaks.

mod answers;
mod at_once;
mod bytes;
mod delivery;
mod leaks;
mod limits;
mod loans;
mod meetings;
mod openings;
mod origins;
mod overflow;
mod presence;
mod process;
mod scene;
mod shortages;

use serde::Serialize;

use super::{
    Action, ActionKind, Damage, Host, HostError, Key, Observation, Received, concurrent::Logs,
    presence::Aftermath, variant::Variant,
};
use crate::{
    model::Promise,
    sandbox::{Domain, exposure::Exposure},
    scenario::{Concurrent, Settings, generate::Family},
};

use scene::Scene;

/// One way of breaking a promise.
#[derive(Debug, Serialize)]
pub struct Sabotage {
    /// Its name: what goes wrong, in a few words.
    #[serde(rename = "saboteur")]
    pub id: &'static str,
    /// The promise it breaks.
    pub breaks: Promise,
    /// What it does, in a sentence.
    pub what: &'static str,
    #[serde(skip)]
    trick: fn() -> Box<dyn Trick>,
}

impl Sabotage {
    /// All of them, those that break one promise next to each other.
    #[must_use]
    pub fn all() -> Vec<&'static Self> {
        let files = [
            process::ALL,
            loans::ALL,
            leaks::ALL,
            bytes::ALL,
            origins::ALL,
            delivery::ALL,
            overflow::ALL,
            limits::ALL,
            answers::ALL,
            at_once::ALL,
            meetings::ALL,
            openings::ALL,
            presence::ALL,
            shortages::ALL,
        ];
        let mut all: Vec<_> = files.into_iter().flatten().collect();
        all.sort_by_key(|sabotage| sabotage.breaks);
        all
    }

    /// Whether it meddles with traffic that threads make at the same time. Others let it pass.
    #[must_use]
    pub fn meddles_at_once(&self) -> bool {
        at_once::ALL.iter().any(|other| other.id == self.id)
    }

    /// The only family of scenarios in which it breaks in: where two participants are amid
    /// something, or one runs short of something.
    #[must_use]
    pub fn only_in(&self) -> Option<Family> {
        let rooms = [(meetings::ALL, Family::Overlap), (shortages::ALL, Family::Shortage)];
        let own = rooms.into_iter().find(|(all, _)| all.iter().any(|other| other.id == self.id));
        own.map(|(_, family)| family)
    }

    /// The one of this name.
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        Self::all().into_iter().find(|sabotage| sabotage.id == id)
    }
}

/// What makes a saboteur: what it does instead.
trait Trick {
    /// Performs the action, or something else, and reports whatever it likes.
    fn perform(
        &mut self,
        stage: &mut Stage<'_>,
        action: &Action,
    ) -> Result<Observation, HostError> {
        stage.perform(action)
    }

    /// Re-reads what is held.
    fn audit(&mut self, stage: &mut Stage<'_>) -> Result<Vec<Damage>, HostError> {
        stage.host.audit()
    }

    /// Lets threads loose.
    fn at_once(
        &mut self,
        stage: &mut Stage<'_>,
        traffic: &Concurrent,
        alive: &mut dyn FnMut(),
    ) -> Result<Logs, HostError> {
        stage.host.at_once(traffic, alive)
    }

    /// Looks what there is once everything was dropped.
    fn aftermath(&mut self, stage: &mut Stage<'_>) -> Result<Option<Aftermath>, HostError> {
        stage.host.aftermath()
    }

    /// Counts what is mapped.
    fn mapped_objects(&mut self, stage: &mut Stage<'_>) -> Result<usize, HostError> {
        stage.host.mapped_objects()
    }

    /// Names the files that the domain must not have.
    fn strange_files(&mut self, stage: &mut Stage<'_>) -> Result<Option<Vec<String>>, HostError> {
        stage.host.strange_files()
    }

    /// Tells what can be written in the domain.
    fn exposure(&mut self, stage: &mut Stage<'_>) -> Result<Option<Exposure>, HostError> {
        stage.host.exposure()
    }
}

/// What a trick has to work with.
struct Stage<'a> {
    host: &'a mut dyn Host,
    participant: Key,
    scene: &'a Scene,
    domain: &'a Domain,
}

impl Stage<'_> {
    fn perform(&mut self, action: &Action) -> Result<Observation, HostError> {
        self.host.perform(self.participant, action)
    }
}

/// Does what it is asked to and lies about the outcome.
fn lie(
    mut lie: impl FnMut(&Scene, &Action, Observation) -> Observation + 'static,
) -> Box<dyn Trick> {
    deed(move |stage, action| {
        let truth = stage.perform(action)?;
        let had_come = has_come(&truth);
        let told = lie(stage.scene, action, truth);
        // What is denied must not show in what is counted later.
        if had_come
            && !has_come(&told)
            && let Some(drop) = drop_of(action)
        {
            stage.perform(&drop)?;
        }
        Ok(told)
    })
}

/// Whether an object came of it that has to be dropped some time.
fn has_come(observation: &Observation) -> bool {
    matches!(observation, Observation::Loaned { .. } | Observation::Received(_))
}

/// The action that drops what came of a loan or a receipt.
fn drop_of(action: &Action) -> Option<Action> {
    match *action {
        Action::LoanRequest { new, .. } => Some(Action::DropRequest { request: new }),
        Action::LoanResponse { new, .. } => Some(Action::DropLoanedResponse { response: new }),
        Action::ReceiveRequest { new, .. } => Some(Action::DropActive { active: new }),
        Action::ReceiveResponse { new, .. } => Some(Action::DropResponse { response: new }),
        _ => None,
    }
}

/// Lies about every request a server receives.
fn requests_look(change: impl FnMut(&Scene, &mut Received) + 'static) -> Box<dyn Trick> {
    messages_look(ActionKind::ReceiveRequest, change)
}

/// Lies about every response a client receives.
fn responses_look(change: impl FnMut(&Scene, &mut Received) + 'static) -> Box<dyn Trick> {
    messages_look(ActionKind::ReceiveResponse, change)
}

fn messages_look(
    kind: ActionKind,
    mut change: impl FnMut(&Scene, &mut Received) + 'static,
) -> Box<dyn Trick> {
    lie(move |scene, action, mut truth| {
        if let Observation::Received(received) = &mut truth
            && ActionKind::from(action) == kind
        {
            change(scene, received);
        }
        truth
    })
}

/// Does something else than it is asked to.
struct Deed<F>(F);

impl<F> Trick for Deed<F>
where
    F: FnMut(&mut Stage<'_>, &Action) -> Result<Observation, HostError>,
{
    fn perform(
        &mut self,
        stage: &mut Stage<'_>,
        action: &Action,
    ) -> Result<Observation, HostError> {
        self.0(stage, action)
    }
}

fn deed(
    deed: impl FnMut(&mut Stage<'_>, &Action) -> Result<Observation, HostError> + 'static,
) -> Box<dyn Trick> {
    Box::new(Deed(deed))
}

fn refused(error: &str) -> Observation {
    Observation::Refused(error.to_owned())
}

/// Whether an observation is a refusal with an error that contains `name`.
fn refuses(observation: &Observation, name: &str) -> bool {
    matches!(observation, Observation::Refused(error) if error.contains(name))
}

/// A host with a trick.
pub struct Saboteur {
    host: Box<dyn Host>,
    trick: Box<dyn Trick>,
    scene: Scene,
    domain: Domain,
}

impl Saboteur {
    /// Sabotages `host`, which works in `domain` with these service settings on a variant.
    #[must_use]
    pub fn new(
        host: Box<dyn Host>,
        sabotage: &Sabotage,
        settings: Settings,
        domain: Domain,
        variant: Variant,
    ) -> Self {
        Self { host, trick: (sabotage.trick)(), scene: Scene::new(settings, variant), domain }
    }

    /// The trick and what it has to work with.
    fn act(&mut self, participant: Key) -> (&mut dyn Trick, Stage<'_>) {
        let Self { host, trick, scene, domain } = self;
        (&mut **trick, Stage { host: host.as_mut(), participant, scene, domain })
    }
}

impl Host for Saboteur {
    fn perform(&mut self, participant: Key, action: &Action) -> Result<Observation, HostError> {
        let (trick, mut stage) = self.act(participant);
        let reported = trick.perform(&mut stage, action)?;
        self.scene.note(action, &reported);
        Ok(reported)
    }

    fn audit(&mut self) -> Result<Vec<Damage>, HostError> {
        let (trick, mut stage) = self.act(Key::default());
        trick.audit(&mut stage)
    }

    fn mapped_objects(&mut self) -> Result<usize, HostError> {
        let (trick, mut stage) = self.act(Key::default());
        trick.mapped_objects(&mut stage)
    }

    fn strange_files(&mut self) -> Result<Option<Vec<String>>, HostError> {
        let (trick, mut stage) = self.act(Key::default());
        trick.strange_files(&mut stage)
    }

    fn exposure(&mut self) -> Result<Option<Exposure>, HostError> {
        let (trick, mut stage) = self.act(Key::default());
        trick.exposure(&mut stage)
    }

    fn aftermath(&mut self) -> Result<Option<Aftermath>, HostError> {
        let (trick, mut stage) = self.act(Key::default());
        trick.aftermath(&mut stage)
    }

    fn prepare(&mut self, action: &Action) -> Result<(), HostError> {
        self.host.prepare(action)
    }

    fn open_aside(&mut self) {
        self.host.open_aside();
    }

    fn at_once(
        &mut self,
        traffic: &Concurrent,
        alive: &mut dyn FnMut(),
    ) -> Result<Logs, HostError> {
        let (trick, mut stage) = self.act(Key::default());
        trick.at_once(&mut stage, traffic, alive)
    }
}
