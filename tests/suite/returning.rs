//! All that was lent may be given back at once: what was held, what waited in the buffer, and what
//! found no room in it. In a scenario nobody waits for room, so that the last one is missing there;
//! here client and server are threads of their own. The sender looks for what was given back only
//! when everything is.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use iceoryx2::prelude::{AllocationStrategy, Node, ipc};
use iox2_gauntlet::sandbox::Sandbox;

use crate::{
    across_processes::assert_nothing_left,
    waiting::{DEADLINE, Service, assert_arrived, both, open, wait_until, written},
};

/// Of a case: whatever is not given back is missed sooner or later.
const ROUNDS: usize = 5;

const STRATEGIES: [AllocationStrategy; 3] =
    [AllocationStrategy::Static, AllocationStrategy::BestFit, AllocationStrategy::PowerOfTwo];

#[derive(Debug, Clone)]
struct Case {
    config: PathBuf,
    /// Messages that may wait for the receiver.
    buffer: usize,
    /// Messages the receiver may hold.
    held: usize,
    allocation: AllocationStrategy,
}

impl Case {
    fn open(&self) -> (Node<ipc::Service>, Service) {
        open(&self.config, self.buffer, self.held)
    }

    /// What is held, what waits, and the one for which there is no room.
    fn messages(&self) -> usize {
        self.held + self.buffer + 1
    }

    /// The longest comes first: what follows may reuse its memory.
    fn len(&self, nth: usize) -> usize {
        if self.allocation == AllocationStrategy::Static { 64 } else { 900 >> (nth % 3) }
    }
}

/// Sends that were begun.
type Begun = Arc<AtomicUsize>;

/// Receives all messages of a round, the first ones to hold them until the sender waits for room.
macro_rules! receive_round {
    ($from:expr, $case:expr, $round:expr, $begun:expr) => {{
        let first = $round * $case.messages();
        let next = |nth: usize| {
            let message = wait_until("a message", || $from.receive().unwrap());
            assert_arrived(nth, $case.len(nth), *message.user_header(), message.payload());
            message
        };
        let held: Vec<_> = (first..first + $case.held).map(next).collect();
        let last = first + $case.messages();
        wait_until("the last send", || ($begun.load(Ordering::SeqCst) == last).then_some(()));
        drop(held);
        (first + $case.held..last).for_each(|nth| drop(next(nth)));
        assert!($from.receive().unwrap().is_none(), "that was all");
    }};
}

/// Runs a property for every strategy, buffers of several sizes, and several messages held.
fn for_all_cases(held: impl Fn(usize) -> std::ops::RangeInclusive<usize>, property: impl Fn(Case)) {
    for allocation in STRATEGIES {
        for buffer in 1..=3 {
            for held in held(buffer) {
                let sandbox = Sandbox::new().unwrap();
                let config: &Path = &sandbox.write_config("returning", "").unwrap();
                property(Case { config: config.into(), buffer, held, allocation });
                assert_nothing_left(&sandbox);
            }
        }
    }
}

#[test]
fn responses_may_be_given_back_all_at_once() {
    for_all_cases(
        |_| 1..=3,
        |case| {
            let (begun, answering) = (Begun::default(), case.clone());
            let (ready, is_ready) = mpsc::channel();
            let (over, is_over) = mpsc::channel();
            let by_server = begun.clone();
            let server = move || {
                let (_node, service) = answering.open();
                let builder = service.server_builder().initial_max_slice_len(64);
                let server = builder.allocation_strategy(answering.allocation).create().unwrap();
                ready.send(()).unwrap();
                let active = wait_until("a request", || server.receive().unwrap());
                for nth in 0..ROUNDS * answering.messages() {
                    let response = written!(active, nth, answering.len(nth));
                    by_server.store(nth + 1, Ordering::SeqCst);
                    response.send().unwrap();
                    if (nth + 1).is_multiple_of(answering.messages()) {
                        is_over.recv_timeout(DEADLINE).expect("the end of a round");
                    }
                }
            };
            let client = move || {
                let (_node, service) = case.open();
                let client = service.client_builder().initial_max_slice_len(8).create().unwrap();
                is_ready.recv_timeout(DEADLINE).unwrap();
                let pending = client.loan_slice(8).unwrap().send().unwrap();
                for round in 0..ROUNDS {
                    receive_round!(pending, case, round, begun);
                    over.send(()).unwrap();
                }
            };
            both(server, client).unwrap();
        },
    );
}

#[test]
fn requests_may_be_given_back_all_at_once() {
    for_all_cases(
        // A server holds no more requests of a client than may be active.
        |buffer| 1..=buffer,
        |case| {
            let (begun, asking) = (Begun::default(), case.clone());
            let (ready, is_ready) = mpsc::channel();
            let (present, is_present) = mpsc::channel();
            let (over, is_over) = mpsc::channel();
            let by_client = begun.clone();
            let server = move || {
                let (_node, service) = case.open();
                let server = service.server_builder().initial_max_slice_len(8).create().unwrap();
                // Nobody waits for a server that has not yet looked for its clients.
                is_present.recv_timeout(DEADLINE).unwrap();
                assert!(!server.has_requests().unwrap());
                ready.send(()).unwrap();
                for round in 0..ROUNDS {
                    receive_round!(server, case, round, begun);
                    over.send(()).unwrap();
                }
            };
            let client = move || {
                let (_node, service) = asking.open();
                let builder = service.client_builder().initial_max_slice_len(64);
                let client = builder.allocation_strategy(asking.allocation).create().unwrap();
                present.send(()).unwrap();
                is_ready.recv_timeout(DEADLINE).unwrap();
                for nth in 0..ROUNDS * asking.messages() {
                    let request = written!(client, nth, asking.len(nth));
                    by_client.store(nth + 1, Ordering::SeqCst);
                    drop(request.send().unwrap());
                    if (nth + 1).is_multiple_of(asking.messages()) {
                        is_over.recv_timeout(DEADLINE).expect("the end of a round");
                    }
                }
            };
            both(server, client).unwrap();
        },
    );
}
