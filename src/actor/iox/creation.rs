//! How nodes, services and ports come into being.

use iceoryx2::prelude::*;

use super::{Aside, InProcess, Participant};
use crate::{
    actor::{
        Key, Observation,
        message::{Memory, Payload},
        open::{self, Obtain},
        presence,
        version::{
            self, backpressure, backpressure_handler, own_active_requests, preallocate,
            reported_active_requests, reported_backpressure,
        },
    },
    scenario::{OpenMode, Requirement, SettingsVia, Strategy},
};

/// A participant or a port, and what it says of itself; or why there is none.
type Created<T> = Result<(T, Observation), String>;

// What is created is large and made seldom: the frame of whoever performs actions is smaller
// without it.
impl<S: Service, Req: Payload + ?Sized, Res: Payload + ?Sized> InProcess<S, Req, Res>
where
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    /// A node with the service open, and another one aside where every participant has one.
    #[inline(never)]
    pub(super) fn join(
        &self,
        participant: Key,
        how: OpenMode,
        require: Option<Requirement>,
        creates: bool,
    ) -> Created<Participant<S, Req, Res>> {
        let node = presence::node::<S>(&self.config)?;
        let factory = self.open(&node, how, require, creates)?;
        let _aside = self.has_aside.then(|| self.aside(&node, participant)).transpose()?;
        Ok((Participant { node, factory, _aside }, Observation::Done))
    }

    fn aside(&self, node: &Node<S>, participant: Key) -> Result<Aside<S>, String> {
        let process = std::process::id();
        let name = ServiceName::new(&format!("{}/aside/{process}/{participant}", self.service));
        let name = name.map_err(|error| format!("{error:?}"))?;
        let builder = node.service_builder(&name).request_response::<u8, u8>();
        builder.create().map_err(|error| format!("a service aside: {error:?}"))
    }

    /// Somebody comes, looks at the service and goes, and somebody who is here opens it once
    /// more: the config says who of them cleans up in passing, if anybody does.
    pub(super) fn visit(&self, witness: &Node<S>) {
        if let Ok(node) = presence::node::<S>(&self.config) {
            // The dead may be counted among the nodes, and leave no room for another.
            let _ = self.open(&node, OpenMode::Open, None, false);
        }
        let _ = self.open(witness, OpenMode::Open, None, false);
    }

    pub(super) fn open(
        &self,
        node: &Node<S>,
        how: OpenMode,
        require: Option<Requirement>,
        creates: bool,
    ) -> Result<version::Factory<S, Req, Res>, String> {
        let builder = open::service::<S, Req, Res>(node, &self.service);
        // Whoever creates the service states all settings; whoever opens it states
        // only what it demands.
        match require {
            _ if creates => open::with_settings(builder, &self.settings).obtain(how),
            None => builder.obtain(how),
            Some(Requirement::RequestPayload(foreign)) => {
                Err(Res::obtain_with_requests::<S, Req::Header>(node, &self.service, how, foreign))
            }
            Some(Requirement::ResponsePayload(foreign)) => {
                Err(Req::obtain_with_responses::<S, Res::Header>(node, &self.service, how, foreign))
            }
            Some(require) => open::with_requirement(builder, require).obtain(how),
        }
    }

    /// What a client is created with: a strategy only if the config file states none.
    pub(super) fn memory_of_clients(&self, strategy: Strategy, hint: usize) -> Memory {
        let by_port = self.settings.strategy_of_clients().is_none();
        Memory { strategy: by_port.then_some(strategy), hint }
    }

    /// The same for a server.
    pub(super) fn memory_of_servers(&self, strategy: Strategy, hint: usize) -> Memory {
        let by_port = self.settings.strategy_of_servers().is_none();
        Memory { strategy: by_port.then_some(strategy), hint }
    }

    #[inline(never)]
    pub(super) fn create_client(
        &self,
        factory: &version::Factory<S, Req, Res>,
        memory: Memory,
        preallocate: Option<usize>,
        active: Option<usize>,
    ) -> Created<version::Client<S, Req, Res>> {
        let builder = Req::client_memory(factory.client_builder(), memory);
        let builder = match self.settings.via {
            SettingsVia::Builder => backpressure!(builder, self.settings.client_backpressure),
            SettingsVia::ConfigFile => builder,
        };
        let builder = backpressure_handler!(builder, self.settings.client_backpressure);
        let builder = own_active_requests!(builder, active);
        let builder = preallocate!(builder, override_request_preallocation, preallocate);
        let client = builder.create().map_err(|error| format!("{error:?}"))?;
        let created = Observation::PortCreated {
            id: version::client_id(&client),
            hint: Req::client_hint(&client),
            backpressure: Some(reported_backpressure!(client)),
            active: reported_active_requests!(client),
        };
        Ok((client, created))
    }

    #[inline(never)]
    pub(super) fn create_server(
        &self,
        factory: &version::Factory<S, Req, Res>,
        memory: Memory,
        loans: usize,
        preallocate: Option<usize>,
    ) -> Created<version::Server<S, Req, Res>> {
        let builder = Res::server_memory(factory.server_builder(), memory);
        let builder = match self.settings.server_max_loaned_responses_per_request {
            Some(_) => builder,
            None => builder.max_loaned_responses_per_request(loans),
        };
        let builder = match self.settings.via {
            SettingsVia::Builder => backpressure!(builder, self.settings.server_backpressure),
            SettingsVia::ConfigFile => builder,
        };
        let builder = backpressure_handler!(builder, self.settings.server_backpressure);
        let builder = preallocate!(builder, override_response_preallocation, preallocate);
        let server = builder.create().map_err(|error| format!("{error:?}"))?;
        let created = Observation::PortCreated {
            id: version::server_id(&server),
            hint: Res::server_hint(&server),
            backpressure: Some(reported_backpressure!(server)),
            active: None,
        };
        Ok((server, created))
    }
}
