//! A send that finds a full buffer has to wait: until there is room, or nobody is left who
//! could make some. Steps of a scenario are taken one at a time, so none of them ever waits;
//! here client and server are threads of their own.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use iceoryx2::{
    prelude::{AllocationStrategy, Node, NodeBuilder, ServiceName, ipc},
    service::port_factory::request_response::PortFactory,
};
use iox2_gauntlet::{
    actor::config_file,
    payload::{self, MessageId},
    sandbox::Sandbox,
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use crate::across_processes::assert_nothing_left;

/// Time for everything that is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Generated cases per property.
const CASES: u32 = 24;

const LONGEST: usize = 5000;

/// Responses that are held at a time.
const HELD: usize = 2;

pub(crate) type Service = PortFactory<ipc::Service, [u8], u64, [u8], u64>;

/// What one side sends to the other.
#[derive(Debug, Clone)]
struct Traffic {
    lens: Vec<usize>,
    /// Messages that may wait for the receiver.
    buffer: usize,
    allocation: AllocationStrategy,
    hint: usize,
    /// Messages after which the receiver goes away, if it does.
    leaves_after: usize,
    /// A handler is asked when there is no room, and leaves it to the strategy. Releases before
    /// 0.9 have none.
    handler: bool,
    /// The client says at once that it wants to disconnect: what is sent then is not lost.
    hints: bool,
}

/// The builder of a port of such traffic.
macro_rules! builder {
    ($ports:expr, $traffic:expr) => {{
        let builder =
            $ports.allocation_strategy($traffic.allocation).initial_max_slice_len($traffic.hint);
        #[cfg(iox2_at_least_0_9)]
        let builder = if $traffic.handler {
            builder.set_backpressure_handler(|_: &iceoryx2::port::BackpressureInfo| {
                iceoryx2::port::BackpressureAction::FollowBackpressureyStrategy
            })
        } else {
            builder
        };
        builder
    }};
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let allocations =
        [AllocationStrategy::Static, AllocationStrategy::BestFit, AllocationStrategy::PowerOfTwo];
    let ports = (select(allocations.to_vec()), 1..64_usize, any::<bool>(), any::<bool>());
    (vec(1..LONGEST, 6..40), 1..=3_usize, ports, 0..5_usize).prop_map(
        |(lens, buffer, (allocation, hint, handler, hints), leaves_after)| Traffic {
            hint: if allocation == AllocationStrategy::Static { LONGEST } else { hint },
            lens,
            buffer,
            allocation,
            leaves_after,
            handler,
            hints,
        },
    )
}

/// How far the sender is.
#[derive(Debug, Default)]
struct Progress {
    /// Sends that were begun.
    begun: AtomicUsize,
    /// Sends that returned.
    returned: AtomicUsize,
}

/// A service without overflow, in which so many messages may wait and so many responses to a
/// request may be held, and the node it lives in.
pub(crate) fn open(config: &Path, buffer: usize, held: usize) -> (Node<ipc::Service>, Service) {
    let config = config_file::load(config).unwrap().config;
    let node = NodeBuilder::new().config(&config).create::<ipc::Service>().unwrap();
    let service = node
        .service_builder(&ServiceName::new("waiting").unwrap())
        .request_response::<[u8], [u8]>()
        .request_user_header::<u64>()
        .response_user_header::<u64>()
        .enable_safe_overflow_for_requests(false)
        .enable_safe_overflow_for_responses(false)
        .enable_fire_and_forget_requests(true)
        .max_active_requests_per_client(buffer)
        .max_response_buffer_size(buffer)
        .max_borrowed_responses_per_pending_response(held)
        .open_or_create()
        .unwrap();
    (node, service)
}

pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        thread::yield_now();
    }
}

/// Number `nth` of the messages of a case.
pub(crate) fn id(nth: usize) -> MessageId {
    MessageId::new(nth as u64)
}

pub(crate) fn bytes(nth: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    payload::fill(id(nth), &mut bytes);
    bytes
}

/// Loans message `nth` of this length from a client or an active request, and writes it.
macro_rules! written {
    ($from:expr, $nth:expr, $len:expr) => {{
        let bytes = $crate::waiting::bytes($nth, $len);
        let mut loan = $from.loan_slice_uninit($len).unwrap().write_from_slice(&bytes);
        *loan.user_header_mut() = $crate::waiting::id($nth).seal();
        loan
    }};
}

pub(crate) use written;

/// Message `nth` of this length is what was received.
pub(crate) fn assert_arrived(nth: usize, len: usize, header: u64, payload: &[u8]) {
    assert_eq!(header, id(nth).seal(), "message {nth} is the next");
    assert_eq!(payload.len(), len, "message {nth}");
    payload::check(id(nth), payload).unwrap_or_else(|e| panic!("message {nth}: {e}"));
}

/// Waits until the buffer is full and the sender is about to send one more, so that it finds no
/// room; or until it has sent everything.
fn wait_until_full(traffic: &Traffic, progress: &Progress, received: usize) {
    let full = (received + traffic.buffer).min(traffic.lens.len());
    let further = (full + 1).min(traffic.lens.len());
    wait_until("a full buffer", || {
        (progress.begun.load(Ordering::SeqCst) >= further
            && progress.returned.load(Ordering::SeqCst) >= full)
            .then_some(())
    });
    let returned = progress.returned.load(Ordering::SeqCst);
    assert!(
        returned <= full,
        "{returned} sends returned after {received} messages were received, with room for {}",
        traffic.buffer
    );
}

type Side = Box<dyn FnOnce() + Send>;

/// Both sides at once, each in a thread. A side that does not return is a failure.
pub(crate) fn both(
    server: impl FnOnce() + Send + 'static,
    client: impl FnOnce() + Send + 'static,
) -> Result<(), TestCaseError> {
    let (done, ended) = mpsc::channel();
    let sides: [(&str, Side); 2] = [("server", Box::new(server)), ("client", Box::new(client))];
    for (name, side) in sides {
        let done = done.clone();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                side();
                let _ = done.send(());
            })
            .unwrap();
    }
    drop(done);
    for _ in 0..2 {
        ended.recv_timeout(DEADLINE * 2).map_err(|e| match e {
            mpsc::RecvTimeoutError::Timeout => TestCaseError::fail("a side waits for ever"),
            mpsc::RecvTimeoutError::Disconnected => TestCaseError::fail("a side panicked"),
        })?;
    }
    Ok(())
}

fn for_all_traffic(property: impl Fn(PathBuf, Traffic) -> Result<(), TestCaseError>) {
    let config = ProptestConfig {
        cases: CASES,
        // A case that hangs takes long.
        max_shrink_iters: 1,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&traffic(), |traffic| {
            let sandbox = Sandbox::new().unwrap();
            property(sandbox.write_config("waiting", "").unwrap(), traffic)?;
            assert_nothing_left(&sandbox);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

/// Sends all responses to one request, as long as anyone wants them.
fn answering(
    config: PathBuf,
    traffic: Traffic,
    progress: Arc<Progress>,
    ready: mpsc::Sender<()>,
    over: mpsc::Sender<()>,
) -> impl FnOnce() + Send {
    move || {
        let (_node, service) = open(&config, traffic.buffer, HELD);
        let server = builder!(service.server_builder(), traffic).create().unwrap();
        ready.send(()).unwrap();
        let active = wait_until("a request", || server.receive().unwrap());
        for (nth, len) in traffic.lens.iter().enumerate() {
            let response = written!(active, nth, *len);
            progress.begun.store(nth + 1, Ordering::SeqCst);
            response.send().unwrap();
            progress.returned.store(nth + 1, Ordering::SeqCst);
            if !active.is_connected() {
                break;
            }
        }
        // Leaving takes away what has not been received.
        wait_until("the end of the request", || (!active.is_connected()).then_some(()));
        // A client that has gone away does not ask.
        let _ = over.send(());
    }
}

/// Receives responses whenever the buffer is full, and asks for no more early or at the end. One
/// that `stays` is there until the server has noticed, others go away at once.
fn asking(
    config: PathBuf,
    traffic: Traffic,
    progress: Arc<Progress>,
    ready: mpsc::Receiver<()>,
    over: mpsc::Receiver<()>,
    count: usize,
    stays: bool,
) -> impl FnOnce() + Send {
    move || {
        let (_node, service) = open(&config, traffic.buffer, HELD);
        let client = service.client_builder().initial_max_slice_len(8).create().unwrap();
        ready.recv_timeout(DEADLINE).unwrap();
        let pending = client.loan_slice(8).unwrap().send().unwrap();
        if traffic.hints {
            pending.set_disconnect_hint();
        }
        let mut before = None;
        for nth in 0..count {
            wait_until_full(&traffic, &progress, nth);
            let response = wait_until("a response", || pending.receive().unwrap());
            assert_arrived(nth, traffic.lens[nth], *response.user_header(), response.payload());
            if let Some((nth, before)) = before.replace((nth, response)) {
                assert_arrived(nth, traffic.lens[nth], *before.user_header(), before.payload());
            }
        }
        wait_until_full(&traffic, &progress, count);
        drop(pending);
        if stays {
            over.recv_timeout(DEADLINE).expect("the server waits for nobody");
        }
    }
}

/// Sends all requests without caring for answers.
fn telling(
    config: PathBuf,
    traffic: Traffic,
    progress: Arc<Progress>,
    present: mpsc::Sender<()>,
    ready: mpsc::Receiver<()>,
    over: mpsc::Receiver<()>,
) -> impl FnOnce() + Send {
    move || {
        let (_node, service) = open(&config, traffic.buffer, HELD);
        let client = builder!(service.client_builder(), traffic).create().unwrap();
        present.send(()).unwrap();
        ready.recv_timeout(DEADLINE).unwrap();
        for (nth, len) in traffic.lens.iter().enumerate() {
            let request = written!(client, nth, *len);
            progress.begun.store(nth + 1, Ordering::SeqCst);
            drop(request.send().unwrap());
            progress.returned.store(nth + 1, Ordering::SeqCst);
        }
        over.recv_timeout(DEADLINE).unwrap();
    }
}

/// Receives requests whenever the buffer is full, and goes away early or at the end.
fn listening(
    config: PathBuf,
    traffic: Traffic,
    progress: Arc<Progress>,
    present: mpsc::Receiver<()>,
    ready: mpsc::Sender<()>,
    over: mpsc::Sender<()>,
    count: usize,
) -> impl FnOnce() + Send {
    move || {
        let (_node, service) = open(&config, traffic.buffer, HELD);
        let server = service.server_builder().create().unwrap();
        // Nobody waits for a server that has not yet looked for its clients.
        present.recv_timeout(DEADLINE).unwrap();
        assert!(!server.has_requests().unwrap());
        ready.send(()).unwrap();
        for nth in 0..count {
            wait_until_full(&traffic, &progress, nth);
            let request = wait_until("a request", || server.receive().unwrap());
            assert_arrived(nth, traffic.lens[nth], *request.user_header(), request.payload());
        }
        wait_until_full(&traffic, &progress, count);
        drop(server);
        over.send(()).unwrap();
    }
}

fn responses(
    config: PathBuf,
    traffic: &Traffic,
    count: usize,
    stays: bool,
) -> Result<(), TestCaseError> {
    let progress = Arc::new(Progress::default());
    let (ready, is_ready) = mpsc::channel();
    let (over, is_over) = mpsc::channel();
    both(
        answering(config.clone(), traffic.clone(), progress.clone(), ready, over),
        asking(config, traffic.clone(), progress, is_ready, is_over, count, stays),
    )
}

fn requests(config: PathBuf, traffic: &Traffic, count: usize) -> Result<(), TestCaseError> {
    let progress = Arc::new(Progress::default());
    let (present, is_present) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    let (over, is_over) = mpsc::channel();
    let server = (traffic.clone(), progress.clone());
    both(
        listening(config.clone(), server.0, server.1, is_present, ready, over, count),
        telling(config, traffic.clone(), progress, present, is_ready, is_over),
    )
}

#[test]
fn responses_wait_for_room_and_arrive_all_in_order() {
    for_all_traffic(|config, traffic| responses(config, &traffic, traffic.lens.len(), true));
}

#[test]
fn requests_wait_for_room_and_arrive_all_in_order() {
    for_all_traffic(|config, traffic| requests(config, &traffic, traffic.lens.len()));
}

#[test]
fn a_response_does_not_wait_for_a_pending_response_that_is_gone() {
    for_all_traffic(|config, traffic| responses(config, &traffic, traffic.leaves_after, true));
}

#[test]
fn a_response_does_not_wait_for_a_client_that_left() {
    for_all_traffic(|config, traffic| responses(config, &traffic, traffic.leaves_after, false));
}

#[test]
fn a_request_does_not_wait_for_a_server_that_left() {
    for_all_traffic(|config, traffic| requests(config, &traffic, traffic.leaves_after));
}

/// Not as it should be: `RetryUntilDelivered` "retries until the receiver has consumed some data
/// from the full buffer and there is space again" (`BackpressureStrategy`, iceoryx2 0.10.0). A
/// server that was created and has not yet looked for its clients counts as gone: what finds no
/// room for it is lost. The send succeeds, and only says that it reached no server. When this
/// fails the release waits, as it promises.
#[test]
fn what_finds_no_room_is_lost_to_a_server_that_has_not_looked_yet() {
    const SENT: usize = 4;
    for buffer in 1..=2 {
        let sandbox = Sandbox::new().unwrap();
        let config = sandbox.write_config("waiting", "").unwrap();
        let allocation = AllocationStrategy::BestFit;
        let lens = vec![8; SENT];
        let (hint, leaves_after, handler, hints) = (8, 0, false, false);
        let traffic = Traffic { lens, buffer, allocation, hint, leaves_after, handler, hints };
        let (ready, is_ready) = mpsc::channel();
        let (sent, is_sent) = mpsc::channel();
        let (over, is_over) = mpsc::channel::<()>();
        let server = {
            let (config, traffic) = (config.clone(), traffic.clone());
            move || {
                let (_node, service) = open(&config, traffic.buffer, HELD);
                let server = service.server_builder().create().unwrap();
                ready.send(()).unwrap();
                let told = is_sent.recv_timeout(DEADLINE).expect("the client waits for room");
                let kept = |nth| usize::from(nth < traffic.buffer);
                assert_eq!(told, (0..SENT).map(kept).collect::<Vec<_>>(), "servers reached");
                let mut arrived = 0;
                while let Some(request) = server.receive().unwrap() {
                    assert_arrived(
                        arrived,
                        traffic.lens[arrived],
                        *request.user_header(),
                        request.payload(),
                    );
                    arrived += 1;
                }
                assert_eq!(arrived, traffic.buffer, "of {SENT}");
                over.send(()).unwrap();
            }
        };
        let client = move || {
            let (_node, service) = open(&config, traffic.buffer, HELD);
            // A server that finds the client at its creation has looked.
            is_ready.recv_timeout(DEADLINE).unwrap();
            let client = service.client_builder().initial_max_slice_len(8).create().unwrap();
            let mut told = Vec::new();
            for (nth, len) in traffic.lens.iter().enumerate() {
                let request = written!(client, nth, *len);
                told.push(request.send().unwrap().number_of_server_connections());
            }
            sent.send(told).unwrap();
            is_over.recv_timeout(DEADLINE).unwrap();
        };
        both(server, client).unwrap();
        assert_nothing_left(&sandbox);
    }
}
