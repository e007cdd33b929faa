//! What stays although nobody uses it, and what changes although somebody holds it.

use std::{fs, path::Path};

use super::{Sabotage, Stage, Trick, bytes, deed, lie, scene::Loan};
use crate::{
    actor::{Action, Damage, Damaged, HostError, Observation},
    model::Promise,
    payload,
    sandbox::{SHM_DIR, exposure::Exposure},
    scenario::LoanForm,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "segment-of-gone-client-stays",
        breaks: Promise::NothingIsLeftBehind,
        what: "the data segment of a client that has grown outlives it",
        trick: || {
            deed(|stage, action| {
                let client = match action {
                    Action::DropClient { client } => stage.scene.clients.get(client),
                    _ => None,
                };
                if client.is_some_and(|port| port.growths > 0) {
                    let segment = format!("{}segment.data", stage.domain.prefix());
                    write(&Path::new(SHM_DIR).join(segment))?;
                }
                stage.perform(action)
            })
        },
    },
    Sabotage {
        id: "node-file-stays",
        breaks: Promise::NothingIsLeftBehind,
        what: "a participant that leaves forgets a file of its node",
        trick: || {
            deed(|stage, action| {
                if let Action::Leave { participant } = action {
                    write(&stage.domain.root().join(format!("node-{participant}")))?;
                }
                stage.perform(action)
            })
        },
    },
    Sabotage {
        id: "descriptor-stays-open",
        breaks: Promise::NothingIsLeftBehind,
        what: "dropping a server leaves a file descriptor open",
        trick: || {
            deed(|stage, action| {
                if let Action::DropServer { .. } = action {
                    let dir = fs::File::open(stage.domain.root()).map_err(harness)?;
                    std::mem::forget(dir);
                }
                stage.perform(action)
            })
        },
    },
    Sabotage {
        id: "connection-has-the-default-prefix",
        breaks: Promise::FilesStayInTheDomain,
        what: "a port that has grown names the files of its connections with the default prefix",
        trick: || Box::new(Misnamer),
    },
    Sabotage {
        id: "receiver-maps-to-write",
        breaks: Promise::DataIsWrittenByItsPort,
        what: "whoever receives from a port that has grown may write its memory",
        trick: || Box::new(Exposer { exposes: Exposes::ToReceiver }),
    },
    Sabotage {
        id: "segment-is-open-to-everybody",
        breaks: Promise::DataIsWrittenByItsPort,
        what: "everybody may write the memory a port has grown into",
        trick: || Box::new(Exposer { exposes: Exposes::ToEverybody }),
    },
    Sabotage {
        id: "outgrown-segments-stay-mapped",
        breaks: Promise::UnusedMemoryIsReleased,
        what: "every growth leaves the segment before it mapped",
        trick: || Box::new(Hoarder { most: usize::MAX }),
    },
    Sabotage {
        id: "first-segment-stays-mapped",
        breaks: Promise::UnusedMemoryIsReleased,
        what: "a port that has grown leaves the segment it began with mapped",
        trick: || Box::new(Hoarder { most: 1 }),
    },
    Sabotage {
        id: "held-data-changes-with-growth",
        breaks: Promise::HeldDataStaysIntact,
        what: "when a port grows, a byte of what it has loaned already changes",
        trick: || {
            Spoiler::of(|loan| {
                let mut bytes = bytes::written(loan.id, loan.len);
                bytes::flip(bytes.first_mut());
                payload::check(loan.id, &bytes).err().map(Damaged::Mismatch)
            })
        },
    },
    Sabotage {
        id: "held-header-changes-with-growth",
        breaks: Promise::HeldDataStaysIntact,
        what: "when a port grows, the user header of what it has loaned already changes",
        trick: || Spoiler::of(|_| Some(Damaged::UserHeader(None))),
    },
    Sabotage {
        id: "loan-reads-back-damaged",
        breaks: Promise::HeldDataStaysIntact,
        what: "a loan filled by write_from_fn does not read as it was written",
        trick: || {
            lie(|_, action, mut truth| {
                if let Action::LoanRequest { id, form: LoanForm::WriteFromFn, .. }
                | Action::LoanResponse { id, form: LoanForm::WriteFromFn, .. } = action
                    && let Observation::Loaned { len, mismatch, .. } = &mut truth
                {
                    let mut bytes = bytes::written(*id, *len);
                    bytes::flip(bytes.last_mut());
                    *mismatch = payload::check(*id, &bytes).err();
                }
                truth
            })
        },
    },
];

fn harness(error: std::io::Error) -> HostError {
    HostError::Harness(error.to_string())
}

fn write(path: &Path) -> Result<(), HostError> {
    fs::write(path, b"left behind").map_err(harness)
}

/// Keeps mapped what ports have outgrown, no more than so many segments of each.
struct Hoarder {
    most: usize,
}

impl Trick for Hoarder {
    fn mapped_objects(&mut self, stage: &mut Stage<'_>) -> Result<usize, HostError> {
        let ports = stage.scene.clients.values().chain(stage.scene.servers.values());
        let ports = ports.filter(|port| port.exists);
        let outgrown: usize = ports.map(|port| port.growths.min(self.most)).sum();
        Ok(stage.host.mapped_objects()? + outgrown)
    }
}

/// Gives the connections of ports that have grown the prefix every config has by default.
struct Misnamer;

impl Trick for Misnamer {
    fn strange_files(&mut self, stage: &mut Stage<'_>) -> Result<Option<Vec<String>>, HostError> {
        let Some(mut all) = stage.host.strange_files()? else { return Ok(None) };
        let ports = stage.scene.clients.values().chain(stage.scene.servers.values());
        let grown = ports.filter(|port| port.growths > 0).count();
        all.extend((0..grown).map(|n| format!("iox2_{n}.connection")));
        Ok(Some(all))
    }
}

/// To whom the memory of ports that have grown is exposed.
enum Exposes {
    ToReceiver,
    ToEverybody,
}

/// Exposes the memory of ports that have grown.
struct Exposer {
    exposes: Exposes,
}

impl Trick for Exposer {
    fn exposure(&mut self, stage: &mut Stage<'_>) -> Result<Option<Exposure>, HostError> {
        let Some(mut exposure) = stage.host.exposure()? else { return Ok(None) };
        let mut ports = stage.scene.clients.values().chain(stage.scene.servers.values());
        let has_grown = ports.any(|port| port.exists && port.growths > 0);
        if let (true, Some(segment)) = (has_grown, exposure.written.last().cloned()) {
            match self.exposes {
                Exposes::ToReceiver => exposure.written.push(segment),
                Exposes::ToEverybody => exposure.writable_by_all.push(segment),
            }
        }
        Ok(Some(exposure))
    }
}

/// Damages what is loaned when its port grows.
struct Spoiler {
    spoils: bool,
    damage: fn(&Loan) -> Option<Damaged>,
}

impl Spoiler {
    fn of(damage: fn(&Loan) -> Option<Damaged>) -> Box<dyn Trick> {
        Box::new(Self { spoils: false, damage })
    }
}

impl Trick for Spoiler {
    fn perform(
        &mut self,
        stage: &mut Stage<'_>,
        action: &Action,
    ) -> Result<Observation, HostError> {
        let longest = stage.scene.loans_from(action).map_or(usize::MAX, |port| port.longest);
        let reported = stage.perform(action)?;
        self.spoils = matches!(reported, Observation::Loaned { len, .. } if len > longest);
        Ok(reported)
    }

    fn audit(&mut self, stage: &mut Stage<'_>) -> Result<Vec<Damage>, HostError> {
        let mut damage = stage.host.audit()?;
        if let Some((&holder, loan)) =
            stage.scene.loans.iter().find(|(_, loan)| self.spoils && loan.len > 0)
        {
            damage.extend((self.damage)(loan).map(|what| Damage { holder, what }));
        }
        Ok(damage)
    }
}
