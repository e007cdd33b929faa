//! What only goes wrong where somebody runs short of what they take from the system.

use super::{Sabotage, deed, refused, refuses};
use crate::{
    actor::{Action, HostError, Observation},
    model::{Promise, SHORTEST_IMPOSSIBLE},
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "who-runs-short-is-told-of-a-limit",
        breaks: Promise::ClientLimit,
        what: "a client that has no room for its memory is told that there are too many clients",
        trick: || {
            deed(|stage, action| {
                let truth = stage.perform(action)?;
                let is_client = matches!(action, Action::CreateClient { .. });
                let lies = is_client && is_short_of_memory(&truth);
                Ok(if lies { refused("ExceedsMaxSupportedClients") } else { truth })
            })
        },
    },
    Sabotage {
        id: "who-ran-short-keeps-a-place",
        breaks: Promise::ServerLimit,
        what: "whoever had no room for a server's memory is told for ever that there are too many",
        trick: || {
            let mut ran_short = false;
            deed(move |stage, action| {
                let is_server = matches!(action, Action::CreateServer { .. });
                if ran_short && is_server {
                    return Ok(refused("ExceedsMaxSupportedServers"));
                }
                let truth = stage.perform(action)?;
                ran_short |= is_server && is_short_of_memory(&truth);
                Ok(truth)
            })
        },
    },
    Sabotage {
        id: "growth-that-runs-short-crashes",
        breaks: Promise::NeverCrashes,
        what: "a client that has no room to grow panics",
        trick: || {
            deed(|stage, action| {
                let truth = stage.perform(action)?;
                if let Action::LoanRequest { len: ..SHORTEST_IMPOSSIBLE, .. } = action
                    && refuses(&truth, "OutOfMemory")
                {
                    return Err(HostError::Crashed("panicked: no room to grow".to_owned()));
                }
                Ok(truth)
            })
        },
    },
];

/// Whether a port was refused for want of memory.
fn is_short_of_memory(observation: &Observation) -> bool {
    refuses(observation, "UnableToCreateDataSegment")
}
