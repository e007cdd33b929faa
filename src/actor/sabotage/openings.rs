//! Services that are created and opened when they must not be, and the other way round.

use super::{Sabotage, deed, lie, refused, refuses};
use crate::{
    actor::{Action, Observation},
    model::Promise,
    scenario::OpenMode,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "requirement-not-checked",
        breaks: Promise::OpenChecksRequirements,
        what: "a service that does not meet a requirement is opened",
        trick: || {
            lie(|_, _, truth| {
                let unmet = refuses(&truth, "DoesNotSupport") || refuses(&truth, "Incompatible");
                if unmet { Observation::Done } else { truth }
            })
        },
    },
    Sabotage {
        id: "requirement-named-wrongly",
        breaks: Promise::OpenChecksRequirements,
        what: "whatever a service has too little of, it is said to be clients",
        trick: || {
            const CLIENTS: &str = "DoesNotSupportRequestedAmountOfClients";
            lie(|_, _, truth| {
                let is_other = refuses(&truth, "DoesNotSupport") && !refuses(&truth, CLIENTS);
                if is_other { refused(CLIENTS) } else { truth }
            })
        },
    },
    Sabotage {
        id: "met-requirement-refused",
        breaks: Promise::OpenChecksRequirements,
        what: "a service that meets a requirement is not opened",
        trick: || {
            lie(|_, action, truth| match (action, truth) {
                (Action::Join { require: Some(_), .. }, Observation::Done) => {
                    refused("DoesNotSupportRequestedAmountOfClients")
                }
                (_, truth) => truth,
            })
        },
    },
    Sabotage {
        id: "service-created-twice",
        breaks: Promise::CreateAndOpen,
        what: "create succeeds although the service exists",
        trick: || {
            lie(
                |_, _, truth| {
                    if refuses(&truth, "AlreadyExists") { Observation::Done } else { truth }
                },
            )
        },
    },
    Sabotage {
        id: "missing-service-created-by-open",
        breaks: Promise::CreateAndOpen,
        what: "open creates the service that does not exist",
        trick: || {
            deed(|stage, action| match *action {
                Action::Join { new, how: OpenMode::Open, creates: false, .. }
                    if stage.scene.participants.is_empty() =>
                {
                    let how = OpenMode::Create;
                    stage.perform(&Action::Join { new, how, require: None, creates: true })
                }
                _ => stage.perform(action),
            })
        },
    },
    Sabotage {
        id: "existing-service-not-found",
        breaks: Promise::CreateAndOpen,
        what: "open does not find a service that exists",
        trick: || {
            lie(|scene, action, truth| match (action, truth) {
                (Action::Join { .. }, Observation::Done) if !scene.participants.is_empty() => {
                    refused("DoesNotExist")
                }
                (_, truth) => truth,
            })
        },
    },
];
