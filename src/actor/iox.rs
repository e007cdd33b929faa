//! Performs actions on the real iceoryx2, in this process.

use std::path::Path;

use iceoryx2::{port::update_connections::UpdateConnections, prelude::*};
use litemap::LiteMap;

use super::{
    Action, Damage, Host, HostError, Key, Observation, PortId, Received, ReportedSettings,
    version::{self, backpressure},
};
use crate::{
    model::SHORTEST_IMPOSSIBLE,
    payload::{self, MessageId},
    sandbox::census,
    scenario::{LoanForm, OpenMode, PayloadType, Requirement, Settings, SettingsVia, Strategy},
};

/// Keeps iceoryx2's own warnings out of the output; they would come by the thousand.
pub fn silence() {
    set_log_level(LogLevel::Fatal);
}

/// Objects that other processes can reach.
pub type Ipc = InProcess<ipc::Service>;

/// All objects of one run that live in this process.
#[derive(Debug)]
pub struct InProcess<S: Service> {
    config: Config,
    service: ServiceName,
    settings: Settings,
    participants: LiteMap<Key, (Node<S>, version::Factory<S>)>,
    clients: LiteMap<Key, version::Client<S>>,
    servers: LiteMap<Key, version::Server<S>>,
    requests: LiteMap<Key, Written<version::RequestMut<S>>>,
    pending: LiteMap<Key, Written<version::PendingResponse<S>>>,
    active: LiteMap<Key, Written<version::ActiveRequest<S>>>,
    loaned: LiteMap<Key, Written<version::ResponseMut<S>>>,
    responses: LiteMap<Key, Written<version::Response<S>>>,
}

/// Something with a payload, and what the payload is.
#[derive(Debug)]
struct Written<T> {
    object: T,
    /// `None` if it was damaged on arrival, which has been reported already.
    id: Option<MessageId>,
}

fn refused(error: impl std::fmt::Debug) -> Observation {
    Observation::Refused(format!("{error:?}"))
}

fn done<E: std::fmt::Debug>(result: Result<(), E>) -> Observation {
    result.map_or_else(refused, |()| Observation::Done)
}

/// The object a resolved action names. That it exists is the model's business.
fn object<T>(map: &LiteMap<Key, T>, key: Key) -> Result<&T, HostError> {
    map.get(&key).ok_or_else(|| HostError::Harness(format!("{key} does not exist")))
}

fn take<T>(map: &mut LiteMap<Key, T>, key: Key) -> Result<T, HostError> {
    map.remove(&key).ok_or_else(|| HostError::Harness(format!("{key} does not exist")))
}

fn forget<T>(map: &mut LiteMap<Key, T>, key: Key) -> Result<Observation, HostError> {
    take(map, key).map(|object| {
        drop(object);
        Observation::Done
    })
}

fn allocation_strategy(strategy: Strategy) -> AllocationStrategy {
    match strategy {
        Strategy::Static => AllocationStrategy::Static,
        Strategy::BestFit => AllocationStrategy::BestFit,
        Strategy::PowerOfTwo => AllocationStrategy::PowerOfTwo,
    }
}

/// Loans as the form demands and writes what was loaned. Requests and responses have
/// the same methods and no trait in common.
///
/// A loan of another length than asked for, or of one no machine has, is not touched:
/// the observation says what was wrong with it, and nothing is kept.
macro_rules! loan {
    ($from:expr, $id:expr, $len:expr, $form:expr) => {{
        let sane = |len: usize| len == $len && len < SHORTEST_IMPOSSIBLE;
        let written = match $form {
            LoanForm::Default => $from.loan_slice($len).map(|mut loan| {
                if !sane(loan.payload().len()) {
                    return Err(loan.payload().len());
                }
                let not_default = loan.payload().iter().position(|&byte| byte != 0);
                payload::fill($id, loan.payload_mut());
                Ok((loan, not_default))
            }),
            LoanForm::WriteFromFn => $from.loan_slice_uninit($len).map(|loan| {
                if !sane(loan.payload().len()) {
                    return Err(loan.payload().len());
                }
                Ok((loan.write_from_fn(|offset| payload::byte_at($id, offset)), None))
            }),
            LoanForm::WriteFromSlice => $from.loan_slice_uninit($len).map(|loan| {
                if !sane(loan.payload().len()) {
                    return Err(loan.payload().len());
                }
                let mut bytes = vec![0; $len];
                payload::fill($id, &mut bytes);
                Ok((loan.write_from_slice(&bytes), None))
            }),
        };
        match written {
            Err(error) => (None, refused(error)),
            Ok(Err(len)) => (None, Observation::Loaned { len, not_default: None, mismatch: None }),
            Ok(Ok((mut object, not_default))) => {
                *object.user_header_mut() = $id.seal();
                let observation = Observation::Loaned {
                    len: object.payload().len(),
                    not_default,
                    mismatch: payload::check($id, object.payload()).err(),
                };
                (Some(Written { object, id: Some($id) }), observation)
            }
        }
    }};
}

/// Opens the service with other payload types and closes it again: success would be
/// the broken promise. `open` is implemented per payload type, not generically.
macro_rules! open_as {
    ($self:ident, $node:ident, $request:ty, $response:ty) => {
        Err($node
            .service_builder(&$self.service)
            .request_response::<$request, $response>()
            .request_user_header::<u64>()
            .response_user_header::<u64>()
            .open()
            .map_or_else(|error| format!("{error:?}"), |_| "Opened".to_owned()))
    };
}

fn received(
    header: u64,
    bytes: &[u8],
    origin: PortId,
    header_origin: PortId,
    elements: u64,
) -> (Option<MessageId>, Observation) {
    let header = MessageId::unseal(header);
    let mismatch = header.and_then(|id| payload::check(id, bytes).err());
    let id = header.filter(|_| mismatch.is_none());
    let received = Received { header, len: bytes.len(), mismatch, origin, header_origin, elements };
    (id, Observation::Received(received))
}

impl<S: Service> InProcess<S> {
    /// A host without any object, in the domain of a config file.
    ///
    /// # Errors
    /// If iceoryx2 refuses the config file or the service name.
    pub fn new(config: &Path, service: &str, settings: Settings) -> Result<Self, HostError> {
        let harness = |what: String| move |e: String| HostError::Harness(format!("{what}: {e}"));
        let file = FilePath::new(config.as_os_str().as_encoded_bytes())
            .map_err(|e| harness(format!("config path {}", config.display()))(format!("{e:?}")))?;
        let config = Config::from_file(&file)
            .map_err(|e| harness(format!("config file {file}"))(format!("{e:?}")))?;
        let service = ServiceName::new(service)
            .map_err(|e| harness(format!("service name {service}"))(format!("{e:?}")))?;
        Ok(Self {
            config,
            service,
            settings,
            participants: LiteMap::new(),
            clients: LiteMap::new(),
            servers: LiteMap::new(),
            requests: LiteMap::new(),
            pending: LiteMap::new(),
            active: LiteMap::new(),
            loaned: LiteMap::new(),
            responses: LiteMap::new(),
        })
    }

    fn join(
        &mut self,
        new: Key,
        how: OpenMode,
        require: Option<Requirement>,
        creates: bool,
    ) -> Observation {
        let node = match NodeBuilder::new().config(&self.config).create::<S>() {
            Ok(node) => node,
            Err(error) => return refused(error),
        };
        match self.open(&node, how, require, creates) {
            Ok(factory) => {
                self.participants.insert(new, (node, factory));
                Observation::Done
            }
            Err(error) => Observation::Refused(error),
        }
    }

    fn open(
        &self,
        node: &Node<S>,
        how: OpenMode,
        require: Option<Requirement>,
        creates: bool,
    ) -> Result<version::Factory<S>, String> {
        match require {
            Some(Requirement::RequestPayload(PayloadType::U8)) => {
                return open_as!(self, node, u8, [u8]);
            }
            Some(Requirement::RequestPayload(PayloadType::SliceOfU16)) => {
                return open_as!(self, node, [u16], [u8]);
            }
            Some(Requirement::RequestPayload(PayloadType::SliceOfPairs)) => {
                return open_as!(self, node, [[u8; 2]], [u8]);
            }
            Some(Requirement::ResponsePayload(PayloadType::U8)) => {
                return open_as!(self, node, [u8], u8);
            }
            Some(Requirement::ResponsePayload(PayloadType::SliceOfU16)) => {
                return open_as!(self, node, [u8], [u16]);
            }
            Some(Requirement::ResponsePayload(PayloadType::SliceOfPairs)) => {
                return open_as!(self, node, [u8], [[u8; 2]]);
            }
            _ => {}
        }
        let mut builder = node
            .service_builder(&self.service)
            .request_response::<[u8], [u8]>()
            .request_user_header::<u64>()
            .response_user_header::<u64>();
        // Whoever creates the service states all settings; whoever opens it states
        // only what it demands.
        if creates && self.settings.via == SettingsVia::Builder {
            let s = &self.settings;
            builder = builder
                .max_clients(s.max_clients)
                .max_servers(s.max_servers)
                .max_nodes(s.max_nodes)
                .max_active_requests_per_client(s.max_active_requests_per_client)
                .max_loaned_requests(s.max_loaned_requests)
                .max_response_buffer_size(s.max_response_buffer_size)
                .max_borrowed_responses_per_pending_response(
                    s.max_borrowed_responses_per_pending_response,
                )
                .enable_safe_overflow_for_requests(s.enable_safe_overflow_for_requests)
                .enable_safe_overflow_for_responses(s.enable_safe_overflow_for_responses)
                .enable_fire_and_forget_requests(s.enable_fire_and_forget_requests);
        }
        if !creates && let Some(require) = require {
            use Requirement as R;
            builder = match require {
                R::MaxClients(n) => builder.max_clients(n),
                R::MaxServers(n) => builder.max_servers(n),
                R::MaxNodes(n) => builder.max_nodes(n),
                R::MaxActiveRequestsPerClient(n) => builder.max_active_requests_per_client(n),
                R::MaxLoanedRequests(n) => builder.max_loaned_requests(n),
                R::MaxResponseBufferSize(n) => builder.max_response_buffer_size(n),
                R::MaxBorrowedResponsesPerPendingResponse(n) => {
                    builder.max_borrowed_responses_per_pending_response(n)
                }
                R::EnableSafeOverflowForRequests(on) => {
                    builder.enable_safe_overflow_for_requests(on)
                }
                R::EnableSafeOverflowForResponses(on) => {
                    builder.enable_safe_overflow_for_responses(on)
                }
                R::EnableFireAndForgetRequests(on) => builder.enable_fire_and_forget_requests(on),
                R::RequestPayload(_) | R::ResponsePayload(_) => builder,
            };
        }
        match how {
            OpenMode::OpenOrCreate => builder.open_or_create().map_err(|e| format!("{e:?}")),
            OpenMode::Create => builder.create().map_err(|e| format!("{e:?}")),
            OpenMode::Open => builder.open().map_err(|e| format!("{e:?}")),
        }
    }

    fn reported_settings(factory: &version::Factory<S>) -> ReportedSettings {
        let config = factory.static_config();
        ReportedSettings {
            limits: [
                config.max_clients(),
                config.max_servers(),
                config.max_nodes(),
                config.max_active_requests_per_client(),
                config.max_loaned_requests(),
                config.max_response_buffer_size(),
                config.max_borrowed_responses_per_pending_response(),
            ],
            flags: [
                config.has_safe_overflow_for_requests(),
                config.has_safe_overflow_for_responses(),
                config.does_support_fire_and_forget_requests(),
            ],
        }
    }
}

impl<S: Service> Host for InProcess<S> {
    fn perform(&mut self, _: Key, action: &Action) -> Result<Observation, HostError> {
        Ok(match *action {
            Action::Join { new, how, require, creates } => self.join(new, how, require, creates),
            Action::Leave { participant } => return forget(&mut self.participants, participant),
            Action::CreateClient { participant, new, strategy, hint } => {
                let builder = object(&self.participants, participant)?
                    .1
                    .client_builder()
                    .initial_max_slice_len(hint)
                    .allocation_strategy(allocation_strategy(strategy));
                match backpressure!(builder, self.settings.client_backpressure).create() {
                    Ok(client) => {
                        let id = version::client_id(&client);
                        let hint = client.initial_max_slice_len();
                        self.clients.insert(new, client);
                        Observation::PortCreated { id, hint }
                    }
                    Err(error) => refused(error),
                }
            }
            Action::CreateServer { participant, new, strategy, hint, loans } => {
                let builder = object(&self.participants, participant)?
                    .1
                    .server_builder()
                    .initial_max_slice_len(hint)
                    .allocation_strategy(allocation_strategy(strategy))
                    .max_loaned_responses_per_request(loans);
                match backpressure!(builder, self.settings.server_backpressure).create() {
                    Ok(server) => {
                        let id = version::server_id(&server);
                        let hint = server.initial_max_slice_len();
                        self.servers.insert(new, server);
                        Observation::PortCreated { id, hint }
                    }
                    Err(error) => refused(error),
                }
            }
            Action::DropClient { client } => return forget(&mut self.clients, client),
            Action::DropServer { server } => return forget(&mut self.servers, server),
            Action::LoanRequest { client, new, id, len, form } => {
                let (loan, observation) = loan!(object(&self.clients, client)?, id, len, form);
                loan.map(|loan| self.requests.insert(new, loan));
                observation
            }
            Action::SendRequest { request, new } => {
                let Written { object, id } = take(&mut self.requests, request)?;
                match object.send() {
                    Ok(object) => {
                        let servers = object.number_of_server_connections();
                        self.pending.insert(new, Written { object, id });
                        Observation::Sent { servers }
                    }
                    Err(error) => refused(error),
                }
            }
            Action::DropRequest { request } => return forget(&mut self.requests, request),
            Action::ReceiveRequest { server, new } => {
                match object(&self.servers, server)?.receive() {
                    Ok(Some(object)) => {
                        let (id, observation) = received(
                            *object.user_header(),
                            object.payload(),
                            PortId(object.origin().value()),
                            PortId(object.header().client_id().value()),
                            version::announced_request_len(object.header()),
                        );
                        self.active.insert(new, Written { object, id });
                        observation
                    }
                    Ok(None) => Observation::Nothing,
                    Err(error) => refused(error),
                }
            }
            Action::LoanResponse { active, new, id, len, form } => {
                let (loan, observation) =
                    loan!(object(&self.active, active)?.object, id, len, form);
                loan.map(|loan| self.loaned.insert(new, loan));
                observation
            }
            Action::SendResponse { response } => {
                done(take(&mut self.loaned, response)?.object.send())
            }
            Action::DropLoanedResponse { response } => return forget(&mut self.loaned, response),
            Action::ReceiveResponse { pending, new } => {
                match object(&self.pending, pending)?.object.receive() {
                    Ok(Some(object)) => {
                        let (id, observation) = received(
                            *object.user_header(),
                            object.payload(),
                            PortId(object.origin().value()),
                            PortId(object.header().server_id().value()),
                            version::announced_response_len(object.header()),
                        );
                        self.responses.insert(new, Written { object, id });
                        observation
                    }
                    Ok(None) => Observation::Nothing,
                    Err(error) => refused(error),
                }
            }
            Action::DropPending { pending } => return forget(&mut self.pending, pending),
            Action::DropActive { active } => return forget(&mut self.active, active),
            Action::DropResponse { response } => return forget(&mut self.responses, response),
            Action::InspectPending { pending } => {
                let pending = &object(&self.pending, pending)?.object;
                Observation::Pending {
                    connected: pending.is_connected(),
                    has_response: pending.has_response(),
                    servers: pending.number_of_server_connections(),
                }
            }
            Action::InspectActive { active } => {
                let active = &object(&self.active, active)?.object;
                Observation::Active {
                    connected: active.is_connected(),
                    hint: active.has_disconnect_hint(),
                }
            }
            Action::InspectServer { server } => match object(&self.servers, server)?.has_requests()
            {
                Ok(has_requests) => Observation::Server { has_requests },
                Err(error) => refused(error),
            },
            Action::InspectService { participant } => {
                let factory = &object(&self.participants, participant)?.1;
                Observation::Service {
                    clients: factory.dynamic_config().number_of_clients(),
                    servers: factory.dynamic_config().number_of_servers(),
                    settings: Self::reported_settings(factory),
                }
            }
            Action::UpdateClient { client } => {
                done(object(&self.clients, client)?.update_connections())
            }
            Action::UpdateServer { server } => {
                done(object(&self.servers, server)?.update_connections())
            }
            Action::HintDisconnect { pending } => {
                object(&self.pending, pending)?.object.set_disconnect_hint();
                Observation::Done
            }
        })
    }

    fn audit(&mut self) -> Result<Vec<Damage>, HostError> {
        let mut damage = Vec::new();
        let mut check = |holder: Key, id: Option<MessageId>, bytes: &[u8]| {
            if let Some(Err(mismatch)) = id.map(|id| payload::check(id, bytes)) {
                damage.push(Damage { holder, mismatch });
            }
        };
        self.requests.iter().for_each(|(&k, w)| check(k, w.id, w.object.payload()));
        self.pending.iter().for_each(|(&k, w)| check(k, w.id, w.object.payload()));
        self.active.iter().for_each(|(&k, w)| check(k, w.id, w.object.payload()));
        self.loaned.iter().for_each(|(&k, w)| check(k, w.id, w.object.payload()));
        self.responses.iter().for_each(|(&k, w)| check(k, w.id, w.object.payload()));
        Ok(damage)
    }

    fn mapped_objects(&mut self) -> Result<usize, HostError> {
        Ok(census::mapped_objects(&self.config.global.prefix.to_string())?)
    }
}
