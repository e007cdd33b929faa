//! Limits that are one too high or one too low, and counts that are wrong.

use super::{
    Sabotage, Trick, lie, refused, refuses,
    scene::{Message, Scene},
};
use crate::{
    actor::{Action, Observation, PortId},
    model::Promise,
    scenario::Backpressure,
};

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "client-one-too-many",
        breaks: Promise::ClientLimit,
        what: "one client more than the limit is created",
        trick: || instead_of("ExceedsMaxSupportedClients", new_port),
    },
    Sabotage {
        id: "client-one-too-few",
        breaks: Promise::ClientLimit,
        what: "the last client within the limit is refused",
        trick: || {
            too_few("ExceedsMaxSupportedClients", |scene, action| {
                matches!(action, Action::CreateClient { .. }).then(|| {
                    let clients = scene.clients.values().filter(|port| port.exists).count();
                    (clients, scene.settings.max_clients)
                })
            })
        },
    },
    Sabotage {
        id: "server-one-too-many",
        breaks: Promise::ServerLimit,
        what: "one server more than the limit is created",
        trick: || instead_of("ExceedsMaxSupportedServers", new_port),
    },
    Sabotage {
        id: "server-one-too-few",
        breaks: Promise::ServerLimit,
        what: "the last server within the limit is refused",
        trick: || {
            too_few("ExceedsMaxSupportedServers", |scene, action| {
                matches!(action, Action::CreateServer { .. }).then(|| {
                    let servers = scene.servers.values().filter(|port| port.exists).count();
                    (servers, scene.settings.max_servers)
                })
            })
        },
    },
    Sabotage {
        id: "node-one-too-many",
        breaks: Promise::NodeLimit,
        what: "one node more than the limit opens the service",
        trick: || instead_of("ExceedsMaxNumberOfNodes", |_| Observation::Done),
    },
    Sabotage {
        id: "node-one-too-few",
        breaks: Promise::NodeLimit,
        what: "the last node within the limit may not open the service",
        trick: || {
            too_few("ExceedsMaxNumberOfNodes", |scene, action| match action {
                Action::Join { creates: false, .. } => {
                    Some((scene.participants.len(), scene.settings.max_nodes))
                }
                _ => None,
            })
        },
    },
    Sabotage {
        id: "active-request-one-too-many",
        breaks: Promise::ActiveRequestLimit,
        what: "one active request more than the limit is sent",
        trick: || instead_of("ExceedsMaxActiveRequests", |_| Observation::Sent { servers: 1 }),
    },
    Sabotage {
        id: "active-request-one-too-few",
        breaks: Promise::ActiveRequestLimit,
        what: "the last active request within the limit is refused",
        trick: || {
            too_few("ExceedsMaxActiveRequests", |scene, action| {
                let Action::SendRequest { request, .. } = action else { return None };
                let client = scene.loans.get(request)?.from;
                let active = scene.pending.values().filter(|other| **other == client).count();
                Some((active, scene.settings.max_active_requests_per_client))
            })
        },
    },
    Sabotage {
        id: "borrow-limit-hidden",
        breaks: Promise::BorrowLimit,
        what: "a receive that exceeds the borrow limit looks like an empty buffer",
        trick: || instead_of("ExceedsMaxBorrows", |_| Observation::Nothing),
    },
    Sabotage {
        id: "borrow-one-too-many",
        breaks: Promise::BorrowLimit,
        what: "one response more than the limit is borrowed",
        trick: || {
            lie(|scene, action, truth| {
                let Action::ReceiveResponse { pending, .. } = action else { return truth };
                let limit = scene.settings.max_borrowed_responses_per_pending_response;
                let is_borrowed_out = |message: &&Message| {
                    let held = scene.held.values();
                    message.waits_at.contains(pending)
                        && held.filter(|held| **held == (*pending, message.origin)).count() >= limit
                };
                match scene.responses.iter().find(is_borrowed_out) {
                    Some(message) if refuses(&truth, "ExceedsMaxBorrows") => message.arrives(),
                    _ => truth,
                }
            })
        },
    },
    Sabotage {
        id: "borrow-one-too-few",
        breaks: Promise::BorrowLimit,
        what: "the last response within the borrow limit is refused",
        trick: || {
            too_few("ExceedsMaxBorrows", |scene, action| {
                let Action::ReceiveResponse { pending, .. } = action else { return None };
                let held = scene.held.values().filter(|(of, _)| of == pending).count();
                Some((held, scene.settings.max_borrowed_responses_per_pending_response))
            })
        },
    },
    Sabotage {
        id: "servers-miscounted-by-send",
        breaks: Promise::SendReachesEveryServer,
        what: "a request is said to have reached one server more",
        trick: || {
            lie(|_, _, truth| match truth {
                Observation::Sent { servers } => Observation::Sent { servers: servers + 1 },
                truth => truth,
            })
        },
    },
    Sabotage {
        id: "servers-miscounted-throughout",
        breaks: Promise::SendReachesEveryServer,
        what: "a request is said, and goes on to be said, to have reached one server more",
        trick: || {
            lie(|_, _, truth| match truth {
                Observation::Sent { servers } => Observation::Sent { servers: servers + 1 },
                Observation::Pending { connected, has_response, servers } => {
                    Observation::Pending { connected, has_response, servers: servers + 1 }
                }
                truth => truth,
            })
        },
    },
    Sabotage {
        id: "servers-forgotten-by-pending",
        breaks: Promise::SendReachesEveryServer,
        what: "number_of_server_connections of a pending response is zero",
        trick: || {
            lie(|_, _, truth| match truth {
                Observation::Pending { connected, has_response, .. } => {
                    Observation::Pending { connected, has_response, servers: 0 }
                }
                truth => truth,
            })
        },
    },
    Sabotage {
        id: "dropped-client-counted",
        breaks: Promise::PortCounts,
        what: "a client that was dropped is still counted",
        trick: || count(|scene| (gone(scene.clients.values().map(|port| port.exists)), 0)),
    },
    Sabotage {
        id: "dropped-server-counted",
        breaks: Promise::PortCounts,
        what: "a server that was dropped is still counted",
        trick: || count(|scene| (0, gone(scene.servers.values().map(|port| port.exists)))),
    },
    Sabotage {
        id: "last-client-counted-on",
        breaks: Promise::PortCounts,
        what: "a client is counted when all are gone",
        trick: || {
            count(|scene| {
                let exists = scene.clients.values().any(|port| port.exists);
                (usize::from(!exists && !scene.clients.is_empty()), 0)
            })
        },
    },
    Sabotage {
        id: "client-listed-twice",
        breaks: Promise::PortCounts,
        what: "a client is listed twice",
        trick: || {
            lie(|_, _, mut truth| {
                if let Observation::Service { listed: Some(listed), .. } = &mut truth
                    && let Some(&first) = listed.clients.first()
                {
                    listed.clients.insert(0, first);
                }
                truth
            })
        },
    },
    Sabotage {
        id: "server-not-listed",
        breaks: Promise::PortCounts,
        what: "the newest server is not listed",
        trick: || {
            lie(|_, _, mut truth| {
                if let Observation::Service { listed: Some(listed), .. } = &mut truth {
                    listed.servers.pop();
                }
                truth
            })
        },
    },
    Sabotage {
        id: "listed-length-one-longer",
        breaks: Promise::ListedPortsAreDescribed,
        what: "a client is listed with a max_slice_len one longer than it is",
        trick: || {
            lie(|_, _, mut truth| {
                if let Observation::Service { listed: Some(listed), .. } = &mut truth {
                    listed.clients.iter_mut().for_each(|port| port.longest += 1);
                }
                truth
            })
        },
    },
    Sabotage {
        id: "listed-server-cannot-grow",
        breaks: Promise::ListedPortsAreDescribed,
        what: "every server is listed as static",
        trick: || {
            lie(|_, _, mut truth| {
                if let Observation::Service { listed: Some(listed), .. } = &mut truth {
                    listed.servers.iter_mut().for_each(|port| port.is_dynamic = false);
                }
                truth
            })
        },
    },
    Sabotage {
        id: "other-backpressure",
        breaks: Promise::SettingsAreKept,
        what: "a port reports the other strategy for full buffers",
        trick: || {
            lie(|_, _, mut truth| {
                if let Observation::PortCreated { backpressure: Some(told), .. } = &mut truth {
                    *told = match told {
                        Backpressure::DiscardData | Backpressure::DiscardDataAndFail => {
                            Backpressure::RetryUntilDelivered
                        }
                        Backpressure::RetryUntilDelivered => Backpressure::DiscardData,
                    };
                }
                truth
            })
        },
    },
    Sabotage {
        id: "hint-one-longer",
        breaks: Promise::SettingsAreKept,
        what: "a port reports a longer initial_max_slice_len than it was created with",
        trick: || {
            lie(|_, _, mut truth| {
                if let Observation::PortCreated { hint, .. } = &mut truth {
                    *hint += 1;
                }
                truth
            })
        },
    },
    Sabotage {
        id: "setting-one-higher",
        breaks: Promise::SettingsAreKept,
        what: "the service reports one loaned request more than it was created with",
        trick: || {
            lie(|_, _, mut truth| {
                if let Observation::Service { settings, .. } = &mut truth {
                    settings.limits[4] += 1;
                }
                truth
            })
        },
    },
    Sabotage {
        id: "setting-always-off",
        breaks: Promise::SettingsAreKept,
        what: "the service reports that it has no fire-and-forget requests",
        trick: || {
            lie(|_, _, mut truth| {
                if let Observation::Service { settings, .. } = &mut truth {
                    settings.flags[2] = false;
                }
                truth
            })
        },
    },
];

/// Grants what was refused with this error.
fn instead_of(error: &'static str, grant: fn(&Action) -> Observation) -> Box<dyn Trick> {
    lie(move |_, action, truth| if refuses(&truth, error) { grant(action) } else { truth })
}

/// Refuses with this error what reaches the limit; `count` says how many there are and how
/// many there may be.
fn too_few(
    error: &'static str,
    count: fn(&Scene, &Action) -> Option<(usize, usize)>,
) -> Box<dyn Trick> {
    lie(move |scene, action, truth| match count(scene, action) {
        Some((exist, limit))
            if exist + 1 == limit
                && !matches!(truth, Observation::Refused(_) | Observation::Nothing) =>
        {
            refused(error)
        }
        _ => truth,
    })
}

fn new_port(action: &Action) -> Observation {
    let hint = match action {
        Action::CreateClient { hint, .. } | Action::CreateServer { hint, .. } => *hint,
        _ => 0,
    };
    Observation::PortCreated { id: PortId(1), hint, backpressure: None, active: None }
}

fn gone(exist: impl Iterator<Item = bool>) -> usize {
    exist.filter(|exists| !exists).count()
}

/// Counts so many clients and servers more.
fn count(more: fn(&Scene) -> (usize, usize)) -> Box<dyn Trick> {
    lie(move |scene, _, truth| match truth {
        Observation::Service { clients, servers, settings, listed, presence } => {
            let (more_clients, more_servers) = more(scene);
            Observation::Service {
                clients: clients + more_clients,
                servers: servers + more_servers,
                settings,
                listed,
                presence,
            }
        }
        truth => truth,
    })
}
