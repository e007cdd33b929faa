//! Processes that end, and calls that do not.

use super::{Sabotage, deed, lie};
use crate::{
    actor::{Action, Observation},
    model::Promise,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "growth-panics",
        breaks: Promise::NeverCrashes,
        what: "the first growth of a client panics",
        trick: || {
            deed(|stage, action| {
                if let Action::LoanRequest { len, .. } = action
                    && stage.scene.loans_from(action).is_some_and(|port| *len > port.longest)
                {
                    panic!("no segment of id 1");
                }
                stage.perform(action)
            })
        },
    },
    Sabotage {
        id: "drop-of-held-response-aborts",
        breaks: Promise::NeverCrashes,
        what: "dropping a response whose server is gone aborts the process",
        trick: || {
            deed(|stage, action| {
                if let Action::DropResponse { response } = action
                    && let Some((_, server)) = stage.scene.held.get(response)
                    && stage.scene.servers.values().any(|port| port.id == *server && !port.exists)
                {
                    std::process::abort();
                }
                stage.perform(action)
            })
        },
    },
    Sabotage {
        id: "dead-node-looks-alive",
        breaks: Promise::DeadNodeIsListed,
        what: "the node of a killed process is not listed as dead",
        trick: || {
            lie(|_, _, truth| match truth {
                Observation::CleanedUp { cleaned, failed, left, .. } => {
                    Observation::CleanedUp { dead: 0, cleaned, failed, left }
                }
                truth => truth,
            })
        },
    },
    Sabotage {
        id: "dead-node-stays",
        breaks: Promise::DeadNodeIsCleanedUp,
        what: "the node of a killed process is not cleaned up",
        trick: || {
            lie(|_, _, truth| match truth {
                Observation::CleanedUp { dead, cleaned, failed, .. } => {
                    Observation::CleanedUp { dead, cleaned, failed, left: dead }
                }
                truth => truth,
            })
        },
    },
    Sabotage {
        id: "nobody-cleans-up-in-passing",
        breaks: Promise::DeadNodeIsCleanedUp,
        what: "whoever comes, opens the service or leaves does not clean up, whatever the config says",
        trick: || {
            lie(|_, _, truth| match truth {
                Observation::CleanedUp { dead: 0, failed, left, .. } => {
                    Observation::CleanedUp { dead: 1, cleaned: 1, failed, left }
                }
                truth => truth,
            })
        },
    },
    Sabotage {
        id: "failed-clean-up-is-not-counted",
        breaks: Promise::DeadNodeIsCleanedUp,
        what: "a dead node that was cleaned up is counted as one that could not be",
        trick: || {
            lie(|_, _, truth| match truth {
                Observation::CleanedUp { dead, cleaned, left, .. } => {
                    Observation::CleanedUp { dead, cleaned: 0, failed: cleaned, left }
                }
                truth => truth,
            })
        },
    },
    Sabotage {
        id: "send-never-returns",
        breaks: Promise::NeverHangs,
        what: "sending a request does not return",
        trick: || {
            deed(|stage, action| {
                if matches!(action, Action::SendRequest { .. }) {
                    loop {
                        std::thread::park();
                    }
                }
                stage.perform(action)
            })
        },
    },
];
