//! What is said of what was seen, and of a breach, to a person.

use super::{Expected, Prediction, Promise, judge::Breach};
use crate::actor::{ListedPorts, Observation, Received, presence::Presence};

/// One line for a person.
#[must_use]
pub fn summary(observation: &Observation) -> String {
    match observation {
        Observation::Done => "ok".to_owned(),
        // Not what only some releases tell: releases are compared by these lines.
        Observation::PortCreated { hint, backpressure, .. } => {
            let full = backpressure.map(|strategy| format!(", {strategy:?}")).unwrap_or_default();
            format!("a port with initial_max_slice_len {hint}{full}")
        }
        Observation::Loaned { len, .. } => format!("a loan of {len}"),
        Observation::Sent { servers } => format!("sent to {servers} server(s)"),
        Observation::Received(received) => of_message(received),
        Observation::Nothing => "nothing to receive".to_owned(),
        Observation::Pending { connected, has_response, servers } => {
            format!("connected {connected}, has_response {has_response}, {servers} server(s)")
        }
        Observation::Active { connected, hint } => {
            format!("connected {connected}, disconnect hint {hint}")
        }
        Observation::Server { has_requests } => format!("has_requests {has_requests}"),
        Observation::Service { clients, servers, listed, .. } => {
            let listed = listed.as_ref().filter(|listed| {
                (listed.clients.len(), listed.servers.len()) != (*clients, *servers)
            });
            let listed = listed.map_or_else(String::new, |listed| {
                format!(", {} and {} listed", listed.clients.len(), listed.servers.len())
            });
            format!("{clients} client(s), {servers} server(s){listed}")
        }
        Observation::CleanedUp { dead, cleaned, failed, left } => {
            format!("{dead} dead node(s), {cleaned} cleaned up, {failed} not, {left} left")
        }
        Observation::Refused(error) => error.clone(),
    }
}

pub(super) fn of_message(received: &Received) -> String {
    match received.header {
        Some(id) => format!("message {id} of {}", received.len),
        None => format!("a message of {} whose user header nobody wrote", received.len),
    }
}

/// The port that is listed otherwise than it is.
pub(super) fn wrongly_described(prediction: &Prediction, listed: Option<&ListedPorts>) -> Breach {
    let found = prediction.allowed.iter().find_map(|expected| match (expected, listed) {
        (Expected::Service { clients, servers, .. }, Some(listed)) => clients
            .wrongly_described(&listed.clients)
            .or_else(|| servers.wrongly_described(&listed.servers)),
        _ => None,
    });
    let (expected, observed) =
        found.map(|(details, port)| (details.to_string(), port.to_string())).unwrap_or_default();
    Breach { promise: Promise::ListedPortsAreDescribed, expected, observed }
}

/// The service, or one of its nodes, that is listed otherwise than it is.
pub(super) fn wrongly_present(prediction: &Prediction, presence: Option<&Presence>) -> Breach {
    let expected = prediction.allowed.iter().find_map(|expected| match expected {
        Expected::Service { nodes, .. } => Some(nodes),
        _ => None,
    });
    let expected = expected.map_or_else(String::new, |nodes| {
        let nodes = if nodes.start() == nodes.end() {
            nodes.start().to_string()
        } else {
            format!("{} to {}", nodes.start(), nodes.end())
        };
        format!("a service that exists and is listed once, with {nodes} node(s)")
    });
    let observed = presence.map(of_presence).unwrap_or_default();
    Breach { promise: Promise::ServiceIsListedWithItsNodes, expected, observed }
}

pub(super) fn of_presence(presence: &Presence) -> String {
    let Presence { exists, listed, nodes, dead, misstated, in_details, at_service } = presence;
    let in_details =
        in_details.map_or_else(String::new, |count| format!(", {count} in its details"));
    let at_service =
        at_service.map_or_else(String::new, |count| format!(", {count} at the service"));
    let dead = if *dead == 0 { String::new() } else { format!(", {dead} dead") };
    let misstated = match misstated {
        0 => String::new(),
        count => format!(", Node::state_of denies {count}"),
    };
    let exists = if *exists { "exists" } else { "does not exist" };
    format!(
        "a service that {exists} and is listed {listed} time(s), {nodes} node(s){in_details}{at_service}{dead}{misstated}"
    )
}
