//! What only goes wrong where somebody is amid something when another one comes along.

use std::{ffi::OsString, fs, path::Path, process};

use super::{Sabotage, Stage, Trick, drop_of, refused};
use crate::{
    actor::{Action, ActionKind, HostError, Observation},
    model::Promise,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "who-meets-somebody-cannot-join",
        breaks: Promise::CreateAndOpen,
        what: "whoever joins while somebody is amid something is told that the service hangs in creation",
        trick: || {
            meeting(ActionKind::Join, |stage, action| {
                let truth = stage.perform(action)?;
                let Action::Join { new, .. } = *action else { return Ok(truth) };
                if truth != Observation::Done {
                    return Ok(truth);
                }
                stage.perform(&Action::Leave { participant: new })?;
                Ok(refused("HangsInCreation"))
            })
        },
    },
    Sabotage {
        id: "who-meets-somebody-gets-no-client",
        breaks: Promise::ClientLimit,
        what: "no client can be created while somebody is amid something, however few there are",
        trick: || {
            meeting(ActionKind::CreateClient, |_, _| Ok(refused("ExceedsMaxSupportedClients")))
        },
    },
    Sabotage {
        id: "who-meets-somebody-loses-a-response",
        breaks: Promise::NoResponseIsLost,
        what: "a client that receives while somebody is amid something drops it and says there was nothing",
        trick: || {
            meeting(ActionKind::ReceiveResponse, |stage, action| {
                if let (Observation::Received(_), Some(drop)) =
                    (stage.perform(action)?, drop_of(action))
                {
                    stage.perform(&drop)?;
                }
                Ok(Observation::Nothing)
            })
        },
    },
];

/// What is done instead.
type Instead = fn(&mut Stage<'_>, &Action) -> Result<Observation, HostError>;

/// Does something else where another process is amid an action.
struct Meeting {
    kind: ActionKind,
    instead: Instead,
}

fn meeting(kind: ActionKind, instead: Instead) -> Box<dyn Trick> {
    Box::new(Meeting { kind, instead })
}

/// What processes say of themselves while they are amid something: `amid-PID` beside the files of
/// the domain.
const SIGN: &str = "amid-";

/// Whether another process, which is still there, is amid an action.
fn meets(dir: &Path) -> bool {
    let names = dir.read_dir().into_iter().flatten().flatten().map(|entry| entry.file_name());
    let pid = |name: OsString| name.to_str().and_then(|name| name.strip_prefix(SIGN)?.parse().ok());
    let is_there = |pid: u32| fs::exists(format!("/proc/{pid}")).unwrap_or(false);
    names.filter_map(pid).any(|pid| pid != process::id() && is_there(pid))
}

impl Trick for Meeting {
    fn perform(
        &mut self,
        stage: &mut Stage<'_>,
        action: &Action,
    ) -> Result<Observation, HostError> {
        let dir = stage.domain.root().parent().map(Path::to_owned).unwrap_or_default();
        if ActionKind::from(action) == self.kind && meets(&dir) {
            return (self.instead)(stage, action);
        }
        let sign = dir.join(format!("{SIGN}{}", process::id()));
        let failed = |error| HostError::Harness(format!("{}: {error}", sign.display()));
        fs::write(&sign, "").map_err(failed)?;
        let done = stage.perform(action);
        fs::remove_file(&sign).map_err(failed)?;
        done
    }
}
