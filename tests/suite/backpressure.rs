//! What a full buffer may make of a send, where a handler decides: `BackpressureInfo` and
//! `BackpressureAction` (iceoryx2 `port/mod.rs`). Scenarios have one of them, with which every
//! such send fails; what others do, and what they are told, is tested here.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use iceoryx2::{
    port::{BackpressureAction, BackpressureInfo},
    prelude::{
        AllocationStrategy, BackpressureStrategy, Node, NodeBuilder, ServiceName, ipc_threadsafe,
    },
    service::port_factory::request_response::PortFactory,
};
use iox2_gauntlet::{
    actor::config_file,
    payload::{self, MessageId},
    sandbox::Sandbox,
};

use crate::across_processes::assert_nothing_left;

type Variant = ipc_threadsafe::Service;
type Service = PortFactory<Variant, [u8], u64, [u8], u64>;
type Client = iceoryx2::port::client::Client<Variant, [u8], u64, [u8], u64>;
type Server = iceoryx2::port::server::Server<Variant, [u8], u64, [u8], u64>;
type Pending = iceoryx2::pending_response::PendingResponse<Variant, [u8], u64, [u8], u64>;
type Active = iceoryx2::active_request::ActiveRequest<Variant, [u8], u64, [u8], u64>;

/// Messages a buffer takes.
const ROOM: usize = 2;

/// Every port grows with nearly every message.
const LENS: [usize; 6] = [3, 20, 100, 99, 700, 5000];

const STRATEGIES: [AllocationStrategy; 2] =
    [AllocationStrategy::BestFit, AllocationStrategy::PowerOfTwo];

/// Retries after which a handler gives up: time that is counted anew each time is much less then.
const RETRIES: u64 = 20;

/// No handler is asked so often.
const MOST_CALLS: usize = 1000;

/// What a handler was told, call by call.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    sender: u128,
    receiver: u128,
    retries: u64,
}

/// When the handler was called first for a delivery, and how long after that it returned last.
type Took = Arc<Mutex<(Instant, Duration)>>;

/// A handler is told of all the time since the first call. Whatever the machine does between two
/// calls makes it more; twice as much is for a clock that is not the same.
fn check_time(took: &Took, info: &BackpressureInfo) {
    let mut took = took.lock().unwrap();
    if info.retries == 0 {
        *took = (Instant::now(), Duration::ZERO);
    }
    let (first, last) = *took;
    assert!(2 * info.elapsed_time >= last, "{:?} of {last:?}", info.elapsed_time);
    took.1 = first.elapsed();
}

impl Calls {
    fn note(&self, info: &BackpressureInfo) {
        self.0.lock().unwrap().push(Call {
            sender: info.sender_port_id,
            receiver: info.receiver_port_id,
            retries: info.retries,
        });
    }

    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// A handler that answers a call with its number of retries.
    fn handler(
        &self,
        answer: impl Fn(u64) -> BackpressureAction + Send + 'static,
    ) -> impl Fn(&BackpressureInfo) -> BackpressureAction + Send + 'static {
        let calls = self.clone();
        let took = Arc::new(Mutex::new((Instant::now(), Duration::ZERO)));
        move |info| {
            check_time(&took, info);
            calls.note(info);
            // Whoever counts retries would wait for ever for a number that never comes.
            assert!(calls.0.lock().unwrap().len() < MOST_CALLS, "asked again and again");
            answer(info.retries)
        }
    }
}

/// One call for each of these numbers of retries.
fn calls(sender: u128, receiver: u128, retries: impl IntoIterator<Item = u64>) -> Vec<Call> {
    retries.into_iter().map(|retries| Call { sender, receiver, retries }).collect()
}

struct House {
    sandbox: Sandbox,
    _node: Node<Variant>,
    service: Service,
}

impl House {
    fn new(overflow: bool) -> Self {
        let sandbox = Sandbox::new().unwrap();
        let path = sandbox.write_config("backpressure", "").unwrap();
        let config = config_file::load(&path).unwrap().config;
        let node = NodeBuilder::new().config(&config).create::<Variant>().unwrap();
        let service = node
            .service_builder(&ServiceName::new("backpressure").unwrap())
            .request_response::<[u8], [u8]>()
            .request_user_header::<u64>()
            .response_user_header::<u64>()
            .enable_safe_overflow_for_requests(overflow)
            .enable_safe_overflow_for_responses(overflow)
            .enable_fire_and_forget_requests(true)
            .max_active_requests_per_client(ROOM)
            .max_response_buffer_size(ROOM)
            .max_servers(2)
            .max_clients(2)
            .create()
            .unwrap();
        Self { sandbox, _node: node, service }
    }

    fn server(&self) -> Server {
        self.service.server_builder().create().unwrap()
    }

    /// Nothing is left once the ports, which have to be gone, and the service are.
    fn close(self) {
        let Self { sandbox, _node, service } = self;
        drop((service, _node));
        assert_nothing_left(&sandbox);
    }
}

fn id(nth: usize) -> MessageId {
    MessageId::new(nth as u64)
}

fn bytes(nth: usize) -> Vec<u8> {
    let mut bytes = vec![0; LENS[nth]];
    payload::fill(id(nth), &mut bytes);
    bytes
}

fn assert_is(nth: usize, header: u64, payload: &[u8]) {
    assert_eq!((header, payload.len()), (id(nth).seal(), LENS[nth]), "message {nth} is the next");
    payload::check(id(nth), payload).unwrap_or_else(|e| panic!("message {nth}: {e}"));
}

/// The number of servers it reached, or the name of the error.
fn ask(client: &Client, nth: usize) -> Result<usize, String> {
    let mut request = client.loan_slice_uninit(LENS[nth]).unwrap().write_from_slice(&bytes(nth));
    *request.user_header_mut() = id(nth).seal();
    let pending = request.send().map_err(|error| format!("{error:?}"))?;
    Ok(pending.number_of_server_connections())
}

fn answer(active: &Active, nth: usize) -> Result<(), String> {
    let mut response = active.loan_slice_uninit(LENS[nth]).unwrap().write_from_slice(&bytes(nth));
    *response.user_header_mut() = id(nth).seal();
    response.send().map_err(|error| format!("{error:?}"))
}

fn assert_requests(server: &Server, expected: &[usize]) {
    for &nth in expected {
        let request = server.receive().unwrap().unwrap_or_else(|| panic!("no request {nth}"));
        assert_is(nth, *request.user_header(), request.payload());
    }
    assert!(server.receive().unwrap().is_none(), "only {expected:?} wait");
}

fn assert_responses(pending: &Pending, expected: &[usize]) {
    for &nth in expected {
        let response = pending.receive().unwrap().unwrap_or_else(|| panic!("no response {nth}"));
        assert_is(nth, *response.user_header(), response.payload());
    }
    assert!(pending.receive().unwrap().is_none(), "only {expected:?} wait");
}

/// A client whose handler answers so, and a server that knows it.
fn pair(
    house: &House,
    allocation: AllocationStrategy,
    strategy: BackpressureStrategy,
    handler: impl Fn(&BackpressureInfo) -> BackpressureAction + Send + 'static,
) -> (Client, Server) {
    let server = house.server();
    let client = house
        .service
        .client_builder()
        .allocation_strategy(allocation)
        .backpressure_strategy(strategy)
        .set_backpressure_handler(handler)
        .create()
        .unwrap();
    assert!(!server.has_requests().unwrap());
    (client, server)
}

/// A server whose handler answers so, its active request, and the client that waits for it.
fn exchange(
    house: &House,
    allocation: AllocationStrategy,
    strategy: BackpressureStrategy,
    handler: impl Fn(&BackpressureInfo) -> BackpressureAction + Send + 'static,
) -> (Server, Active, Client, Pending) {
    let client = house.service.client_builder().initial_max_slice_len(8).create().unwrap();
    let server = house
        .service
        .server_builder()
        .allocation_strategy(allocation)
        .backpressure_strategy(strategy)
        .set_backpressure_handler(handler)
        .create()
        .unwrap();
    let pending = client.loan_slice(8).unwrap().send().unwrap();
    let active = server.receive().unwrap().unwrap();
    (server, active, client, pending)
}

#[test]
fn a_handler_is_asked_until_it_gives_up_and_told_who_waits_for_whom() {
    for allocation in STRATEGIES {
        let house = House::new(false);
        let asked = Calls::default();
        let handler = asked.handler(|retries| {
            if retries < RETRIES {
                BackpressureAction::Retry
            } else {
                BackpressureAction::DiscardData
            }
        });
        let (client, server) =
            pair(&house, allocation, BackpressureStrategy::RetryUntilDelivered, handler);
        assert_eq!((ask(&client, 0), ask(&client, 1)), (Ok(1), Ok(1)));
        assert_eq!(asked.take(), [], "there is room");
        assert_eq!(ask(&client, 2), Ok(0), "the only server did not get it");
        assert_eq!(asked.take(), calls(client.id().value(), server.id().value(), 0..=RETRIES));
        assert_requests(&server, &[0, 1]);
        assert_eq!((ask(&client, 3), asked.take()), (Ok(1), vec![]), "there is room again");
        assert_requests(&server, &[3]);
        drop((client, server));
        house.close();

        let house = House::new(false);
        let asked = Calls::default();
        let handler = asked.handler(|retries| {
            if retries < RETRIES {
                BackpressureAction::Retry
            } else {
                BackpressureAction::DiscardData
            }
        });
        let (server, active, client, pending) =
            exchange(&house, allocation, BackpressureStrategy::RetryUntilDelivered, handler);
        assert_eq!((answer(&active, 0), answer(&active, 1)), (Ok(()), Ok(())));
        assert_eq!(asked.take(), [], "there is room");
        assert_eq!(answer(&active, 2), Ok(()));
        assert_eq!(asked.take(), calls(server.id().value(), client.id().value(), 0..=RETRIES));
        assert_responses(&pending, &[0, 1]);
        assert_eq!((answer(&active, 3), asked.take()), (Ok(()), vec![]), "there is room again");
        assert_responses(&pending, &[3]);
        drop((server, active, client, pending));
        house.close();
    }
}

#[test]
fn a_handler_that_fails_is_an_error_of_the_send_and_costs_nothing() {
    for allocation in STRATEGIES {
        let house = House::new(false);
        let fail = |_: &BackpressureInfo| BackpressureAction::DiscardDataAndFail;
        let (client, server) =
            pair(&house, allocation, BackpressureStrategy::RetryUntilDelivered, fail);
        let failed = Err("SendError(UnableToDeliver)".to_owned());
        // More often than a client has chunks: none of them may be lost.
        for _ in 0..8 {
            assert_eq!((ask(&client, 0), ask(&client, 1)), (Ok(1), Ok(1)));
            (2..LENS.len()).for_each(|nth| assert_eq!(ask(&client, nth), failed));
            assert_requests(&server, &[0, 1]);
        }
        drop((client, server));
        house.close();

        let house = House::new(false);
        let (server, active, client, pending) =
            exchange(&house, allocation, BackpressureStrategy::RetryUntilDelivered, fail);
        for _ in 0..16 {
            assert_eq!((answer(&active, 0), answer(&active, 1)), (Ok(()), Ok(())));
            let failed = Err("UnableToDeliver".to_owned());
            (2..LENS.len()).for_each(|nth| assert_eq!(answer(&active, nth), failed));
            assert_responses(&pending, &[0, 1]);
        }
        drop((server, active, client, pending));
        house.close();
    }
}

#[test]
fn a_handler_that_follows_the_strategy_discards_with_discard_data() {
    for allocation in STRATEGIES {
        let house = House::new(false);
        let asked = Calls::default();
        let handler = asked.handler(|_| BackpressureAction::FollowBackpressureyStrategy);
        let (client, server) = pair(&house, allocation, BackpressureStrategy::DiscardData, handler);
        let told: Vec<_> = (0..4).map(|nth| ask(&client, nth)).collect();
        assert_eq!(told, [Ok(1), Ok(1), Ok(0), Ok(0)]);
        let once = calls(client.id().value(), server.id().value(), [0]);
        assert_eq!(asked.take(), once.repeat(2));
        assert_requests(&server, &[0, 1]);
        drop((client, server));
        house.close();

        let house = House::new(false);
        let asked = Calls::default();
        let handler = asked.handler(|_| BackpressureAction::FollowBackpressureyStrategy);
        let (server, active, client, pending) =
            exchange(&house, allocation, BackpressureStrategy::DiscardData, handler);
        (0..4).for_each(|nth| assert_eq!(answer(&active, nth), Ok(())));
        let once = calls(server.id().value(), client.id().value(), [0]);
        assert_eq!(asked.take(), once.repeat(2));
        assert_responses(&pending, &[0, 1]);
        drop((server, active, client, pending));
        house.close();
    }
}

/// A handler may leave it to the strategy to wait, and is not asked again.
#[test]
fn a_retry_succeeds_as_soon_as_there_is_room() {
    let again = || [BackpressureAction::Retry, BackpressureAction::FollowBackpressureyStrategy];
    for (allocation, again) in STRATEGIES.into_iter().flat_map(|a| again().map(|b| (a, b))) {
        let house = House::new(false);
        let server = Arc::new(house.server());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let handler = {
            let (server, taken) = (server.clone(), taken.clone());
            let asked = AtomicU64::new(0);
            move |info: &BackpressureInfo| {
                assert_eq!(info.retries, asked.fetch_add(1, Ordering::Relaxed), "once per retry");
                // The receiver makes room while the sender waits.
                let last = if again == BackpressureAction::Retry { 2 } else { 0 };
                if info.retries == last {
                    taken.lock().unwrap().push(server.receive().unwrap().unwrap());
                }
                assert!(info.retries <= last, "there is room");
                again
            }
        };
        let client = house
            .service
            .client_builder()
            .allocation_strategy(allocation)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .set_backpressure_handler(handler)
            .create()
            .unwrap();
        assert!(!server.has_requests().unwrap());
        let told: Vec<_> = (0..3).map(|nth| ask(&client, nth)).collect();
        assert_eq!(told, [Ok(1), Ok(1), Ok(1)]);
        let first = taken.lock().unwrap().pop().unwrap();
        assert_is(0, *first.user_header(), first.payload());
        drop(first);
        assert_requests(&server, &[1, 2]);
        drop((client, server));
        house.close();
    }
}

/// Also of more than a second.
#[test]
fn a_handler_is_told_how_long_it_has_been_going_on() {
    const LONG: Duration = Duration::from_millis(1200);
    let house = House::new(false);
    let server = house.server();
    let took = Arc::new(Mutex::new((Instant::now(), Duration::ZERO)));
    let handler = {
        let took = took.clone();
        move |info: &BackpressureInfo| {
            check_time(&took, info);
            let is_long = took.lock().unwrap().1 >= LONG;
            if is_long { BackpressureAction::DiscardData } else { BackpressureAction::Retry }
        }
    };
    let client = house
        .service
        .client_builder()
        .allocation_strategy(AllocationStrategy::BestFit)
        .set_backpressure_handler(handler)
        .create()
        .unwrap();
    assert!(!server.has_requests().unwrap());
    let told: Vec<_> = (0..=ROOM).map(|nth| ask(&client, nth)).collect();
    assert_eq!(told, [Ok(1), Ok(1), Ok(0)]);
    assert!(took.lock().unwrap().1 >= LONG, "it has been asked for as long");
    drop((client, server));
    house.close();
}

#[test]
fn only_the_full_server_goes_without() {
    for (allocation, first_is_full) in STRATEGIES.iter().flat_map(|a| [(*a, true), (*a, false)]) {
        let house = House::new(false);
        let asked = Calls::default();
        let handler = asked.handler(|_| BackpressureAction::DiscardDataAndFail);
        let first = house.server();
        let (client, second) =
            pair(&house, allocation, BackpressureStrategy::RetryUntilDelivered, handler);
        assert!(!first.has_requests().unwrap());
        let (full, other) = if first_is_full { (first, second) } else { (second, first) };
        for nth in 0..ROOM {
            assert_eq!(ask(&client, nth), Ok(2));
            assert_requests(&other, &[nth]);
        }
        let failed = Err("SendError(UnableToDeliver)".to_owned());
        assert_eq!(ask(&client, 4), failed, "one of two servers did not get it");
        assert_eq!(asked.take(), calls(client.id().value(), full.id().value(), [0]));
        assert_requests(&other, &[4]);
        assert_requests(&full, &[0, 1]);
        drop((client, full, other));
        house.close();
    }
}

/// Nobody waits for the response to a request whose send failed, and what was prepared for it
/// does later ones no harm.
#[test]
fn a_server_that_got_a_request_of_a_failed_send_is_not_connected() {
    for allocation in STRATEGIES {
        let house = House::new(false);
        let full = house.server();
        let (client, other) =
            pair(&house, allocation, BackpressureStrategy::RetryUntilDelivered, |_| {
                BackpressureAction::DiscardDataAndFail
            });
        assert!(!full.has_requests().unwrap());
        let failed = Err("SendError(UnableToDeliver)".to_owned());
        // More often than a client has channels for responses.
        for _ in 0..40 {
            for nth in 0..ROOM {
                assert_eq!(ask(&client, nth), Ok(2));
                assert_requests(&other, &[nth]);
            }
            assert_eq!(ask(&client, 4), failed, "one of two servers did not get it");
            let nobodys = other.receive().unwrap().unwrap();
            assert_is(4, *nobodys.user_header(), nobodys.payload());
            assert!(!nobodys.is_connected(), "there is no pending response");
            drop(nobodys);
            assert_requests(&full, &[0, 1]);
            let pending = client.loan_slice(8).unwrap().send().unwrap();
            let active = other.receive().unwrap().unwrap();
            assert!(active.is_connected() && pending.is_connected());
            active.loan_slice(1).unwrap().send().unwrap();
            drop(active);
            assert_eq!(pending.receive().unwrap().unwrap().payload(), [0]);
            drop(full.receive().unwrap().unwrap());
            assert!(!pending.is_connected());
        }
        drop((client, full, other));
        house.close();
    }
}

#[test]
fn nobody_is_asked_where_the_oldest_makes_room() {
    for allocation in STRATEGIES {
        let house = House::new(true);
        let asked = Calls::default();
        let handler = asked.handler(|_| BackpressureAction::DiscardDataAndFail);
        let (client, server) =
            pair(&house, allocation, BackpressureStrategy::RetryUntilDelivered, handler);
        (0..5).for_each(|nth| assert_eq!(ask(&client, nth), Ok(1)));
        assert_requests(&server, &[3, 4]);
        drop((client, server));
        let handler = asked.handler(|_| BackpressureAction::DiscardDataAndFail);
        let (server, active, client, pending) =
            exchange(&house, allocation, BackpressureStrategy::RetryUntilDelivered, handler);
        (0..5).for_each(|nth| assert_eq!(answer(&active, nth), Ok(())));
        assert_responses(&pending, &[3, 4]);
        assert_eq!(asked.take(), []);
        drop((server, active, client, pending));
        house.close();
    }
}
