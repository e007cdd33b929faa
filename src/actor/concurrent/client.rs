//! Clients, and the threads that share one.

use std::{
    cell::OnceCell,
    collections::VecDeque,
    ops::{ControlFlow, Range},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use iceoryx2::prelude::*;

use super::{EndOnPanic, Event, Gate, Patience, Setting, Share, Who, join, memory_of, wanted};
use crate::{
    actor::{Observation, PortId, arrival, loan::Wanted, message::Payload, open::Obtain, version},
    payload::MessageId,
    scenario::{Concurrent, concurrent::WINDOW},
};

/// The life of a client port and of the threads that share it.
pub(super) fn live<S, Req, Res>(setting: &Setting, port: usize)
where
    S: Share,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let Setting { traffic, board, logs, .. } = setting;
    let _end = EndOnPanic(board);
    let who = |n| Who::Client { port, thread: port * traffic.threads + n };
    let mut all: Vec<Vec<Event>> = Vec::new();
    let mut add = |more: Vec<Vec<Event>>| {
        all.resize_with(all.len().max(more.len()), Vec::new);
        all.iter_mut().zip(more).for_each(|(all, more)| all.extend(more));
    };
    let turn = |turn: usize| -> Result<Vec<Vec<Event>>, String> {
        // Before all that goes in the end: dropped last.
        let leaving = OnceCell::new();
        let joining = board.busy();
        let (_node, factory) = join::<S, Req, Res>(setting)?;
        let builder = factory.client_builder();
        let builder = Req::client_memory(builder, memory_of(traffic, traffic.client_strategy));
        let client = builder.create().map_err(|error| format!("{error:?}"))?;
        drop(joining);
        let threads = if S::SHARES { traffic.threads } else { 1 };
        let plan = Turn::new(traffic, turn, threads);
        let events = S::share_client(&client, traffic.threads, &|client, n| {
            let (thread, origin) = (port * traffic.threads + n, version::client_id(client));
            Asking { setting, thread, origin, log: Vec::new() }.ask(client, &plan)
        });
        let _ = leaving.set(board.busy());
        Ok(events)
    };
    for n in 0..traffic.turns {
        if board.is_over() {
            break;
        }
        match turn(n) {
            Ok(events) => add(events),
            Err(error) => {
                board.end();
                add(vec![vec![Event::NotCreated(error)]]);
            }
        }
    }
    board.clients_left.fetch_sub(1, Ordering::Relaxed);
    let logs_of_threads = all.into_iter().enumerate().map(|(n, events)| (who(n), events));
    // Nobody reads them any more if it is over.
    let _ = logs.send(logs_of_threads.collect());
}

/// What the threads of a client do while it lives.
struct Turn {
    /// Requests each of them sends, by number.
    sequences: Range<usize>,
    /// Rushes they make together, by number.
    rushes: Range<usize>,
    /// Where they wait for each other.
    gate: Gate,
}

impl Turn {
    fn new(traffic: &Concurrent, turn: usize, threads: usize) -> Self {
        let share = |turn| traffic.requests * turn / traffic.turns;
        Self {
            sequences: share(turn)..share(turn + 1),
            rushes: turn * traffic.rushes..(turn + 1) * traffic.rushes,
            gate: Gate { threads, arrived: AtomicUsize::new(0), loaned: AtomicUsize::new(0) },
        }
    }
}

/// Requests of which the shortest is loaned in a rush.
const SOME: usize = 16;

/// How long threads loan and drop before they loan together.
const SCRAMBLING: Duration = Duration::from_millis(5);

/// A request that waits for its responses.
struct Open<P> {
    pending: P,
    id: MessageId,
    /// Servers it was sent to that stay.
    staying: usize,
    /// Those that do not.
    leaving: usize,
    /// Responses of servers that stay.
    missing: usize,
    /// Those of servers that do not, and may not come.
    missing_of_leaver: usize,
}

impl<P> Open<P> {
    fn is_complete(&self) -> bool {
        self.missing == 0 && self.missing_of_leaver == 0
    }
}

/// A thread of a client.
struct Asking<'a> {
    setting: &'a Setting,
    thread: usize,
    origin: PortId,
    log: Vec<Event>,
}

impl Asking<'_> {
    fn ask<S, Req, Res>(mut self, client: &version::Client<S, Req, Res>, turn: &Turn) -> Vec<Event>
    where
        S: Service,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let Setting { traffic, board, settings, .. } = self.setting;
        let sequences = &turn.sequences;
        let mut patience = Patience::new(board);
        let on_time = traffic.servers - usize::from(traffic.comes_late(traffic.servers - 1));
        while board.servers_ready.load(Ordering::Relaxed) < on_time {
            if board.is_over() {
                return self.log;
            }
            if patience.wait().is_break() {
                return self.give_up(Event::GaveUpOnServers);
            }
        }
        let mut open: VecDeque<Open<version::PendingResponse<S, Req, Res>>> = VecDeque::new();
        let mut last = None;
        let mut held = VecDeque::new();
        let mut next = sequences.start;
        let mut let_go = board.let_go[self.thread].load(Ordering::Relaxed);
        let mut let_go_by_leaver = board.let_go_by_leaver[self.thread].load(Ordering::Relaxed);
        while next < sequences.end || !open.is_empty() {
            if board.is_over() {
                return self.log;
            }
            let mut is_idle = true;
            if next < sequences.end && open.len() < WINDOW {
                let Some(sent) = self.send(client, Concurrent::request(self.thread, next)) else {
                    board.end();
                    return self.log;
                };
                let_go += sent.staying;
                let_go_by_leaver += sent.leaving;
                open.push_back(sent);
                next += 1;
                is_idle = false;
            }
            // Before it looks: nothing comes later.
            let is_all_there = traffic.overflow
                && board.let_go[self.thread].load(Ordering::Acquire) >= let_go
                && (board.has_leaver_gone()
                    || board.let_go_by_leaver[self.thread].load(Ordering::Acquire)
                        >= let_go_by_leaver);
            for open in &mut open {
                if open.is_complete() {
                    continue;
                }
                // Likewise, of one server.
                let is_last_of_leaver = board.has_leaver_gone();
                match arrival::response::<S, Req, Res>(&open.pending, settings) {
                    Ok(Some((response, received))) => {
                        let intact = received.intact();
                        board.advance();
                        self.log.push(Event::GotResponse(open.id, Observation::Received(received)));
                        let missing = match intact {
                            Some(id) if traffic.is_of_leaver(id) => &mut open.missing_of_leaver,
                            _ => &mut open.missing,
                        };
                        *missing = missing.saturating_sub(1);
                        held.push_back((response, intact));
                        is_idle = false;
                    }
                    Ok(None) if is_all_there => {
                        (open.missing, open.missing_of_leaver) = (0, 0);
                    }
                    Ok(None) if is_last_of_leaver => open.missing_of_leaver = 0,
                    Ok(None) => {}
                    Err(error) => {
                        self.log.push(Event::GotResponse(open.id, Observation::Refused(error)));
                        board.end();
                        return self.log;
                    }
                }
                while held.len() > traffic.hold
                    && let Some((response, id)) = held.pop_front()
                {
                    let reread = |id| Event::reread(id, Res::received_response(&response));
                    self.log.extend(id.map(reread));
                }
            }
            // The oldest first: one that is missing a response keeps the later ones.
            while open.front().is_some_and(Open::is_complete)
                && let Some(done) = open.pop_front()
            {
                self.log.push(Event::reread(done.id, Req::sent_request(&done.pending)));
                self.log.push(Event::Completed(done.id, done.pending.has_response()));
                // Only the last: others would be in the way of what is sent.
                last = (next == sequences.end).then_some(done);
            }
            if !is_idle {
                continue;
            }
            if patience.wait().is_break()
                && let Some(Open { id, missing, .. }) = open.front()
            {
                let event = Event::GaveUp(*id, *missing);
                return self.give_up(event);
            }
        }
        for (response, id) in held {
            self.log.extend(id.map(|id| Event::reread(id, Res::received_response(&response))));
        }
        // Who leaves while a server still holds a request of his takes part in another game:
        // what becomes of those who come after him.
        while board.let_go[self.thread].load(Ordering::Relaxed) < let_go
            || !board.has_leaver_gone()
                && board.let_go_by_leaver[self.thread].load(Ordering::Relaxed) < let_go_by_leaver
        {
            if board.is_over() {
                return self.log;
            }
            if patience.wait().is_break() {
                return self.give_up(Event::GaveUpOnServers);
            }
        }
        // A request that went to a server that is gone is another matter.
        if let Some(last) = last.take_if(|_| !traffic.early_leave) {
            self.log.push(Event::LetGo(last.id, last.pending.is_connected()));
        }
        if !turn.rushes.is_empty() && self.rushes(client, turn).is_break() {
            board.end();
        }
        self.log
    }

    fn rushes<S, Req, Res>(
        &mut self,
        client: &version::Client<S, Req, Res>,
        turn: &Turn,
    ) -> ControlFlow<()>
    where
        S: Service,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        // The traffic of the others needs loans as well.
        turn.gate.pass(1, &self.setting.board)?;
        let (most, refused) = self.scramble(client, &turn.gate);
        self.log.push(Event::Scrambled(most, refused));
        turn.rushes
            .clone()
            .enumerate()
            .try_for_each(|(n, rush)| self.rush(client, &turn.gate, n, rush))
    }

    /// The loan of a short message: the shorter they are, the closer together they are loaned.
    fn wanted_in_a_rush(&self) -> Wanted {
        let Setting { traffic, settings, .. } = self.setting;
        let some = (0..SOME).map(|sequence| Concurrent::request(self.thread, sequence));
        let id = some.min_by_key(|id| traffic.len_of(*id)).unwrap_or_default();
        wanted(traffic, id, settings.request_payload_alignment)
    }

    /// Loans together with the other threads until there is no more.
    fn rush<S, Req, Res>(
        &mut self,
        client: &version::Client<S, Req, Res>,
        gate: &Gate,
        n: usize,
        rush: usize,
    ) -> ControlFlow<()>
    where
        S: Service,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let Setting { board, settings, .. } = self.setting;
        let wanted = self.wanted_in_a_rush();
        let mut loans = Vec::new();
        gate.pass(2 * n + 2, board)?;
        let refused = loop {
            let (loan, observation) = Req::loan_request(client, wanted);
            match loan {
                Some(loan) if loans.len() <= settings.max_loaned_requests => {
                    self.log.push(Event::Loaned(wanted.id, wanted.form, observation));
                    loans.push(loan);
                }
                _ => break observation,
            }
        };
        self.log.push(Event::Rushed(rush, loans.len(), refused));
        board.advance();
        gate.pass(2 * n + 3, board)
    }

    /// Loans as much as there is and drops it, again and again, while the other threads do the
    /// same: how many requests were loaned at the same time, and why not one more.
    fn scramble<S, Req, Res>(
        &self,
        client: &version::Client<S, Req, Res>,
        gate: &Gate,
    ) -> (usize, Observation)
    where
        S: Service,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let limit = self.setting.settings.max_loaned_requests;
        let wanted = self.wanted_in_a_rush();
        let mut most = 0;
        let started = Instant::now();
        loop {
            let mut loans = Vec::new();
            // Counted once it is loaned and no more before it is dropped.
            let refused = loop {
                let (loan, observation) = Req::loan_request(client, wanted);
                let Some(loan) = loan else { break observation };
                loans.push(loan);
                most = most.max(gate.loaned.fetch_add(1, Ordering::AcqRel) + 1);
                if most > limit {
                    break observation;
                }
            };
            gate.loaned.fetch_sub(loans.len(), Ordering::AcqRel);
            let is_as_always =
                matches!(&refused, Observation::Refused(why) if why.contains("ExceedsMaxLoans"));
            if !is_as_always || started.elapsed() > SCRAMBLING || self.setting.board.is_over() {
                return (most, refused);
            }
        }
    }

    fn send<S, Req, Res>(
        &mut self,
        client: &version::Client<S, Req, Res>,
        id: MessageId,
    ) -> Option<Open<version::PendingResponse<S, Req, Res>>>
    where
        S: Service,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let Setting { traffic, board, settings, .. } = self.setting;
        let wanted = wanted(traffic, id, settings.request_payload_alignment);
        let (loan, observation) = Req::loan_request(client, wanted);
        self.log.push(Event::Loaned(id, wanted.form, observation));
        let loan = loan?;
        let ready = board.servers_ready.load(Ordering::Acquire);
        let gone = board.servers_gone.load(Ordering::Acquire);
        let sent = loan.send();
        let least = ready - board.servers_leaving.load(Ordering::Acquire).min(ready);
        let most = board.servers_begun.load(Ordering::Acquire) - gone;
        board.advance();
        board.asked.fetch_add(1, Ordering::Relaxed);
        let (pending, observation) = match sent {
            Ok(pending) => {
                let servers = pending.number_of_server_connections();
                (Some((pending, servers)), Observation::Sent { servers })
            }
            Err(error) => (None, Observation::Refused(format!("{error:?}"))),
        };
        self.log.push(Event::Asked { id, origin: self.origin, least, most, observation });
        pending.map(|(pending, servers)| {
            let staying = servers.min(traffic.staying_servers());
            let leaving = servers - staying;
            let missing = staying * traffic.responses;
            let missing_of_leaver = leaving * traffic.responses;
            Open { pending, id, staying, leaving, missing, missing_of_leaver }
        })
    }

    fn give_up(mut self, event: Event) -> Vec<Event> {
        self.setting.board.end();
        self.log.push(event);
        self.log
    }
}
