//! Services and nodes that are listed when they do not exist, and the other way round.

use super::{Sabotage, Stage, Trick, lie};
use crate::{
    actor::{
        HostError, Observation,
        presence::{Aftermath, Presence},
    },
    model::Promise,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "service-does-not-exist",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "a service that is in use is said not to exist",
        trick: || seen(|presence| presence.exists = false),
    },
    Sabotage {
        id: "service-listed-twice",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "a service is listed twice",
        trick: || seen(|presence| presence.listed = 2),
    },
    Sabotage {
        id: "node-not-listed",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "one node is not listed",
        trick: || seen(|presence| presence.nodes -= 1),
    },
    Sabotage {
        id: "node-listed-as-dead",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "a node of which nobody died is listed as dead",
        trick: || seen(|presence| presence.dead = 1),
    },
    Sabotage {
        id: "state-of-listed-node-unknown",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "a node that is listed has no state when it is asked for",
        trick: || seen(|presence| presence.misstated = 1),
    },
    Sabotage {
        id: "service-without-details",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "the details of a service list none of its nodes",
        trick: || seen(|presence| presence.in_details = Some(0)),
    },
    Sabotage {
        id: "node-too-many-at-service",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "a service lists a node more than use it",
        trick: || {
            seen(|presence| {
                presence.at_service.iter_mut().for_each(|nodes| *nodes += 1);
            })
        },
    },
    Sabotage {
        id: "service-outlives-its-users",
        breaks: Promise::ServiceEndsWithItsUsers,
        what: "a service exists when everything was dropped",
        trick: || found(|aftermath| aftermath.presence.exists = true),
    },
    Sabotage {
        id: "service-stays-listed",
        breaks: Promise::ServiceEndsWithItsUsers,
        what: "a service is listed when everything was dropped",
        trick: || found(|aftermath| aftermath.presence.listed = 1),
    },
    Sabotage {
        id: "node-outlives-its-owner",
        breaks: Promise::ServiceEndsWithItsUsers,
        what: "a node is listed when everything was dropped",
        trick: || found(|aftermath| aftermath.presence.nodes = 1),
    },
    Sabotage {
        id: "node-dies-with-its-owner",
        breaks: Promise::ServiceEndsWithItsUsers,
        what: "a node is listed as dead when everything was dropped",
        trick: || found(|aftermath| aftermath.presence.dead = 1),
    },
    Sabotage {
        id: "pattern-is-no-part-of-the-name",
        breaks: Promise::ServicesAreToldApart,
        what: "there cannot be an event service of the same name",
        trick: || found(|aftermath| aftermath.crowded_out = Some("AlreadyExists".to_owned())),
    },
    Sabotage {
        id: "name-stays-taken",
        breaks: Promise::ServiceEndsWithItsUsers,
        what: "a service cannot be created a second time",
        trick: || found(|aftermath| aftermath.refused = Some("AlreadyExists".to_owned())),
    },
];

/// Changes what is seen while the service is in use.
fn seen(change: fn(&mut Presence)) -> Box<dyn Trick> {
    lie(move |_, _, mut truth| {
        if let Observation::Service { presence: Some(presence), .. } = &mut truth {
            change(presence);
        }
        truth
    })
}

/// Changes what is found afterwards.
fn found(change: fn(&mut Aftermath)) -> Box<dyn Trick> {
    Box::new(Finding(change))
}

struct Finding(fn(&mut Aftermath));

impl Trick for Finding {
    fn aftermath(&mut self, stage: &mut Stage<'_>) -> Result<Option<Aftermath>, HostError> {
        let mut aftermath = stage.host.aftermath()?;
        aftermath.iter_mut().for_each(self.0);
        Ok(aftermath)
    }
}
