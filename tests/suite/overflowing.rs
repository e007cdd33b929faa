//! A buffer that overflows while somebody reads from it: with safe overflow the oldest message
//! goes, and what is received is intact, in order and nothing twice. In a scenario, one step after
//! the other, nobody takes a message away while another one does; here client and server are
//! threads of their own, and neither waits for the other.

use std::{path::Path, sync::mpsc, thread};

use iceoryx2::{
    prelude::{AllocationStrategy, Node, NodeBuilder, PortFactory as _, ServiceName, ipc},
    service::port_factory::request_response::PortFactory,
};
use iox2_gauntlet::{
    actor::config_file,
    payload::{self, MessageId},
    sandbox::Sandbox,
};

use crate::{
    across_processes::assert_nothing_left,
    waiting::{DEADLINE, wait_until},
};

/// One after the other, without a pause.
const MESSAGES: usize = 100_000;

const LONGEST: usize = 700;

type Service = PortFactory<ipc::Service, [u8], u64, [u8], u64>;

#[derive(Debug, Clone, Copy)]
struct Traffic<'a> {
    config: &'a Path,
    /// Messages that may wait.
    buffer: usize,
    allocation: AllocationStrategy,
    hint: usize,
}

impl Traffic<'_> {
    fn open(&self) -> (Node<ipc::Service>, Service) {
        let config = config_file::load(self.config).unwrap().config;
        let node = NodeBuilder::new().config(&config).create::<ipc::Service>().unwrap();
        let service = node
            .service_builder(&ServiceName::new("overflowing").unwrap())
            .request_response::<[u8], [u8]>()
            .request_user_header::<u64>()
            .response_user_header::<u64>()
            .enable_safe_overflow_for_requests(true)
            .enable_safe_overflow_for_responses(true)
            .enable_fire_and_forget_requests(true)
            .max_active_requests_per_client(self.buffer)
            .max_response_buffer_size(self.buffer)
            .max_borrowed_responses_per_pending_response(2)
            .open_or_create()
            .unwrap();
        (node, service)
    }
}

fn id(nth: usize) -> MessageId {
    MessageId::new(nth as u64)
}

/// Of message `nth`: for some time each is longer than those before, then they vary.
fn bytes(nth: usize) -> Vec<u8> {
    let mut bytes = vec![0; if nth < 50 { 1 + nth } else { 1 + nth * 37 % LONGEST }];
    payload::fill(id(nth), &mut bytes);
    bytes
}

/// What was received so far.
#[derive(Debug, Default)]
struct Received {
    last: Option<usize>,
}

impl Received {
    /// Takes note of a message; whether it is the last that was sent.
    fn note(&mut self, header: u64, payload: &[u8]) -> bool {
        let id = MessageId::unseal(header).expect("a user header that was written");
        payload::check(id, payload).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        let nth = usize::try_from(id.get()).unwrap();
        assert_eq!(payload.len(), bytes(nth).len(), "message {nth}");
        assert!(self.last.is_none_or(|last| last < nth), "{nth} after {:?}", self.last);
        self.last = Some(nth);
        nth + 1 == MESSAGES
    }
}

/// Tells the sender that the receiver is there, and that it has received the last message.
type Tell = [mpsc::Sender<()>; 2];

type Told = [mpsc::Receiver<()>; 2];

fn wait_for(told: &mpsc::Receiver<()>) {
    told.recv_timeout(DEADLINE).expect("the receiver gets on");
}

/// Lets two threads, one that sends and one that receives, do what they have to for each strategy
/// and buffer.
fn in_each_way(send: fn(Traffic<'_>, Told), receive: fn(Traffic<'_>, Tell)) {
    let strategies =
        [AllocationStrategy::Static, AllocationStrategy::BestFit, AllocationStrategy::PowerOfTwo];
    for (allocation, buffer) in strategies.into_iter().flat_map(|a| [1, 2, 3].map(|b| (a, b))) {
        let sandbox = Sandbox::new().unwrap();
        let config = sandbox.write_config("overflowing", "").unwrap();
        let hint = if allocation == AllocationStrategy::Static { LONGEST } else { 1 };
        let traffic = Traffic { config: &config, buffer, allocation, hint };
        let [(begin, begins), (end, ends)] = [mpsc::channel(), mpsc::channel()];
        thread::scope(|scope| {
            scope.spawn(move || send(traffic, [begins, ends]));
            scope.spawn(move || receive(traffic, [begin, end]));
        });
        assert_nothing_left(&sandbox);
    }
}

#[test]
fn responses_that_overflow_amid_a_receive_arrive_in_order_and_none_twice() {
    in_each_way(
        |traffic, [begin, end]| {
            let (_node, service) = traffic.open();
            let server = service
                .server_builder()
                .allocation_strategy(traffic.allocation)
                .initial_max_slice_len(traffic.hint)
                .create()
                .unwrap();
            wait_for(&begin);
            let active = wait_until("the request", || server.receive().unwrap());
            for nth in 0..MESSAGES {
                let bytes = bytes(nth);
                let response = active.loan_slice_uninit(bytes.len()).unwrap();
                let mut response = response.write_from_slice(&bytes);
                *response.user_header_mut() = id(nth).seal();
                response.send().unwrap();
            }
            wait_for(&end);
        },
        |traffic, [begin, end]| {
            let (_node, service) = traffic.open();
            let client = service.client_builder().create().unwrap();
            begin.send(()).unwrap();
            wait_until("the server", || {
                (service.dynamic_config().number_of_servers() == 1).then_some(())
            });
            let pending = client.loan_slice(1).unwrap().send().unwrap();
            let mut received = Received::default();
            let mut before = None;
            wait_until("the last response", || {
                let response = pending.receive().unwrap()?;
                let is_last = received.note(*response.user_header(), response.payload());
                before = Some(response);
                is_last.then_some(())
            });
            assert!(pending.receive().unwrap().is_none(), "nothing after the last");
            drop((before, pending));
            end.send(()).unwrap();
        },
    );
}

#[test]
fn requests_that_overflow_amid_a_receive_arrive_in_order_and_none_twice() {
    in_each_way(
        |traffic, [begin, end]| {
            let (_node, service) = traffic.open();
            let client = service
                .client_builder()
                .allocation_strategy(traffic.allocation)
                .initial_max_slice_len(traffic.hint)
                .create()
                .unwrap();
            wait_for(&begin);
            for nth in 0..MESSAGES {
                let bytes = bytes(nth);
                let request = client.loan_slice_uninit(bytes.len()).unwrap();
                let mut request = request.write_from_slice(&bytes);
                *request.user_header_mut() = id(nth).seal();
                drop(request.send().unwrap());
            }
            // What a client that is gone has sent may be lost.
            wait_for(&end);
        },
        |traffic, [begin, end]| {
            let (_node, service) = traffic.open();
            let server = service.server_builder().create().unwrap();
            begin.send(()).unwrap();
            let mut received = Received::default();
            let mut before = None;
            wait_until("the last request", || {
                let request = server.receive().unwrap()?;
                let is_last = received.note(*request.user_header(), request.payload());
                // A server holds as many requests of a client as that may have active.
                before = Some(request).filter(|_| traffic.buffer > 1);
                is_last.then_some(())
            });
            assert!(server.receive().unwrap().is_none(), "nothing after the last");
            drop(before);
            end.send(()).unwrap();
        },
    );
}
