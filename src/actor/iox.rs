//! Performs actions on the real iceoryx2, in this process.

mod creation;

use std::path::{Path, PathBuf};

use iceoryx2::{
    port::update_connections::UpdateConnections, prelude::*,
    service::port_factory::request_response,
};
use litemap::LiteMap;

use super::{
    Action, Damage, Damaged, Host, HostError, Key, ListedPorts, Observation, ReportedSettings,
    arrival,
    concurrent::{self, Logs, Share},
    element::{Header as _, Record, Triple, Value},
    loan::Wanted,
    message::Payload,
    open::{self, Obtain},
    presence::{self, Aftermath, Presence},
    tracee,
    variant::Variant,
    version,
};
use crate::{
    payload::{self, MessageId},
    sandbox::{
        census,
        exposure::Exposure,
        strangers::{self, Names},
    },
    scenario::{Concurrent, OWN_SUFFIX, OpenMode, Payloads, Settings, SettingsVia},
};

/// Keeps iceoryx2's own warnings out of the output; they would come by the thousand.
pub fn silence() {
    set_log_level(LogLevel::Fatal);
}

/// Slices of bytes that other processes can reach.
pub type Ipc = InProcess<ipc::Service>;

/// A node, which lives as long as it is here, and what it opened.
#[derive(Debug)]
struct Participant<S, Req, Res>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
{
    node: Node<S>,
    factory: version::Factory<S, Req, Res>,
    /// Another service, which nobody else opens: it has to go with the node as well.
    _aside: Option<Aside<S>>,
}

type Aside<S> = request_response::PortFactory<S, u8, (), u8, ()>;

/// All objects of one run that live in this process.
#[derive(Debug)]
pub struct InProcess<S, Req = [u8], Res = [u8]>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
{
    config: Config,
    service: ServiceName,
    settings: Settings,
    /// Participants have another service each.
    has_aside: bool,
    participants: LiteMap<Key, Participant<S, Req, Res>>,
    clients: LiteMap<Key, version::Client<S, Req, Res>>,
    servers: LiteMap<Key, version::Server<S, Req, Res>>,
    requests: LiteMap<Key, Written<version::RequestMut<S, Req, Res>>>,
    pending: LiteMap<Key, Written<version::PendingResponse<S, Req, Res>>>,
    active: LiteMap<Key, Written<version::ActiveRequest<S, Req, Res>>>,
    loaned: LiteMap<Key, Written<version::ResponseMut<S, Res>>>,
    responses: LiteMap<Key, Written<version::Response<S, Res>>>,
}

/// A host without any object for the payloads of these settings, in the domain of a
/// config file.
///
/// # Errors
/// If iceoryx2 refuses the config file or the service name.
pub fn host(
    variant: Variant,
    config: &Path,
    service: &str,
    settings: Settings,
) -> Result<Box<dyn Host>, HostError> {
    match variant {
        Variant::Ipc => host_of::<ipc::Service>(config, service, settings),
        Variant::IpcThreadsafe => host_of::<ipc_threadsafe::Service>(config, service, settings),
        Variant::Local => host_of::<local::Service>(config, service, settings),
        Variant::LocalThreadsafe => host_of::<local_threadsafe::Service>(config, service, settings),
    }
}

fn host_of<S: Share + 'static>(
    config: &Path,
    service: &str,
    settings: Settings,
) -> Result<Box<dyn Host>, HostError> {
    Ok(match settings.payload {
        Payloads::Bytes => Box::new(InProcess::<S>::new(config, service, settings)?),
        Payloads::Words => Box::new(InProcess::<S, [u16], [u64]>::new(config, service, settings)?),
        Payloads::Records => {
            Box::new(InProcess::<S, [Record], [Triple]>::new(config, service, settings)?)
        }
        Payloads::Values => Box::new(InProcess::<S, Value, Value>::new(config, service, settings)?),
        Payloads::ValueRequests => {
            Box::new(InProcess::<S, Value, [u8]>::new(config, service, settings)?)
        }
        Payloads::ValueResponses => {
            Box::new(InProcess::<S, [u8], Value>::new(config, service, settings)?)
        }
    })
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

/// Reads a message again that was intact when it was written or had arrived.
#[inline]
fn read_again<P: Payload + ?Sized>(
    id: Option<MessageId>,
    header: P::Header,
    payload: &P,
) -> Result<(), Damaged> {
    let Some(id) = id else { return Ok(()) };
    payload::check(id, payload.bytes()).map_err(Damaged::Mismatch)?;
    if header == P::Header::seal(id) { Ok(()) } else { Err(Damaged::UserHeader(header.unseal())) }
}

/// Keeps what could be created under a key.
fn keep<T>(
    map: &mut LiteMap<Key, T>,
    key: Key,
    created: Result<(T, Observation), String>,
) -> Observation {
    created.map_or_else(Observation::Refused, |(object, observation)| {
        map.insert(key, object);
        observation
    })
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

impl<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized> InProcess<S, Req, Res>
where
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    /// A host without any object, in the domain of a config file.
    ///
    /// # Errors
    /// If iceoryx2 refuses the config file or the service name.
    pub fn new(config: &Path, service: &str, settings: Settings) -> Result<Self, HostError> {
        let harness = |what: String| move |e: String| HostError::Harness(format!("{what}: {e}"));
        let file = FilePath::new(config.as_os_str().as_encoded_bytes())
            .map_err(|e| harness(format!("config path {}", config.display()))(format!("{e:?}")))?;
        let config = Config::from_file(&file)
            .map_err(|e| HostError::ConfigRefused(format!("config file {file}: {e:?}")))?;
        let service = ServiceName::new(service)
            .map_err(|e| harness(format!("service name {service}"))(format!("{e:?}")))?;
        Ok(Self {
            config,
            service,
            settings,
            has_aside: false,
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

    fn clean_up(&self, node: &Node<S>) -> Observation {
        version::clean_up(node, &self.config).unwrap_or_else(Observation::Refused)
    }

    fn presence(&self, factory: &version::Factory<S, Req, Res>) -> Result<Presence, String> {
        let at_service = Some(presence::nodes_of::<S, _>(factory)?);
        let outside = presence::look::<S>(&self.config, &self.service)?;
        Ok(Presence { at_service, ..outside })
    }

    #[inline(never)]
    fn inspect(&self, factory: &version::Factory<S, Req, Res>) -> Result<Observation, String> {
        Ok(Observation::Service {
            clients: factory.dynamic_config().number_of_clients(),
            servers: factory.dynamic_config().number_of_servers(),
            settings: Box::new(Self::reported_settings(factory)),
            listed: Some(Box::new(Self::listed_ports(factory))),
            presence: Some(Box::new(self.presence(factory)?)),
        })
    }

    fn listed_ports(factory: &version::Factory<S, Req, Res>) -> ListedPorts {
        let mut listed = ListedPorts { clients: Vec::new(), servers: Vec::new() };
        factory.dynamic_config().list_clients(|details| {
            listed.clients.push(version::listed_client(details));
            CallbackProgression::Continue
        });
        factory.dynamic_config().list_servers(|details| {
            listed.servers.push(version::listed_server(details));
            CallbackProgression::Continue
        });
        listed.clients.sort();
        listed.servers.sort();
        listed
    }

    fn reported_settings(factory: &version::Factory<S, Req, Res>) -> ReportedSettings {
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

impl<S, Req, Res> Host for InProcess<S, Req, Res>
where
    S: Share + 'static,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    fn perform(&mut self, _: Key, action: &Action) -> Result<Observation, HostError> {
        Ok(match *action {
            Action::Join { new, how, require, creates } => {
                let joined = self.join(new, how, require, creates);
                keep(&mut self.participants, new, joined)
            }
            Action::Leave { participant } => return forget(&mut self.participants, participant),
            Action::Kill { witness, .. } => {
                self.clean_up(&object(&self.participants, witness)?.node)
            }
            Action::Die { victim } => {
                let what = format!("{victim} shares a process and cannot die alone");
                return Err(HostError::Harness(what));
            }
            // Whoever traces this process kills it before it is done.
            Action::KillAmid { ref doing, .. } => {
                self.prepare(doing)?;
                tracee::between_marks(|| self.perform(Key::default(), doing))?
            }
            Action::CreateClient { participant, new, strategy, hint, preallocate, active } => {
                let factory = &object(&self.participants, participant)?.factory;
                let memory = self.memory_of_clients(strategy, hint);
                let created = self.create_client(factory, memory, preallocate, active);
                keep(&mut self.clients, new, created)
            }
            Action::CreateServer { participant, new, strategy, hint, loans, preallocate } => {
                let factory = &object(&self.participants, participant)?.factory;
                let memory = self.memory_of_servers(strategy, hint);
                let created = self.create_server(factory, memory, loans, preallocate);
                keep(&mut self.servers, new, created)
            }
            Action::DropClient { client } => return forget(&mut self.clients, client),
            Action::DropServer { server } => return forget(&mut self.servers, server),
            Action::LoanRequest { client, new, id, len, form } => {
                let alignment = self.settings.request_payload_alignment;
                let wanted = Wanted { id, len, form, alignment };
                let (loan, observation) = Req::loan_request(object(&self.clients, client)?, wanted);
                if let Some(object) = loan {
                    self.requests.insert(new, Written { object, id: Some(id) });
                }
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
                match arrival::request::<S, Req, Res>(
                    object(&self.servers, server)?,
                    &self.settings,
                ) {
                    Ok(Some((object, received))) => {
                        let id = received.intact();
                        self.active.insert(new, Written { object, id });
                        Observation::Received(received)
                    }
                    Ok(None) => Observation::Nothing,
                    Err(error) => Observation::Refused(error),
                }
            }
            Action::LoanResponse { active, new, id, len, form } => {
                let alignment = self.settings.response_payload_alignment;
                let wanted = Wanted { id, len, form, alignment };
                let active = &object(&self.active, active)?.object;
                let (loan, observation) = Res::loan_response(active, wanted);
                if let Some(object) = loan {
                    self.loaned.insert(new, Written { object, id: Some(id) });
                }
                observation
            }
            Action::SendResponse { response } => {
                done(take(&mut self.loaned, response)?.object.send())
            }
            Action::DropLoanedResponse { response } => return forget(&mut self.loaned, response),
            Action::ReceiveResponse { pending, new } => {
                let pending = &object(&self.pending, pending)?.object;
                match arrival::response::<S, Req, Res>(pending, &self.settings) {
                    Ok(Some((object, received))) => {
                        let id = received.intact();
                        self.responses.insert(new, Written { object, id });
                        Observation::Received(received)
                    }
                    Ok(None) => Observation::Nothing,
                    Err(error) => Observation::Refused(error),
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
            Action::InspectService { participant } => self
                .inspect(&object(&self.participants, participant)?.factory)
                .unwrap_or_else(Observation::Refused),
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

    fn prepare(&mut self, action: &Action) -> Result<(), HostError> {
        if let Action::Kill { witness, .. } = *action {
            self.visit(&object(&self.participants, witness)?.node);
        }
        Ok(())
    }

    fn audit(&mut self) -> Result<Vec<Damage>, HostError> {
        let mut damage = Vec::new();
        let mut check = |holder: Key, what: Result<(), Damaged>| {
            if let Err(what) = what {
                damage.push(Damage { holder, what });
            }
        };
        for (&key, Written { object, id }) in &self.requests {
            check(key, read_again(*id, *object.user_header(), Req::loaned_request(object)));
        }
        for (&key, Written { object, id }) in &self.pending {
            check(key, read_again(*id, *object.user_header(), Req::sent_request(object)));
        }
        for (&key, Written { object, id }) in &self.active {
            check(key, read_again(*id, *object.user_header(), Req::received_request(object)));
        }
        for (&key, Written { object, id }) in &self.loaned {
            check(key, read_again(*id, *object.user_header(), Res::loaned_response(object)));
        }
        for (&key, Written { object, id }) in &self.responses {
            check(key, read_again(*id, *object.user_header(), Res::received_response(object)));
        }
        Ok(damage)
    }

    fn mapped_objects(&mut self) -> Result<usize, HostError> {
        let mapped = census::mapped_objects(&self.config.global.prefix.to_string())?;
        // Nobody asked for what is aside: of a service without ports its list of them is mapped.
        let aside = if self.has_aside { self.participants.len() } else { 0 };
        Ok(mapped.saturating_sub(aside))
    }

    fn strange_files(&mut self) -> Result<Option<Vec<String>>, HostError> {
        let root = |config: &Config| PathBuf::from(config.global.root_path().to_string());
        let prefix = self.config.global.prefix.to_string();
        let names =
            Names { prefix: &prefix, suffix: self.settings.own_suffixes.then_some(OWN_SUFFIX) };
        Ok(strangers::strange_files(names, &root(&self.config), &root(&Config::default()))?)
    }

    fn exposure(&mut self) -> Result<Option<Exposure>, HostError> {
        let global = &self.config.global;
        let suffix = global.service.data_segment_suffix.to_string();
        let root = PathBuf::from(global.root_path().to_string());
        Ok(Exposure::of_domain(&global.prefix.to_string(), &root, &suffix)?)
    }

    fn open_aside(&mut self) {
        self.has_aside = true;
    }

    fn aftermath(&mut self) -> Result<Option<Aftermath>, HostError> {
        let mut aftermath = Aftermath::default();
        let looked = presence::look::<S>(&self.config, &self.service);
        let again = looked.and_then(|presence| {
            aftermath.presence = presence;
            let node = presence::node::<S>(&self.config)?;
            let mut settings = self.settings.raised();
            if settings != self.settings {
                // The config file has the limits that were raised.
                settings.via = SettingsVia::Builder;
            }
            let builder = open::service::<S, Req, Res>(&node, &self.service);
            let _again = open::with_settings(builder, &settings).obtain(OpenMode::Create)?;
            aftermath.crowded_out = presence::settle_beside(&node, &self.service).err();
            Ok(())
        });
        Ok(Some(Aftermath { refused: again.err(), ..aftermath }))
    }

    fn at_once(
        &mut self,
        traffic: &Concurrent,
        alive: &mut dyn FnMut(),
    ) -> Result<Logs, HostError> {
        let (config, service, settings) = (&self.config, &self.service, &self.settings);
        concurrent::run::<S, Req, Res>(config, service, settings, traffic, alive)
    }
}
