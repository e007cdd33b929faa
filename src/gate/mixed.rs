//! Two releases on one machine, as in a rolling upgrade: in domains of their own, in one
//! domain one after the other, and in one domain at once.
//!
//! No release promises to talk to another. What a user may expect all the same: domains keep
//! them apart, whoever comes later is told so by a named error, and whoever was there first
//! goes on with nothing taken away.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::atomic::AtomicBool, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Build, GateError};
use crate::{
    actor::{
        Action, HostError, Key, Observation,
        child::{Child, Executable},
        serve::{Reply, Request},
        variant::Variant,
    },
    payload::MessageId,
    sandbox::{SHM_DIR, Sandbox},
    scenario::{LoanForm, OpenMode, Settings, Strategy},
};

/// Time for one action.
const DEADLINE: Duration = Duration::from_secs(10);

/// What an ordered pair of releases does to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pair {
    /// Who is there first.
    pub incumbent: String,
    /// Who comes later.
    pub newcomer: String,
    /// In domains of their own at once: what goes wrong, nothing if all is well.
    pub apart: Option<String>,
    /// In the domain of an incumbent that was killed: what the newcomer gets.
    pub after: Reception,
    /// In one domain at once: what the newcomer gets.
    pub at_once: Reception,
    /// What the newcomer does to the incumbent it meets: nothing if all is well.
    pub harm: Option<String>,
}

/// What a newcomer gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reception {
    /// It joins and exchanges messages with itself.
    Works,
    /// It is refused by this name.
    Refused(String),
    /// It joins, and then something goes wrong.
    Fails(String),
    /// It panics, aborts, faults or hangs.
    Stops(String),
}

impl Reception {
    /// Whether it is what a user may expect.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Works | Self::Refused(_))
    }
}

impl std::fmt::Display for Reception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Works => f.write_str("works"),
            Self::Refused(name) => f.write_str(name),
            Self::Fails(why) => write!(f, "FAILS: {why}"),
            Self::Stops(why) => write!(f, "STOPS: {why}"),
        }
    }
}

impl Pair {
    /// Whether nobody harms anybody, and whoever cannot join is told so.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        self.apart.is_none()
            && self.harm.is_none()
            && self.after.is_orderly()
            && self.at_once.is_orderly()
    }
}

/// Tries every ordered pair.
///
/// # Errors
/// If the harness fails; what the releases do is in the result.
pub fn mixed(
    builds: &[Build],
    interrupted: &AtomicBool,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Pair>, GateError> {
    let mut pairs = Vec::new();
    for incumbent in builds {
        for newcomer in builds {
            tell(&format!("iceoryx2 {} meets {}", incumbent.release, newcomer.release));
            pairs.push(pair(incumbent, newcomer, interrupted)?);
        }
    }
    Ok(pairs)
}

fn pair(incumbent: &Build, newcomer: &Build, interrupted: &AtomicBool) -> Result<Pair, HostError> {
    let apart = {
        let (here, there) = (sandbox()?, sandbox()?);
        let mut first = Peer::start(incumbent, &here, interrupted)?;
        let mut second = Peer::start(newcomer, &there, interrupted)?;
        let all = first.settle_in().and_then(|()| second.settle_in());
        let all = all.and_then(|()| first.exchange(8)).and_then(|()| second.exchange(8));
        let all = all.and_then(|()| first.exchange(4096)).and_then(|()| second.exchange(4096));
        trouble(all)?
    };
    let after = {
        let domain = sandbox()?;
        let mut first = Peer::start(incumbent, &domain, interrupted)?;
        as_stated(first.settle_in().and_then(|()| first.exchange(4096)))?;
        // Killed, with everything left behind.
        first.child.end();
        received(Peer::start(newcomer, &domain, interrupted)?)?
    };
    let domain = sandbox()?;
    let mut first = Peer::start(incumbent, &domain, interrupted)?;
    as_stated(first.settle_in().and_then(|()| first.exchange(8)))?;
    let before = objects(&domain)?;
    let at_once = received(Peer::start(newcomer, &domain, interrupted)?)?;
    let gone: Vec<_> = before.difference(&objects(&domain)?).cloned().collect();
    let goes_on = trouble(first.exchange(8).and_then(|()| first.exchange(4096)))?;
    let harm = if gone.is_empty() { goes_on } else { Some(format!("{} is gone", gone.join(", "))) };
    Ok(Pair {
        incumbent: incumbent.release.to_string(),
        newcomer: newcomer.release.to_string(),
        apart,
        after,
        at_once,
        harm,
    })
}

fn sandbox() -> Result<Sandbox, HostError> {
    Sandbox::new().map_err(|error| HostError::Harness(error.to_string()))
}

/// Everything a domain consists of.
fn objects(sandbox: &Sandbox) -> Result<BTreeSet<String>, HostError> {
    let failed = |error: std::io::Error| HostError::Harness(error.to_string());
    let mut objects = BTreeSet::new();
    for entry in fs::read_dir(SHM_DIR).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.starts_with(sandbox.prefix()) {
            objects.insert(name);
        }
    }
    let mut directories: Vec<PathBuf> = vec![sandbox.root()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                directories.push(path.clone());
            }
            let relative = path.strip_prefix(sandbox.root()).unwrap_or(&path);
            objects.insert(relative.display().to_string());
        }
    }
    Ok(objects)
}

/// Why a peer could not go on.
enum Trouble {
    Refused(String),
    Wrong(String),
    Stopped(HostError),
}

type Going = Result<(), Trouble>;

/// The trouble as text; the harness' own is an error.
fn trouble(going: Going) -> Result<Option<String>, HostError> {
    match going {
        Ok(()) => Ok(None),
        Err(Trouble::Refused(text) | Trouble::Wrong(text)) => Ok(Some(text)),
        Err(Trouble::Stopped(error @ (HostError::Harness(_) | HostError::Interrupted))) => {
            Err(error)
        }
        Err(Trouble::Stopped(error)) => Ok(Some(error.to_string())),
    }
}

/// Alone in its domain every release works; anything else is a mistake here.
fn as_stated(going: Going) -> Result<(), HostError> {
    trouble(going)?.map_or(Ok(()), |text| Err(HostError::Harness(text)))
}

/// How a newcomer fares.
fn received(mut newcomer: Peer<'_>) -> Result<Reception, HostError> {
    Ok(match newcomer.perform(join()) {
        Err(Trouble::Refused(name)) => Reception::Refused(name),
        Err(Trouble::Stopped(error @ (HostError::Crashed(_) | HostError::Hung(_)))) => {
            Reception::Stops(error.to_string())
        }
        Err(other) => trouble(Err(other))?.map_or(Reception::Works, Reception::Fails),
        Ok(_) => {
            let going = newcomer.create_ports().and_then(|()| newcomer.exchange(4096));
            match going {
                Err(Trouble::Stopped(error @ (HostError::Crashed(_) | HostError::Hung(_)))) => {
                    Reception::Stops(error.to_string())
                }
                going => trouble(going)?.map_or(Reception::Works, Reception::Fails),
            }
        }
    })
}

const ME: Key = Key(1);
const CLIENT: Key = Key(2);
const SERVER: Key = Key(3);

fn join() -> Action {
    Action::Join { new: ME, how: OpenMode::OpenOrCreate, require: None, creates: true }
}

/// A process with a client and a server that talk to each other.
struct Peer<'a> {
    child: Child,
    interrupted: &'a AtomicBool,
    next: u32,
}

impl<'a> Peer<'a> {
    fn start(
        build: &Build,
        domain: &Sandbox,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, HostError> {
        let mut child = Child::start(&Executable::gauntlet(&build.executable))?;
        let host = Request::Host {
            config: domain.config_path(),
            service: "mixed".to_owned(),
            settings: Box::new(Settings::default()),
            variant: Variant::Ipc,
        };
        child.ask(&host, DEADLINE, interrupted)?;
        Ok(Self { child, interrupted, next: 10 })
    }

    fn fresh(&mut self) -> Key {
        self.next += 1;
        Key(self.next)
    }

    fn perform(&mut self, action: Action) -> Result<Observation, Trouble> {
        match self.child.ask(&Request::Perform(action), DEADLINE, self.interrupted) {
            Ok(Reply::Observed(Observation::Refused(name))) => Err(Trouble::Refused(name)),
            Ok(Reply::Observed(observation)) => Ok(observation),
            Ok(other) => Err(Trouble::Stopped(HostError::Harness(format!("reply {other:?}")))),
            Err(error) => Err(Trouble::Stopped(error)),
        }
    }

    fn settle_in(&mut self) -> Going {
        self.perform(join())?;
        self.create_ports()
    }

    fn create_ports(&mut self) -> Going {
        let (strategy, hint) = (Strategy::BestFit, 8);
        let (participant, preallocate) = (ME, None);
        self.perform(Action::CreateServer {
            participant,
            new: SERVER,
            strategy,
            hint,
            loans: 2,
            preallocate,
        })?;
        self.perform(Action::CreateClient {
            participant,
            new: CLIENT,
            strategy,
            hint,
            preallocate,
            active: None,
        })?;
        Ok(())
    }

    /// A request and its response, both checked byte for byte.
    fn exchange(&mut self, len: usize) -> Going {
        let [request, pending, active, response, arrived] = [(); 5].map(|()| self.fresh());
        let form = LoanForm::WriteFromSlice;
        let [asked, answer] = [request, response].map(|key| MessageId::new(u64::from(key.0)));
        self.perform(Action::LoanRequest { client: CLIENT, new: request, id: asked, len, form })?;
        self.perform(Action::SendRequest { request, new: pending })?;
        let received = self.perform(Action::ReceiveRequest { server: SERVER, new: active })?;
        is_message(&received, asked, len)?;
        self.perform(Action::LoanResponse { active, new: response, id: answer, len, form })?;
        self.perform(Action::SendResponse { response })?;
        let received = self.perform(Action::ReceiveResponse { pending, new: arrived })?;
        is_message(&received, answer, len)?;
        self.perform(Action::DropResponse { response: arrived })?;
        self.perform(Action::DropActive { active })?;
        self.perform(Action::DropPending { pending })?;
        Ok(())
    }
}

fn is_message(observation: &Observation, id: MessageId, len: usize) -> Going {
    match observation {
        Observation::Received(received)
            if received.header == Some(id)
                && received.len == len
                && received.mismatch.is_none() =>
        {
            Ok(())
        }
        other => Err(Trouble::Wrong(format!(
            "message {id} of {len} was to arrive, not {}",
            crate::model::wording::summary(other)
        ))),
    }
}
