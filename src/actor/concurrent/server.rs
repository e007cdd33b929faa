//! Servers, and the threads that share one.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use iceoryx2::prelude::*;

use super::{EndOnPanic, Event, Setting, Share, Who, join, memory_of, wanted};
use crate::{
    actor::{Observation, PortId, arrival, message::Payload, open::Obtain, version},
    payload::MessageId,
    scenario::{Concurrent, concurrent::RESPONSE_LOANS},
};

/// So many requests are answered with the help of another thread by each.
const HANDED_ON: usize = 3;

/// How long at most: on a busy machine threads wait for each other all the time.
const HANDING_ON: Duration = Duration::from_millis(20);

/// The life of a server port and of the threads that share it.
pub(super) fn live<S, Req, Res>(setting: &Setting, port: usize)
where
    S: Share,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let Setting { traffic, board, logs, .. } = setting;
    let _end = EndOnPanic(board);
    let all_requests = traffic.clients * traffic.requests;
    // The clients go on without it, so there is nothing to lose patience over.
    while traffic.comes_late(port) && board.asked.load(Ordering::Relaxed) < all_requests / 3 {
        if board.is_over() || board.clients_left.load(Ordering::Relaxed) == 0 {
            return;
        }
        thread::yield_now();
    }
    board.servers_begun.fetch_add(1, Ordering::Relaxed);
    let create = || -> Result<Vec<Vec<Event>>, String> {
        let busy = board.busy();
        let (_node, factory) = join::<S, Req, Res>(setting)?;
        let builder = factory.server_builder();
        let builder = Res::server_memory(builder, memory_of(traffic, traffic.server_strategy));
        let builder = builder.max_loaned_responses_per_request(RESPONSE_LOANS);
        let server = builder.create().map_err(|error| format!("{error:?}"))?;
        board.servers_ready.fetch_add(1, Ordering::Relaxed);
        drop(busy);
        let events = S::share_server(&server, traffic.threads, &|server, _| {
            Answering { setting, port, origin: version::server_id(server), log: Vec::new() }
                .answer(server)
        });
        if traffic.leaves_early(port) {
            let _busy = board.busy();
            board.servers_leaving.fetch_add(1, Ordering::AcqRel);
            drop(server);
            board.servers_gone.fetch_add(1, Ordering::AcqRel);
        }
        Ok(events)
    };
    let events = create().unwrap_or_else(|error| {
        board.end();
        vec![vec![Event::NotCreated(error)]]
    });
    let who = |thread| Who::Server { port, thread };
    let logs_of_threads = events.into_iter().enumerate().map(|(n, events)| (who(n), events));
    let _ = logs.send(logs_of_threads.collect());
}

/// A thread of a server.
struct Answering<'a> {
    setting: &'a Setting,
    port: usize,
    origin: PortId,
    log: Vec<Event>,
}

impl Answering<'_> {
    fn answer<S, Req, Res>(mut self, server: &version::Server<S, Req, Res>) -> Vec<Event>
    where
        S: Share,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let Setting { traffic, board, settings, .. } = self.setting;
        let mut held = VecDeque::new();
        let mut nth = 0;
        let is_leaver = traffic.leaves_early(self.port);
        let enough = traffic.clients * traffic.requests * 2 / 3;
        while !board.is_over() {
            // Before it looks: what is sent later is nobody's.
            let is_last_look = board.clients_left.load(Ordering::Relaxed) == 0
                || is_leaver && board.asked.load(Ordering::Relaxed) >= enough;
            let mut keep = traffic.hold;
            match arrival::request::<S, Req, Res>(server, settings) {
                Ok(Some((active, received))) => {
                    let intact = received.intact();
                    board.advance();
                    self.log.push(Event::GotRequest(Observation::Received(received)));
                    if let Some(id) = intact {
                        let waits = active.is_connected();
                        if waits || !board.is_over() {
                            self.log.push(Event::Waiting(id, waits));
                        }
                        if self.respond(&active, id).is_break() {
                            board.end();
                            return self.log;
                        }
                        if nth < HANDED_ON && traffic.rushes > 0 {
                            self.hand_on(&active, id);
                        }
                        nth += 1;
                    }
                    held.push_back((active, intact));
                }
                Ok(None) if is_last_look && held.is_empty() => break,
                Ok(None) => {
                    keep = 0;
                    thread::yield_now();
                }
                Err(error) => {
                    self.log.push(Event::GotRequest(Observation::Refused(error)));
                    board.end();
                    return self.log;
                }
            }
            while held.len() > keep {
                let Some((active, id)) = held.pop_front() else { break };
                let reread = |id| Event::reread(id, Req::received_request(&active));
                self.log.extend(id.map(reread));
                drop(active);
                board.drop_request(id, is_leaver);
            }
        }
        self.log
    }

    fn respond<S, Req, Res>(
        &mut self,
        active: &version::ActiveRequest<S, Req, Res>,
        request: MessageId,
    ) -> ControlFlow<()>
    where
        S: Service,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let Setting { traffic, board, settings, .. } = self.setting;
        for nth in 0..traffic.responses {
            let id = Concurrent::response(request, self.port, nth);
            let wanted = wanted(traffic, id, settings.response_payload_alignment);
            let (loan, observation) = Res::loan_response(active, wanted);
            self.log.push(Event::Loaned(id, wanted.form, observation));
            let Some(loan) = loan else { return ControlFlow::Break(()) };
            let sent = loan.send();
            board.advance();
            let observation = sent.map_or_else(
                |error| Observation::Refused(format!("{error:?}")),
                |()| Observation::Done,
            );
            let has_failed = observation != Observation::Done;
            self.log.push(Event::Answered { id, origin: self.origin, observation });
            if has_failed {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Loans for another thread to drop at the same time, then as much as there may be.
    fn hand_on<S, Req, Res>(
        &mut self,
        active: &version::ActiveRequest<S, Req, Res>,
        request: MessageId,
    ) where
        S: Share,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let Setting { traffic, board, settings, .. } = self.setting;
        let id = Concurrent::response(request, self.port, 0);
        let wanted = wanted(traffic, id, settings.response_payload_alignment);
        S::drop_aside::<Res>(&mut |drop_aside| {
            let mut left = traffic.rushes;
            let started = Instant::now();
            while left > 0 && started.elapsed() < HANDING_ON && !board.is_over() {
                let (loan, observation) = Res::loan_response(active, wanted);
                // The other thread has not dropped all yet.
                if observation == Observation::Refused("ExceedsMaxLoans".to_owned()) {
                    thread::yield_now();
                    continue;
                }
                self.log.push(Event::Loaned(id, wanted.form, observation));
                let Some(loan) = loan else { break };
                drop_aside(loan);
                board.advance();
                left -= 1;
            }
        });
        let mut loans = Vec::new();
        let refused = loop {
            let (loan, observation) = Res::loan_response(active, wanted);
            match loan {
                Some(loan) if loans.len() <= RESPONSE_LOANS => {
                    self.log.push(Event::Loaned(id, wanted.form, observation));
                    loans.push(loan);
                }
                _ => break observation,
            }
        };
        self.log.push(Event::HandedOn(loans.len(), refused));
    }
}
