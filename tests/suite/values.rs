//! What single values offer and slices do not: `send_copy`, and messages that dereference to
//! their payload. Steps of a scenario loan first, so these are tests of their own.

use std::fmt::Debug;

use iceoryx2::prelude::{Node, NodeBuilder, Service, ServiceName, ipc, local};
use iceoryx2::service::port_factory::request_response::PortFactory;
use iox2_gauntlet::{actor::config_file, sandbox::Sandbox};

use crate::across_processes::assert_nothing_left;

/// Longer than a cache line, no two words alike.
type Value = [u64; 12];

fn value(nth: u64) -> Value {
    std::array::from_fn(|i| nth * 1000 + i as u64)
}

struct House<S: Service> {
    sandbox: Sandbox,
    _node: Node<S>,
    service: PortFactory<S, Value, (), Value, ()>,
}

impl<S: Service> House<S> {
    /// A service of which everything has room for one.
    fn new() -> Self {
        let sandbox = Sandbox::new().unwrap();
        let path = sandbox.write_config("values", "").unwrap();
        let config = config_file::load(&path).unwrap().config;
        let node = NodeBuilder::new().config(&config).create::<S>().unwrap();
        let service = node
            .service_builder(&ServiceName::new("values").unwrap())
            .request_response::<Value, Value>()
            .max_active_requests_per_client(1)
            .max_loaned_requests(1)
            .max_response_buffer_size(1)
            .max_servers(2)
            .create()
            .unwrap();
        Self { sandbox, _node: node, service }
    }

    fn close(self) {
        let Self { sandbox, _node, service } = self;
        drop((service, _node));
        assert_nothing_left(&sandbox);
    }
}

#[track_caller]
fn assert_refused<T, E: Debug>(result: Result<T, E>, error: &str) {
    match result {
        Ok(_) => panic!("expected {error}"),
        Err(refused) => assert!(format!("{refused:?}").contains(error), "{refused:?}"),
    }
}

fn copies_arrive_both_ways<S: Service>() {
    let house = House::<S>::new();
    let client = house.service.client_builder().create().unwrap();
    // Nobody is there to get it.
    assert_eq!(client.send_copy(value(0)).unwrap().number_of_server_connections(), 0);
    let servers: Vec<_> =
        (0..2).map(|_| house.service.server_builder().create().unwrap()).collect();
    // More turns than there are chunks.
    for turn in 1..40 {
        let pending = client.send_copy(value(turn)).unwrap();
        assert_eq!(pending.number_of_server_connections(), 2);
        assert_eq!(*pending, value(turn), "what was sent");
        for (nth, server) in servers.iter().enumerate() {
            let active = server.receive().unwrap().expect("the request");
            assert_eq!(*active, value(turn), "the request");
            assert!(server.receive().unwrap().is_none(), "it comes once");
            let answer = value(100 * turn + nth as u64);
            active.send_copy(answer).unwrap();
            let response = pending.receive().unwrap().expect("the response");
            assert_eq!(*response, answer, "the response");
            assert!(pending.receive().unwrap().is_none(), "it comes once");
        }
    }
    drop((client, servers));
    house.close();
}

fn copies_are_held_to_the_limits<S: Service>() {
    let house = House::<S>::new();
    let client = house.service.client_builder().create().unwrap();
    let server =
        house.service.server_builder().max_loaned_responses_per_request(1).create().unwrap();
    let loan = client.loan_uninit().unwrap();
    assert_refused(client.send_copy(value(1)), "ExceedsMaxLoans");
    drop(loan);
    let pending = client.send_copy(value(2)).unwrap();
    assert_refused(client.send_copy(value(3)), "ExceedsMaxActiveRequests");
    // What was refused went nowhere.
    let active = server.receive().unwrap().expect("the request");
    assert_eq!(*active, value(2));
    assert!(server.receive().unwrap().is_none());
    let loan = active.loan_uninit().unwrap();
    assert_refused(active.send_copy(value(4)), "ExceedsMaxLoans");
    drop(loan);
    active.send_copy(value(5)).unwrap();
    assert_eq!(**pending.receive().unwrap().as_ref().expect("the response"), value(5));
    assert!(pending.receive().unwrap().is_none());
    drop(pending);
    // Nobody waits for it any more, and that is no error.
    active.send_copy(value(6)).unwrap();
    drop(active);
    assert_eq!(*client.send_copy(value(7)).unwrap(), value(7));
    drop((client, server));
    house.close();
}

fn loans_are_written_and_read_through_their_references<S: Service>() {
    let house = House::<S>::new();
    let client = house.service.client_builder().create().unwrap();
    let server = house.service.server_builder().create().unwrap();
    let mut request = client.loan().unwrap();
    assert_eq!(*request, Value::default());
    *request = value(1);
    let pending = request.send().unwrap();
    let active = server.receive().unwrap().expect("the request");
    let mut response = active.loan().unwrap();
    assert_eq!(*response, Value::default());
    response[3] = 17;
    let written = *response;
    response.send().unwrap();
    assert_eq!((*active, *pending), (value(1), value(1)));
    assert_eq!(*pending.receive().unwrap().expect("the response"), written);
    drop((active, pending, client, server));
    house.close();
}

#[test]
fn a_copy_arrives_at_every_server_and_its_answer_at_the_client() {
    copies_arrive_both_ways::<ipc::Service>();
    copies_arrive_both_ways::<local::Service>();
}

#[test]
fn a_copy_is_held_to_the_limits_of_loans_and_of_active_requests() {
    copies_are_held_to_the_limits::<ipc::Service>();
    copies_are_held_to_the_limits::<local::Service>();
}

#[test]
fn a_value_is_written_and_read_through_its_loan() {
    loans_are_written_and_read_through_their_references::<ipc::Service>();
    loans_are_written_and_read_through_their_references::<local::Service>();
}
