//! What client and server have in common: a node, a service, messages they keep.

use std::{collections::VecDeque, ops::ControlFlow, time::Duration};

use iceoryx2::{
    active_request::ActiveRequest,
    node::NodeWaitFailure,
    prelude::*,
    response::Response,
    service::{ServiceDetails, port_factory::request_response},
};

use super::{
    event::{Event, Occasion, Program, Reporter},
    failure::{Failure, Limit, LimitReached},
    flags::CommonFlags,
    verify::{Arrival, Integrity},
};
use crate::actor::{
    config_file,
    version::{self, announced_request_len, announced_response_len},
};

/// The service of the example: bytes both ways, a sealed message id as user header.
pub(super) type ExampleService = request_response::PortFactory<ipc::Service, [u8], u64, [u8], u64>;
/// A received request of [`ExampleService`].
pub(super) type ExampleRequest = ActiveRequest<ipc::Service, [u8], u64, [u8], u64>;
/// A received response of [`ExampleService`].
pub(super) type ExampleResponse = Response<ipc::Service, [u8], u64>;

/// How long a program that waits for data sleeps at least between two looks.
pub(super) const IDLE: Duration = Duration::from_micros(200);

/// iceoryx2 first looks for a signal and then sleeps. One that arrives in between is not
/// noticed before the sleep is over, so no sleep is longer than this.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// A process that takes part in the service.
pub(super) struct Participant {
    node: Node<ipc::Service>,
    pub(super) service: ExampleService,
    name: String,
}

impl Participant {
    /// Loads the config, creates the node, opens the service and reports it.
    pub(super) fn join(
        program: Program,
        flags: &CommonFlags,
        reporter: &mut Reporter,
    ) -> Result<Self, Failure> {
        set_log_level_from_env_or(LogLevel::Error);
        let config = match &flags.config {
            None => Config::global_config().clone(),
            Some(path) => {
                let loaded = config_file::load(path)?;
                for warning in &loaded.warnings {
                    reporter.emit(&Event::Warning { message: warning.to_string() })?;
                }
                loaded.config
            }
        };
        let name = ServiceName::new(&flags.service).map_err(|e| {
            Failure::Usage(format!("--service `{}` is no service name ({e:?})", flags.service))
        })?;
        let node = NodeBuilder::new()
            .config(&config)
            .create::<ipc::Service>()
            .map_err(|e| Failure::iceoryx2("create a node", &e))?;
        // iceoryx2 installs its signal handlers at the first wait. Until then a signal
        // would end the process with everything left behind.
        wait(&node, Duration::ZERO)?;

        let service = node
            .service_builder(&name)
            .request_response::<[u8], [u8]>()
            .request_user_header::<u64>()
            .response_user_header::<u64>()
            .open_or_create()
            .map_err(|error| match Limit::of_service(error) {
                Some(limit) => Failure::Limit(Box::new(LimitReached {
                    limit,
                    value: max_nodes(&name, &config),
                    service: flags.service.clone(),
                    name: format!("{error:?}"),
                })),
                None => Failure::iceoryx2("open or create the service", &error),
            })?;

        let limits = service.static_config();
        reporter.emit(&Event::Started {
            program,
            pid: std::process::id(),
            service: flags.service.clone(),
            iceoryx2: version::IOX2_VERSION.to_owned(),
            max_clients: limits.max_clients(),
            max_servers: limits.max_servers(),
            max_nodes: limits.max_nodes(),
        })?;
        Ok(Self { node, service, name: flags.service.clone() })
    }

    /// Sleeps for `duration`.
    pub(super) fn wait(&self, duration: Duration) -> Result<(), Failure> {
        let mut left = duration;
        loop {
            let slice = left.min(LONGEST_SLEEP);
            wait(&self.node, slice)?;
            left -= slice;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    /// The failure of a port that the service has no room for.
    pub(super) fn full(&self, limit: Limit, name: String) -> Failure {
        let limits = self.service.static_config();
        let value = match limit {
            Limit::Clients => limits.max_clients(),
            Limit::Servers => limits.max_servers(),
            Limit::Nodes => limits.max_nodes(),
        };
        let (value, service) = (Some(value), self.name.clone());
        Failure::Limit(Box::new(LimitReached { limit, value, service, name }))
    }
}

fn wait(node: &Node<ipc::Service>, duration: Duration) -> Result<(), Failure> {
    match node.wait(duration) {
        Ok(()) => Ok(()),
        Err(NodeWaitFailure::TerminationRequest) => Err(Failure::Interrupted),
        // Any signal that iceoryx2 handles interrupts the sleep, e.g. SIGUSR1. A second
        // look tells whether it was one that asks to terminate.
        Err(NodeWaitFailure::Interrupt) => {
            node.wait(Duration::ZERO).map_err(|_| Failure::Interrupted)
        }
    }
}

/// The limit of a service that could not be opened, read from its file.
fn max_nodes(name: &ServiceName, config: &Config) -> Option<usize> {
    let details: ServiceDetails<_> =
        ipc::Service::details(name, config, MessagingPattern::RequestResponse).ok()??;
    Some(details.static_details.request_response().max_nodes())
}

/// Notices when peers come and go.
pub(super) struct PeerWatch {
    of: Program,
    last: Option<usize>,
}

impl PeerWatch {
    pub(super) fn new(of: Program) -> Self {
        Self { of, last: None }
    }

    /// Reports a changed number of peers; breaks if it changed.
    pub(super) fn look(
        &mut self,
        service: &ExampleService,
        reporter: &mut Reporter,
    ) -> Result<ControlFlow<()>, Failure> {
        let count = match self.of {
            Program::Client => service.dynamic_config().number_of_clients(),
            Program::Server => service.dynamic_config().number_of_servers(),
        };
        if self.last.replace(count) == Some(count) {
            return Ok(ControlFlow::Continue(()));
        }
        reporter.emit(&Event::Peers { of: self.of, count })?;
        Ok(ControlFlow::Break(()))
    }
}

/// A received message as a reader sees it.
pub(super) trait Message {
    fn arrival(&self) -> Arrival<'_>;
}

impl Message for ExampleRequest {
    fn arrival(&self) -> Arrival<'_> {
        Arrival {
            from: self.origin().value(),
            user_header: *self.user_header(),
            announced: announced_request_len(self.header()),
            payload: self.payload(),
        }
    }
}

impl Message for ExampleResponse {
    fn arrival(&self) -> Arrival<'_> {
        Arrival {
            from: self.origin().value(),
            user_header: *self.user_header(),
            announced: announced_response_len(self.header()),
            payload: self.payload(),
        }
    }
}

/// The last messages, kept to see whether they stay what they were.
pub(super) struct Held<M> {
    messages: VecDeque<M>,
    capacity: usize,
}

impl<M: Message> Held<M> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { messages: VecDeque::new(), capacity }
    }

    /// Checks what is held, then keeps `message` instead of the oldest.
    pub(super) fn keep(&mut self, message: M, reporter: &mut Reporter) -> Result<(), Failure> {
        self.verify(Occasion::Message, reporter)?;
        if self.messages.len() == self.capacity {
            self.messages.pop_front();
        }
        if self.capacity > 0 {
            self.messages.push_back(message);
        }
        Ok(())
    }

    /// Checks all held messages again.
    pub(super) fn verify(&self, after: Occasion, reporter: &mut Reporter) -> Result<(), Failure> {
        if self.messages.is_empty() {
            return Ok(());
        }
        for (index, message) in self.messages.iter().enumerate() {
            if let (_, Integrity::Broken(violation)) = message.arrival().integrity() {
                let place = format!(
                    "held message {} of {}, sound when it arrived",
                    index + 1,
                    self.messages.len()
                );
                return Err(Failure::Integrity { violation: violation.into(), place });
            }
        }
        reporter.emit(&Event::HeldVerified { count: self.messages.len(), after })
    }
}

/// Reports an arrived message; fails if it is not what its sender wrote.
pub(super) fn report_arrival(
    arrival: &Arrival<'_>,
    (id, integrity): (Option<crate::payload::MessageId>, Integrity),
    reporter: &mut Reporter,
) -> Result<(), Failure> {
    let from = port_name(arrival.from);
    reporter.emit(&Event::Received {
        bytes: arrival.payload.len(),
        id,
        from: from.clone(),
        integrity: integrity.clone(),
    })?;
    match integrity {
        Integrity::Ok => Ok(()),
        Integrity::Broken(violation) => Err(Failure::Integrity {
            violation: violation.into(),
            place: format!("received from port {from}"),
        }),
    }
}

/// A port id as iceoryx2 0.9 and newer print it.
pub(super) fn port_name(id: u128) -> String {
    format!("{id:x}")
}
