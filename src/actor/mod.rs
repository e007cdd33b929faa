//! What does happen: the one room that calls iceoryx2.
//!
//! A [`Host`] executes resolved actions and returns observations; it never judges.

mod action;
mod arrival;
pub mod bare;
pub mod child;
pub mod concurrent;
pub mod config_file;
pub mod death;
mod describe;
pub mod element;
pub mod iox;
pub mod loan;
pub mod message;
mod observation;
mod open;
pub mod overlap;
pub mod presence;
pub mod sabotage;
pub mod serve;
pub mod shortage;
pub mod tracee;
pub mod variant;
pub mod version;

use serde::{Deserialize, Serialize};

use crate::{sandbox::exposure::Exposure, scenario::Concurrent};

pub use action::{Action, ActionKind, Key};
pub use observation::{
    Damage, Damaged, ListedPort, ListedPorts, Observation, Overlapped, PortId, Received,
    ReportedSettings,
};

use concurrent::Logs;
use overlap::Hold;
use presence::Aftermath;
use shortage::{Missed, Shortage};

/// Why no observation could be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum HostError {
    /// The process that executed the action is gone.
    #[error("crashed: {0}")]
    Crashed(String),
    /// The action did not return in time.
    #[error("did not return within {0} ms")]
    Hung(u64),
    /// iceoryx2 does not take the config file.
    #[error("{0}")]
    ConfigRefused(String),
    /// Whoever runs the gauntlet wants it to stop.
    #[error("interrupted")]
    Interrupted,
    /// The harness itself failed.
    #[error("harness: {0}")]
    Harness(String),
}

/// Executes actions, somewhere.
pub trait Host {
    /// Performs one action as `participant`.
    ///
    /// # Errors
    /// If the action did not return.
    fn perform(&mut self, participant: Key, action: &Action) -> Result<Observation, HostError>;

    /// Re-reads every payload that is held and reports those that changed.
    ///
    /// # Errors
    /// If reading did not return.
    fn audit(&mut self) -> Result<Vec<Damage>, HostError>;

    /// Number of shared-memory objects of the domain that are mapped, summed over the
    /// processes of the participants.
    ///
    /// # Errors
    /// If the answer did not arrive.
    fn mapped_objects(&mut self) -> Result<usize, HostError>;

    /// Files that the domain must not have: outside of it, or with another prefix; `None` where
    /// the host cannot tell or there are none at all.
    ///
    /// # Errors
    /// If the answer did not arrive.
    fn strange_files(&mut self) -> Result<Option<Vec<String>>, HostError> {
        Ok(None)
    }

    /// What can be written in the domain, by all processes of the participants; `None` where the
    /// host cannot tell or there are no files at all.
    ///
    /// # Errors
    /// If the answer did not arrive.
    fn exposure(&mut self) -> Result<Option<Exposure>, HostError> {
        Ok(None)
    }

    /// Lets threads of this process talk to each other as they like, on a service that nobody
    /// else has open; says now and then that they still get on.
    ///
    /// # Errors
    /// If a thread panics, or if there is no process that could have all of them.
    fn at_once(
        &mut self,
        traffic: &Concurrent,
        _alive: &mut dyn FnMut(),
    ) -> Result<Logs, HostError> {
        let what = traffic.describe();
        Err(HostError::Harness(format!("{what}: only participants in one process can do that")))
    }

    /// What there is once everything was dropped, the service created once more and dropped
    /// again; `None` where the host cannot tell.
    ///
    /// # Errors
    /// If the answer did not arrive.
    fn aftermath(&mut self) -> Result<Option<Aftermath>, HostError> {
        Ok(None)
    }

    /// From now on every participant has another service as well, of its own and of no use, for
    /// as long as it is there.
    fn open_aside(&mut self) {}

    /// Lets two participants perform an action each, the second amid the first.
    ///
    /// # Errors
    /// If one of them did not return, or if nobody can be held here.
    fn overlap(
        &mut self,
        actions: [(Key, &Action); 2],
        _hold: Hold,
    ) -> Result<Overlapped, HostError> {
        let [_, (_, second)] = actions;
        Err(HostError::Harness(format!("{second}: nobody can be held here amid something else")))
    }

    /// Does what comes before an action and is no part of it: nobody is traced meanwhile.
    ///
    /// # Errors
    /// If whoever is to do it is not there.
    fn prepare(&mut self, _action: &Action) -> Result<(), HostError> {
        Ok(())
    }

    /// Performs an action amid which its participant runs short of something, and says of what
    /// it did.
    ///
    /// # Errors
    /// If it did not return, or if nobody can run short here.
    fn run_short(
        &mut self,
        _participant: Key,
        action: &Action,
        _shortage: Shortage,
    ) -> Result<(Observation, Option<Missed>), HostError> {
        Err(HostError::Harness(format!("{action}: nobody can run short of anything here")))
    }

    /// Whether a participant can run short of something amid an action.
    fn can_run_short(&self) -> bool {
        false
    }

    /// Whether a participant can be held amid an action.
    fn can_hold(&self) -> bool {
        false
    }

    /// Whether a participant can be killed amid an action.
    fn can_kill_amid(&self) -> bool {
        false
    }

    /// Whether a participant has a process of its own, which can be killed.
    fn can_kill(&self) -> bool {
        false
    }
}
