//! What becomes of a connection that cannot be established, where a handler decides:
//! `DegradationAction` (iceoryx2 `port/mod.rs`).
//!
//! Somebody who is no iceoryx2 removes the shared memory of a connection, or of the port behind
//! it, before the other side has opened it.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use iceoryx2::{
    port::{
        DegradationAction, DegradationCause, DegradationInfo, update_connections::UpdateConnections,
    },
    prelude::{AllocationStrategy, Node, NodeBuilder, PortFactory as _, ServiceName, ipc},
    service::port_factory::request_response::PortFactory,
};
use iox2_gauntlet::{
    actor::{config_file, iox},
    sandbox::Sandbox,
};

const ACTIONS: [DegradationAction; 3] =
    [DegradationAction::Ignore, DegradationAction::Warn, DegradationAction::DegradeAndFail];

type Variant = ipc::Service;
type Service = PortFactory<Variant, [u8], (), [u8], ()>;

type Client = iceoryx2::port::client::Client<Variant, [u8], (), [u8], ()>;
type Pending = iceoryx2::pending_response::PendingResponse<Variant, [u8], (), [u8], ()>;

fn ask(client: &Client) -> Pending {
    client.loan_slice_uninit(5).unwrap().write_from_slice(&[7; 5]).send().unwrap()
}

/// Sender and receiver of each call.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<Mutex<Vec<(u128, u128)>>>);

impl Calls {
    fn handler(
        &self,
        action: DegradationAction,
    ) -> impl Fn(DegradationCause, &DegradationInfo) -> DegradationAction + Send + 'static {
        let calls = self.clone();
        move |cause, info| {
            assert!(matches!(cause, DegradationCause::FailedToEstablishConnection));
            calls.0.lock().unwrap().push((info.sender_port_id, info.receiver_port_id));
            action
        }
    }

    fn take(&self) -> Vec<(u128, u128)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct House {
    sandbox: Sandbox,
    _node: Node<Variant>,
    service: Service,
}

impl House {
    fn new() -> Self {
        // It has much to say about memory that is gone.
        iox::silence();
        let sandbox = Sandbox::new().unwrap();
        let path = sandbox.write_config("degradation", "").unwrap();
        let config = config_file::load(&path).unwrap().config;
        let node = NodeBuilder::new().config(&config).create::<Variant>().unwrap();
        let service = node
            .service_builder(&ServiceName::new("degradation").unwrap())
            .request_response::<[u8], [u8]>()
            .max_clients(2)
            .max_servers(2)
            .create()
            .unwrap();
        Self { sandbox, _node: node, service }
    }

    /// A client that does so about servers it cannot reach, and notes in `calls` whom.
    fn client(&self, calls: &Calls, action: DegradationAction) -> Client {
        self.service
            .client_builder()
            .initial_max_slice_len(8)
            .set_response_degradation_handler(calls.handler(action))
            .create()
            .unwrap()
    }

    /// Puts something that is no connection in the place of that from `sender` to `receiver`.
    fn spoil_connection(&self, sender: u128, receiver: u128) {
        let prefix = self.sandbox.prefix();
        let between = format!("{sender}_{receiver}");
        let is_it = |name: &str| name.starts_with(prefix) && name.contains(&between);
        let mut spoilt = 0;
        for entry in fs::read_dir("/dev/shm").unwrap() {
            let entry = entry.unwrap();
            if is_it(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path()).unwrap();
                fs::write(entry.path(), [7; 5]).unwrap();
                spoilt += 1;
            }
        }
        assert_eq!(spoilt, 1, "there is a connection from {sender} to {receiver}");
    }

    /// Removes the data segments of the port with this id.
    fn remove_data_of(&self, port: u128) {
        let prefix = self.sandbox.prefix();
        let is_of_port = |name: &str| {
            name.starts_with(prefix) && name.contains(&port.to_string()) && name.contains("data")
        };
        let mut removed = 0;
        for entry in fs::read_dir("/dev/shm").unwrap() {
            let entry = entry.unwrap();
            if is_of_port(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path()).unwrap();
                removed += 1;
            }
        }
        assert!(removed > 0, "the port has no data segment to remove");
    }
}

#[test]
fn a_server_that_cannot_reach_a_client_asks_its_handler_and_goes_on_with_the_others() {
    for strategy in [AllocationStrategy::Static, AllocationStrategy::BestFit] {
        for action in ACTIONS {
            let house = House::new();
            let calls = Calls::default();
            let server = house
                .service
                .server_builder()
                .set_request_degradation_handler(calls.handler(action))
                .create()
                .unwrap();
            let new_client = || {
                let builder = house.service.client_builder().initial_max_slice_len(8);
                builder.allocation_strategy(strategy).create().unwrap()
            };
            let lost = new_client();
            house.remove_data_of(lost.id().value());
            let received = server.receive();
            assert_eq!(calls.take(), [(lost.id().value(), server.id().value())], "{action:?}");
            assert_eq!(
                received.is_err(),
                action == DegradationAction::DegradeAndFail,
                "{action:?}: {received:?}"
            );
            drop(received);
            drop(lost);
            calls.take();
            let client = new_client();
            let pending = ask(&client);
            let active = server.receive().unwrap().expect("the request");
            assert_eq!(active.payload(), [7; 5], "{action:?}");
            assert_eq!(calls.take(), [], "{action:?}: the other client can be reached");
            drop((active, pending, client, server));
        }
    }
}

/// Whichever it tries first.
#[test]
fn a_client_that_can_reach_one_of_two_new_servers_fails_all_the_same_if_it_is_to() {
    for (action, first_is_lost) in ACTIONS.into_iter().flat_map(|a| [(a, true), (a, false)]) {
        let house = House::new();
        let calls = Calls::default();
        let client = house.client(&calls, action);
        let new_server =
            || house.service.server_builder().initial_max_slice_len(8).create().unwrap();
        let (first, second) = (new_server(), new_server());
        let (lost, other) = if first_is_lost { (first, second) } else { (second, first) };
        house.remove_data_of(lost.id().value());
        let updated = client.update_connections();
        assert_eq!(calls.take(), [(lost.id().value(), client.id().value())], "{action:?}");
        let fails = action == DegradationAction::DegradeAndFail;
        assert_eq!(updated.is_err(), fails, "{action:?}, {first_is_lost}: {updated:?}");
        drop((lost, other, client));
    }
}

#[test]
fn a_client_that_cannot_reach_a_server_asks_its_handler_and_goes_on_with_the_others() {
    for strategy in [AllocationStrategy::Static, AllocationStrategy::BestFit] {
        for action in ACTIONS {
            let house = House::new();
            let calls = Calls::default();
            let client = house.client(&calls, action);
            let new_server = || {
                let builder = house.service.server_builder().initial_max_slice_len(8);
                builder.allocation_strategy(strategy).create().unwrap()
            };
            let lost = new_server();
            house.remove_data_of(lost.id().value());
            let updated = client.update_connections();
            assert_eq!(calls.take(), [(lost.id().value(), client.id().value())], "{action:?}");
            let fails = action == DegradationAction::DegradeAndFail;
            assert_eq!(updated.is_err(), fails, "{action:?}: {updated:?}");
            drop(lost);
            let server = new_server();
            let pending = ask(&client);
            let active = server.receive().unwrap().expect("the request");
            let response = active.loan_slice_uninit(3).unwrap();
            response.write_from_slice(&[9; 3]).send().unwrap();
            let response = pending.receive().unwrap().expect("the response");
            assert_eq!(response.payload(), [9; 3], "{action:?}");
            assert_eq!(calls.take(), [], "{action:?}: the other server can be reached");
            drop((response, active, pending, server, client));
        }
    }
}

/// "Returns a failure in the function the degradation was detected" (`DegradationAction`,
/// `port/mod.rs`): that function is `create` where a port is new. Known of 0.10.0: the handler is
/// asked, and the port is created all the same.
#[test]
fn a_new_port_that_cannot_reach_another_asks_its_handler_and_is_created_even_if_it_is_to_fail() {
    for action in ACTIONS {
        let house = House::new();
        let calls = Calls::default();
        let lost = house.service.server_builder().initial_max_slice_len(8).create().unwrap();
        house.remove_data_of(lost.id().value());
        let client = house.client(&calls, action);
        assert_eq!(calls.take(), [(lost.id().value(), client.id().value())], "{action:?}");
        drop((client, lost));

        let lost = house.service.client_builder().initial_max_slice_len(8).create().unwrap();
        house.remove_data_of(lost.id().value());
        let builder = house.service.server_builder();
        let builder = builder.set_request_degradation_handler(calls.handler(action));
        let server = builder.create().unwrap();
        assert_eq!(calls.take(), [(lost.id().value(), server.id().value())], "{action:?}");
        drop((server, lost));
    }
}

/// Each port has a handler for either direction, and the right one is asked.
#[test]
fn who_cannot_send_to_a_new_peer_asks_the_handler_of_what_it_sends() {
    for action in ACTIONS {
        let fails = action == DegradationAction::DegradeAndFail;
        let house = House::new();
        let (requests, responses) = (Calls::default(), Calls::default());
        let client = house
            .service
            .client_builder()
            .set_request_degradation_handler(requests.handler(action))
            .set_response_degradation_handler(responses.handler(action))
            .create()
            .unwrap();
        let server = house.service.server_builder().create().unwrap();
        house.spoil_connection(client.id().value(), server.id().value());
        let updated = client.update_connections();
        assert_eq!(requests.take(), [(client.id().value(), server.id().value())], "{action:?}");
        assert_eq!(responses.take(), [], "{action:?}");
        assert_eq!(updated.is_err(), fails, "{action:?}: {updated:?}");
        drop((client, server));

        let server = house
            .service
            .server_builder()
            .set_response_degradation_handler(responses.handler(action))
            .set_request_degradation_handler(requests.handler(action))
            .create()
            .unwrap();
        let client = house.service.client_builder().create().unwrap();
        house.spoil_connection(server.id().value(), client.id().value());
        let updated = server.update_connections();
        assert_eq!(responses.take(), [(server.id().value(), client.id().value())], "{action:?}");
        assert_eq!(requests.take(), [], "{action:?}");
        assert_eq!(updated.is_err(), fails, "{action:?}: {updated:?}");
        drop((client, server));
    }
}

/// A request that could not be sent, because somebody was not to be reached, is none that is
/// active: afterwards as many are sent as a client may have active, and no more.
#[test]
fn a_request_that_fails_with_a_connection_is_not_active() {
    let house = House::new();
    let calls = Calls::default();
    let client = house.client(&calls, DegradationAction::DegradeAndFail);
    let limit = house.service.static_config().max_active_requests_per_client();
    for _ in 0..=limit {
        let lost = house.service.server_builder().initial_max_slice_len(8).create().unwrap();
        house.remove_data_of(lost.id().value());
        let sent = client.loan_slice_uninit(5).unwrap().write_from_slice(&[7; 5]).send();
        let error = format!("{:?}", sent.expect_err("the server cannot be reached"));
        assert!(error.contains("ConnectionError"), "{error}");
    }
    let server = house.service.server_builder().initial_max_slice_len(8).create().unwrap();
    let pending: Vec<_> = (0..limit).map(|_| ask(&client)).collect();
    let one_more = client.loan_slice_uninit(5).unwrap().write_from_slice(&[7; 5]).send();
    assert_eq!(format!("{:?}", one_more.unwrap_err()), "ExceedsMaxActiveRequests");
    for _ in 0..limit {
        assert_eq!(server.receive().unwrap().expect("a request").payload(), [7; 5]);
    }
    drop((pending, server, client));
}
