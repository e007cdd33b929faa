//! What iceoryx2 may do with an action, and which promise says so.

use std::ops::RangeInclusive;

use litemap::LiteMap;
use smallvec::{SmallVec, smallvec};

use super::{
    Active, Expected, GROWTHS, Model, Port, PortDetails, Ports, Prediction, Promise, QueuedRequest,
    SHORTEST_IMPOSSIBLE, Switch, TargetState,
};
use crate::{
    actor::{Action, Key},
    scenario::Strategy,
};

pub(super) fn must(promise: Promise, expected: Expected) -> Prediction {
    Prediction { promise, allowed: smallvec![expected], tolerated: Vec::new() }
}

impl Model {
    /// What may be observed when `action` is performed now.
    #[must_use]
    pub fn predict(&self, action: &Action) -> Prediction {
        match *action {
            Action::Join { how, require, .. } => self.predict_join(how, require),
            Action::CreateClient { hint, active, .. } => {
                let exist = self.existing_clients().count();
                if active.is_some_and(|own| own > self.settings.max_active_requests_per_client) {
                    return self.too_many_active(*exist.end());
                }
                let created = Expected::PortCreated {
                    hint,
                    backpressure: self.settings.client_backpressure.strategy(),
                    active: active.or(Some(self.settings.max_active_requests_per_client)),
                };
                port_creation(
                    &exist,
                    self.settings.max_clients,
                    created,
                    Promise::ClientLimit,
                    "ExceedsMaxSupportedClients",
                )
            }
            Action::CreateServer { hint, .. } => port_creation(
                &self.existing_servers().count(),
                self.settings.max_servers,
                Expected::PortCreated {
                    hint,
                    backpressure: self.settings.server_backpressure.strategy(),
                    active: None,
                },
                Promise::ServerLimit,
                "ExceedsMaxSupportedServers",
            ),
            Action::LoanRequest { client, len, .. } => {
                let loaned = self.loaned_requests_of(client);
                let limit = self.settings.max_loaned_requests;
                let port = &self.clients[&client];
                let lacks = self.may_lack_chunks(client, port);
                let mut prediction = predict_loan(port, len, loaned, limit, lacks);
                self.tolerate_missing_chunks(client, port, len, &mut prediction);
                self.tolerate_failed_growth(client, port, len, &mut prediction);
                prediction
            }
            Action::LoanResponse { active, len, .. } => {
                let Active { server: server_key, failed_loans, .. } = self.active[&active];
                let server = &self.servers[&server_key];
                let loaned = self.loaned_responses_of(active);
                let lacks = self.may_lack_chunks(server_key, server);
                let mut prediction = predict_loan(server, len, loaned, server.loans, lacks);
                self.tolerate_missing_chunks(server_key, server, len, &mut prediction);
                self.tolerate_failed_growth(server_key, server, len, &mut prediction);
                let quirk = Switch::FailedLoanKeepsCount;
                if loaned + failed_loans >= server.loans && self.quirks.contains(quirk) {
                    prediction.tolerated.push((quirk, Expected::Refused("ExceedsMaxLoans")));
                }
                let quirk = Switch::OrphanedLoansCount;
                if self.quirks.contains(quirk) && self.orphans_may_fill(server_key, server) {
                    prediction.tolerated.push((quirk, Expected::Refused("ExceedsMaxLoans")));
                }
                prediction
            }
            Action::SendRequest { request, .. } => self.predict_send_request(request),
            Action::ReceiveRequest { server, .. } => self.predict_receive_request(server),
            Action::ReceiveResponse { pending, .. } => self.predict_receive_response(pending),
            Action::InspectPending { pending } => self.predict_pending(pending),
            Action::InspectActive { active } => self.predict_active(active),
            Action::InspectServer { server } => self.predict_server(server),
            Action::InspectService { .. } => self.predict_service(),
            Action::Kill { victim, .. } => self.predict_death(victim),
            Action::KillAmid { victim, ref doing, .. } => self.predict_death_amid(victim, doing),
            Action::SendResponse { response } => self.predict_send_response(response),
            Action::UpdateClient { .. }
            | Action::UpdateServer { .. }
            | Action::HintDisconnect { .. }
            | Action::Die { .. }
            | Action::Leave { .. }
            | Action::DropClient { .. }
            | Action::DropServer { .. }
            | Action::DropRequest { .. }
            | Action::DropLoanedResponse { .. }
            | Action::DropPending { .. }
            | Action::DropActive { .. }
            | Action::DropResponse { .. } => must(Promise::NeverCrashes, Expected::Done),
        }
    }

    /// A client asks for more active requests than the service has, and perhaps also for
    /// one client too many; which is named first is not promised.
    fn too_many_active(&self, clients: usize) -> Prediction {
        let mut prediction = must(
            Promise::ActiveRequestLimit,
            Expected::Refused("MaxActiveRequestsExceedsMaxSupportedActiveRequestsOfService"),
        );
        if clients >= self.settings.max_clients {
            prediction.allowed.push(Expected::Refused("ExceedsMaxSupportedClients"));
        }
        prediction
    }

    /// With the quirks, a port that should have a chunk for every loan may have none.
    fn tolerate_missing_chunks(&self, key: Key, port: &Port, len: usize, to: &mut Prediction) {
        let mut tolerate = |quirk, applies: &dyn Fn() -> bool| {
            if self.quirks.contains(quirk) && applies() {
                to.tolerated.push((quirk, Expected::Refused("OutOfMemory")));
            }
        };
        tolerate(Switch::AlignedPortLosesChunks, &|| self.may_have_lost_chunks(key, port, len));
        tolerate(Switch::OwnActiveLimitTakesChunks, &|| self.may_exceed_own_limit(key, port));
        tolerate(Switch::UndeliveredRequestTakesChunk, &|| {
            port.is_client() && self.may_exceed_counted(key)
        });
        tolerate(Switch::OldResponsesExhaustChunks, &|| self.may_be_full_of_unread(key, port));
    }

    /// With the quirks, a loan no machine has memory for is refused with another error, and
    /// whoever asked for it cannot grow any more.
    fn tolerate_failed_growth(&self, key: Key, port: &Port, len: usize, to: &mut Prediction) {
        let mut tolerate = |quirk, error| {
            if self.quirks.contains(quirk) {
                to.tolerated.push((quirk, Expected::Refused(error)));
            }
        };
        if !port.strategy.is_dynamic() || len <= port.longest {
            return;
        }
        if len >= SHORTEST_IMPOSSIBLE {
            tolerate(Switch::ImpossibleLoanIsInternalFailure, "InternalFailure");
        } else if self.starved.contains(&key) || self.short_growths.contains(&key) {
            tolerate(Switch::FailedGrowthSticks, "OutOfMemory");
            if self.quirks.contains(Switch::ImpossibleLoanIsInternalFailure) {
                tolerate(Switch::FailedGrowthSticks, "InternalFailure");
            }
        }
    }

    fn predict_service(&self) -> Prediction {
        let present = self.participants.values().filter(|participant| participant.present);
        // Who has left is a node as long as their ports need one.
        let nodes = present.count()..=self.participants.len();
        let expected = |clients, servers| Expected::Service {
            nodes: nodes.clone(),
            clients: Box::new(clients),
            servers: Box::new(servers),
            settings: Box::new(self.settings.clone()),
        };
        let (mut clients, mut servers) = (self.existing_clients(), self.existing_servers());
        let mut prediction = must(Promise::PortCounts, expected(clients.clone(), servers.clone()));
        let quirk = Switch::ListedLengthIgnoresGrowth;
        if self.quirks.contains(quirk) {
            let hints = |details: &mut Ports, ports: &LiteMap<Key, Port>| {
                for details in &mut details.sure {
                    if let Some(port) = ports.values().find(|port| port.id == details.id) {
                        details.longest = port.hint..=port.hint;
                    }
                }
            };
            hints(&mut clients, &self.clients);
            hints(&mut servers, &self.servers);
            prediction.tolerated.push((quirk, expected(clients, servers)));
        }
        prediction
    }

    fn existing_clients(&self) -> Ports {
        ports(&self.clients, |key| self.client_lives(key))
    }

    fn existing_servers(&self) -> Ports {
        ports(&self.servers, |key| self.server_lives(key))
    }

    fn predict_pending(&self, key: Key) -> Prediction {
        let pending = &self.pending[&key];
        let state = |state| pending.targets.values().any(|target| target.state == state);
        let connected = if state(TargetState::Open) {
            Some(true)
        } else if state(TargetState::Unspecified) {
            None
        } else {
            Some(false)
        };
        let queues = || pending.targets.values().flat_map(|target| &target.queue);
        let has_response = if queues().next().is_none() {
            Some(false)
        } else if queues().any(|response| response.certain) {
            Some(true)
        } else {
            None
        };
        let servers = pending.servers;
        let mut prediction = must(
            Promise::PendingResponseConnection,
            Expected::Pending { connected, has_response, servers },
        );
        // Every combination of what the quirks make of either answer.
        let knows = |switch| self.quirks.contains(switch);
        let stays = if pending.discarded && knows(Switch::UndeliveredRequestIsConnected) {
            Switch::UndeliveredRequestIsConnected
        } else {
            Switch::GoneServerStaysConnected
        };
        let was_killed = pending.targets.keys().any(|server| self.killed.contains(server));
        let stays = if was_killed && knows(Switch::KilledPeerStaysConnected) {
            Switch::KilledPeerStaysConnected
        } else {
            stays
        };
        let gone = pending.haunted || state(TargetState::Abandoned);
        let may_stay = connected == Some(false)
            && knows(stays)
            && (gone || stays != Switch::GoneServerStaysConnected);
        let announces = Switch::OldResponsesAreAnnounced;
        let stale = self.stale.iter().any(|(client, _)| *client == pending.client);
        let is_there = pending.targets.values().any(|target| self.has_firm(&target.queue));
        let risk = queues().find_map(|response| self.known_risk(response));
        let denies = risk.filter(|_| has_response == Some(true) && !is_there);
        let may_announce = has_response == Some(false) && stale && knows(announces);
        let mut tolerate = |switch, connected, has_response| {
            let expected = Expected::Pending { connected, has_response, servers };
            prediction.tolerated.push((switch, expected));
        };
        if may_stay {
            tolerate(stays, Some(true), has_response);
        }
        if let Some(switch) = denies.or(may_announce.then_some(announces)) {
            tolerate(switch, connected, None);
            if may_stay {
                tolerate(switch, None, None);
            }
        }
        prediction
    }

    fn predict_active(&self, key: Key) -> Prediction {
        let Active { client, pending: asked, .. } = self.active[&key];
        let pending = self.pending.get(&asked);
        // Once the pending response is gone its hint means nothing, but there is none that was
        // never given.
        let hint = match pending {
            Some(pending) => Some(pending.hinted),
            None => (!self.hinted_and_gone.contains(&asked)).then_some(false),
        };
        let mut prediction = must(
            Promise::ActiveRequestConnection,
            Expected::Active { connected: Some(pending.is_some()), hint },
        );
        let quirk = Switch::KilledPeerStaysConnected;
        if self.killed.contains(&client) && self.quirks.contains(quirk) {
            let stays = Expected::Active { connected: Some(true), hint: None };
            prediction.tolerated.push((quirk, stays));
        }
        prediction
    }

    fn predict_server(&self, server: Key) -> Prediction {
        let delivers_all = self.settings.enable_fire_and_forget_requests;
        let requests = || {
            let queues = self.in_flight.iter().filter(|((_, to), _)| *to == server);
            queues.flat_map(|(_, queue)| queue)
        };
        let is_sure = |request: &&QueuedRequest| {
            request.certain && (delivers_all || self.pending.contains_key(&request.pending))
        };
        let has_requests = if requests().any(|request| is_sure(&request)) {
            Some(true)
        } else if requests().any(|request| delivers_all || !request.orphan) {
            None
        } else {
            // Without fire-and-forget those of a client that is gone are none.
            Some(false)
        };
        let mut prediction = must(Promise::HasRequestsIsTrue, Expected::Server { has_requests });
        let Some(quirk) = self.loses_requests_of_gone_clients() else { return prediction };
        // A receive that meets one that is lost ends there: others may be left, lost as well.
        if delivers_all && self.has_discarded(server) {
            let announced = Expected::Server { has_requests: Some(true) };
            prediction.tolerated.push((quirk, announced));
        }
        if requests().any(|request| request.orphan)
            && !requests().any(|request| !request.orphan && is_sure(&request))
        {
            prediction.tolerated.push((quirk, Expected::Server { has_requests: None }));
        }
        prediction
    }
}

/// The ports that have a handle, and those that exist only through what came out of them.
fn ports(all: &LiteMap<Key, Port>, lives: impl Fn(Key) -> bool) -> Ports {
    let lingers = |(key, port): &(&Key, &Port)| !port.handle && lives(**key);
    Ports {
        sure: all.values().filter(|port| port.handle).map(Port::details).collect(),
        lingering: all.iter().filter(lingers).map(|(_, port)| port.id).collect(),
    }
}

impl Port {
    /// How it has to be listed while its handle exists. By how much it grows is its own
    /// business, so there is no upper end once it has.
    fn details(&self) -> PortDetails {
        let has_grown = self.longest > self.hint;
        PortDetails {
            id: self.id,
            longest: if has_grown { self.longest..=usize::MAX } else { self.hint..=self.hint },
            is_dynamic: self.strategy.is_dynamic(),
            active: self.is_client().then_some(self.active),
        }
    }
}

fn port_creation(
    exist: &RangeInclusive<usize>,
    limit: usize,
    created: Expected,
    promise: Promise,
    error: &'static str,
) -> Prediction {
    let allowed = if *exist.start() >= limit {
        smallvec![Expected::Refused(error)]
    } else if *exist.end() >= limit {
        smallvec![created, Expected::Refused(error)]
    } else {
        smallvec![created]
    };
    Prediction { promise, allowed, tolerated: Vec::new() }
}

fn predict_loan(
    port: &Port,
    len: usize,
    loaned: usize,
    limit: usize,
    may_lack_chunks: bool,
) -> Prediction {
    let too_many = loaned >= limit;
    let mut allowed = SmallVec::new();
    let promise = if port.strategy == Strategy::Static && len > port.hint {
        allowed.push(Expected::Refused("ExceedsMaxLoanSize"));
        Promise::StaticRefusesLongerThanHint
    } else if len >= SHORTEST_IMPOSSIBLE {
        allowed.push(Expected::Refused("OutOfMemory"));
        Promise::ImpossibleLoanIsOutOfMemory
    } else if too_many {
        Promise::LoanLimit
    } else {
        allowed.push(Expected::Loaned { len });
        if may_lack_chunks {
            allowed.push(Expected::Refused("OutOfMemory"));
        }
        if len <= port.longest {
            Promise::LoanWithinLimitsSucceeds
        } else {
            // With PowerOfTwo there are no more growths than a length has bits.
            if port.strategy == Strategy::BestFit && port.growths() >= GROWTHS {
                allowed.push(Expected::Refused("OutOfMemory"));
                return Prediction {
                    promise: Promise::GrowthEndsInOutOfMemory,
                    allowed,
                    tolerated: Vec::new(),
                };
            }
            Promise::HintIsOnlyAHint
        }
    };
    if too_many {
        // Which of two violated limits is named first is not promised.
        allowed.push(Expected::Refused("ExceedsMaxLoans"));
    }
    Prediction { promise, allowed, tolerated: Vec::new() }
}
