//! Lets threads talk to each other over iceoryx2 as they like, and logs what each of them
//! did and saw.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use iceoryx2::prelude::*;

use super::{
    HostError, Observation, PortId,
    iox::{received_request, received_response},
    message::{Memory, Payload, Wanted},
    open::{self, Obtain},
    version,
};
use crate::{
    payload::{self, MessageId, Mismatch},
    scenario::{Concurrent, LoanForm, OpenMode, Settings, Strategy, concurrent::WINDOW},
};

/// A thread gives up after so long without anything happening anywhere ...
const PATIENCE: Duration = Duration::from_secs(1);

/// ... and so many looks at it: on a busy machine time passes without any.
const LOOKS: usize = 20_000;

/// How long the other threads have to come to their end when one has given up.
const GRACE: Duration = Duration::from_millis(500);

/// How often it is looked whether one has.
const GLANCE: Duration = Duration::from_millis(20);

/// The patience of a thread, in milliseconds.
#[must_use]
pub fn patience_in_ms() -> u64 {
    u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX)
}

/// Which thread of which port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Of a client.
    Client {
        /// Which client, counted from 0.
        port: usize,
        /// Which of all threads of clients.
        thread: usize,
    },
    /// Of a server.
    Server {
        /// Which server, counted from 0.
        port: usize,
        /// Which of its threads.
        thread: usize,
    },
}

/// What a thread did or saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The node, the service or the port was not to be had: the error as `Debug` prints it.
    NotCreated(String),
    /// A message was loaned.
    Loaned(MessageId, LoanForm, Observation),
    /// A request was sent.
    Asked {
        /// Its identity.
        id: MessageId,
        /// The client it was sent by.
        origin: PortId,
        /// The servers that existed before.
        least: usize,
        /// The servers that exist now, or are about to.
        most: usize,
        /// What came of it.
        observation: Observation,
    },
    /// A response was sent.
    Answered {
        /// Its identity.
        id: MessageId,
        /// The server it was sent by.
        origin: PortId,
        /// What came of it.
        observation: Observation,
    },
    /// A server received a request, or failed to.
    GotRequest(Observation),
    /// A client received a response to this request, or failed to.
    GotResponse(MessageId, Observation),
    /// A request got its last response; whether it says it has another.
    Completed(MessageId, bool),
    /// A message was read again before it was dropped.
    Reread(MessageId, Option<Box<Mismatch>>),
    /// Nothing happened any more, while this many responses to a request were missing.
    GaveUp(MessageId, usize),
    /// Nothing happened any more, while the servers were to let go of the requests of a
    /// client that wants to leave, or to appear.
    GaveUpOnServers,
}

/// The log of a thread.
pub type Log = (Who, Vec<Event>);

/// What became of concurrent traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logs {
    /// By thread.
    pub threads: Vec<Log>,
    /// Threads that have not come back from a call.
    pub stuck: usize,
}

impl Logs {
    /// Requests that were sent: the same number every time, whatever became of them.
    #[must_use]
    pub fn requests(&self) -> usize {
        let is_sent = |event: &&Event| matches!(event, Event::Asked { .. });
        self.threads.iter().flat_map(|(_, events)| events).filter(is_sent).count()
    }
}

/// What the threads know of each other.
#[derive(Debug, Default)]
struct Board {
    /// One has seen something that must not be, or has given up.
    is_over: AtomicBool,
    /// Messages sent and received.
    progress: AtomicUsize,
    /// Requests sent by all clients.
    asked: AtomicUsize,
    /// Servers that are about to be created, or exist.
    servers_begun: AtomicUsize,
    /// Servers that exist.
    servers_ready: AtomicUsize,
    /// Clients that have not come to their end.
    clients_left: AtomicUsize,
    /// Per thread of a client, requests of it that servers have received and dropped.
    let_go: Vec<AtomicUsize>,
}

impl Board {
    fn advance(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn drop_request(&self, id: Option<MessageId>) {
        let thread = id.map(|id| Concurrent::sender_of(id).0);
        if let Some(count) = thread.and_then(|thread| self.let_go.get(thread)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waits as long as something happens somewhere.
struct Patience<'a> {
    board: &'a Board,
    seen: usize,
    since: Instant,
    looks: usize,
}

impl<'a> Patience<'a> {
    fn new(board: &'a Board) -> Self {
        Self { board, seen: usize::MAX, since: Instant::now(), looks: 0 }
    }

    /// Lets the others run; breaks when it has no use any more.
    fn wait(&mut self) -> ControlFlow<()> {
        thread::yield_now();
        let progress = self.board.progress.load(Ordering::Relaxed);
        if progress != self.seen {
            *self = Self { seen: progress, ..Self::new(self.board) };
        }
        self.looks += 1;
        if self.looks > LOOKS && self.since.elapsed() > PATIENCE {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// What each thread does with a port they share.
pub type Work<'a, Port> = &'a (dyn Fn(&Port, usize) -> Vec<Event> + Sync);

/// A service variant: whether threads may share its ports.
pub trait Share: Service {
    /// Lets so many threads work with a client at the same time if they may share it, else one;
    /// what came of each.
    fn share_client<Req: Payload + ?Sized, Res: Payload + ?Sized>(
        client: &version::Client<Self, Req, Res>,
        threads: usize,
        work: Work<'_, version::Client<Self, Req, Res>>,
    ) -> Vec<Vec<Event>>;

    /// The same with a server.
    fn share_server<Req: Payload + ?Sized, Res: Payload + ?Sized>(
        server: &version::Server<Self, Req, Res>,
        threads: usize,
        work: Work<'_, version::Server<Self, Req, Res>>,
    ) -> Vec<Vec<Event>>;
}

macro_rules! share {
    ($service:ty, $port:ident, $threads:ident, $work:ident => $how:expr) => {
        impl Share for $service {
            fn share_client<Req: Payload + ?Sized, Res: Payload + ?Sized>(
                $port: &version::Client<Self, Req, Res>,
                $threads: usize,
                $work: Work<'_, version::Client<Self, Req, Res>>,
            ) -> Vec<Vec<Event>> {
                $how
            }

            fn share_server<Req: Payload + ?Sized, Res: Payload + ?Sized>(
                $port: &version::Server<Self, Req, Res>,
                $threads: usize,
                $work: Work<'_, version::Server<Self, Req, Res>>,
            ) -> Vec<Vec<Event>> {
                $how
            }
        }
    };
}

share!(ipc::Service, port, _threads, work => vec![work(port, 0)]);
share!(local::Service, port, _threads, work => vec![work(port, 0)]);
share!(ipc_threadsafe::Service, port, threads, work => at_once(threads, &|n| work(port, n)));
share!(local_threadsafe::Service, port, threads, work => at_once(threads, &|n| work(port, n)));

fn at_once<T: Send>(threads: usize, work: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|n| scope.spawn(move || work(n))).collect();
        let own = work(0);
        // A panic of a sibling goes on in this thread, whose end is watched.
        let join = |other: thread::ScopedJoinHandle<'_, T>| {
            other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        [own].into_iter().chain(others.into_iter().map(join)).collect()
    })
}

/// What every thread needs.
#[derive(Debug, Clone)]
struct Setting {
    config: Config,
    service: ServiceName,
    settings: Settings,
    traffic: Concurrent,
    board: Arc<Board>,
    logs: Sender<Vec<Log>>,
}

/// Lets clients and servers run until all is sent, answered and dropped.
///
/// A thread that does not come back from a call of iceoryx2 is left behind.
///
/// # Errors
/// If a thread panics.
pub(super) fn run<S, Req, Res>(
    config: &Config,
    service: &ServiceName,
    settings: &Settings,
    traffic: &Concurrent,
) -> Result<Logs, HostError>
where
    S: Share + 'static,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let traffic = traffic.bounded();
    let board = Arc::new(Board {
        clients_left: AtomicUsize::new(traffic.clients),
        let_go: (0..traffic.clients * traffic.threads).map(|_| AtomicUsize::new(0)).collect(),
        ..Board::default()
    });
    let (logs, received) = channel();
    // Only newer releases have names that are `Copy`.
    #[allow(clippy::clone_on_copy)]
    let service = service.clone();
    let setting = Setting {
        config: config.clone(),
        service,
        settings: traffic.settings(settings),
        traffic: traffic.clone(),
        board: Arc::clone(&board),
        logs,
    };
    // Who comes while the last one goes may be refused; somebody is always there.
    let keeper = match join::<S, Req, Res>(&setting) {
        Ok(opened) => opened,
        Err(error) => {
            let who = Who::Server { port: 0, thread: 0 };
            return Ok(Logs { threads: vec![(who, vec![Event::NotCreated(error)])], stuck: 0 });
        }
    };
    let mut handles = Vec::new();
    for port in 0..traffic.servers {
        let setting = setting.clone();
        handles.push(thread::spawn(move || server::<S, Req, Res>(&setting, port)));
    }
    for port in 0..traffic.clients {
        let setting = setting.clone();
        handles.push(thread::spawn(move || client::<S, Req, Res>(&setting, port)));
    }
    drop(setting);
    let mut all = Logs::default();
    let mut over_since: Option<Instant> = None;
    loop {
        match received.recv_timeout(GLANCE) {
            Ok(logs) => all.threads.extend(logs),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if board.is_over() && over_since.get_or_insert_with(Instant::now).elapsed() > GRACE {
            break;
        }
    }
    let (ended, stuck): (Vec<_>, Vec<_>) =
        handles.into_iter().partition(thread::JoinHandle::is_finished);
    all.stuck = if board.is_over() { stuck.len() } else { 0 };
    let rest = if board.is_over() { Vec::new() } else { stuck };
    for handle in ended.into_iter().chain(rest) {
        handle.join().map_err(|panic| HostError::Crashed(message_of(panic.as_ref())))?;
    }
    drop(keeper);
    all.threads.sort_by_key(|(who, _)| *who);
    Ok(all)
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// Ends everything when a thread unwinds: the others would wait for it.
struct EndOnPanic<'a>(&'a Board);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

type Opened<S, Req, Res> = (Node<S>, version::Factory<S, Req, Res>);

fn join<S, Req, Res>(setting: &Setting) -> Result<Opened<S, Req, Res>, String>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let node = NodeBuilder::new()
        .config(&setting.config)
        .create::<S>()
        .map_err(|error| format!("{error:?}"))?;
    let builder = open::service::<S, Req, Res>(&node, &setting.service);
    let factory = open::with_settings(builder, &setting.settings).obtain(OpenMode::OpenOrCreate)?;
    Ok((node, factory))
}

fn memory_of(traffic: &Concurrent, strategy: Strategy) -> Memory {
    Memory { strategy: Some(strategy), hint: traffic.hint_of(strategy) }
}

/// The life of a client port and of the threads that share it.
fn client<S, Req, Res>(setting: &Setting, port: usize)
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
        let (_node, factory) = join::<S, Req, Res>(setting)?;
        let builder = factory.client_builder();
        let builder = Req::client_memory(builder, memory_of(traffic, traffic.client_strategy));
        let client = builder.create().map_err(|error| format!("{error:?}"))?;
        let share = |sequence| traffic.requests * sequence / traffic.turns;
        let sequences = share(turn)..share(turn + 1);
        Ok(S::share_client(&client, traffic.threads, &|client, n| {
            let thread = port * traffic.threads + n;
            Asking { setting, thread, origin: version::client_id(client), log: Vec::new() }
                .ask(client, sequences.clone())
        }))
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

/// A request that waits for its responses.
struct Open<P> {
    pending: P,
    id: MessageId,
    missing: usize,
}

/// A thread of a client.
struct Asking<'a> {
    setting: &'a Setting,
    thread: usize,
    origin: PortId,
    log: Vec<Event>,
}

impl Asking<'_> {
    fn ask<S, Req, Res>(
        mut self,
        client: &version::Client<S, Req, Res>,
        sequences: std::ops::Range<usize>,
    ) -> Vec<Event>
    where
        S: Service,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let Setting { traffic, board, settings, .. } = self.setting;
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
        let mut held = VecDeque::new();
        let mut next = sequences.start;
        let mut let_go = board.let_go[self.thread].load(Ordering::Relaxed);
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
                let_go += sent.pending.number_of_server_connections();
                open.push_back(sent);
                next += 1;
                is_idle = false;
            }
            for Open { pending, id, missing } in &mut open {
                if *missing == 0 {
                    continue;
                }
                match received_response::<S, Req, Res>(pending, settings) {
                    Ok(Some((response, intact, observation))) => {
                        board.advance();
                        self.log.push(Event::GotResponse(*id, observation));
                        held.push_back((response, intact));
                        *missing -= 1;
                        is_idle = false;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.log.push(Event::GotResponse(*id, Observation::Refused(error)));
                        board.end();
                        return self.log;
                    }
                }
                while held.len() > traffic.hold {
                    let (response, id) = held.pop_front().into_iter().next().unzip();
                    if let (Some(response), Some(Some(id))) = (&response, id) {
                        self.reread(id, Res::received_response(response));
                    }
                }
            }
            // The oldest first: one that is missing a response keeps the later ones.
            while open.front().is_some_and(|open| open.missing == 0)
                && let Some(done) = open.pop_front()
            {
                self.reread(done.id, Req::sent_request(&done.pending));
                self.log.push(Event::Completed(done.id, done.pending.has_response()));
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
            if let Some(id) = id {
                self.reread(id, Res::received_response(&response));
            }
        }
        // Who leaves while a server still holds a request of his takes part in another game:
        // what becomes of those who come after him.
        while board.let_go[self.thread].load(Ordering::Relaxed) < let_go {
            if board.is_over() {
                return self.log;
            }
            if patience.wait().is_break() {
                return self.give_up(Event::GaveUpOnServers);
            }
        }
        self.log
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
        let alignment = settings.request_payload_alignment;
        let wanted = Wanted { id, len: traffic.len_of(id), form: form_of(id), alignment };
        let (loan, observation) = Req::loan_request(client, wanted);
        self.log.push(Event::Loaned(id, wanted.form, observation));
        let mut loan = loan?;
        *loan.user_header_mut() = id.seal();
        let least = board.servers_ready.load(Ordering::Relaxed);
        let sent = loan.send();
        let most = board.servers_begun.load(Ordering::Relaxed);
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
        pending.map(|(pending, servers)| Open { pending, id, missing: servers * traffic.responses })
    }

    fn reread<P: Payload + ?Sized>(&mut self, id: MessageId, payload: &P) {
        self.log.push(Event::Reread(id, payload::check(id, payload.bytes()).err()));
    }

    fn give_up(mut self, event: Event) -> Vec<Event> {
        self.setting.board.end();
        self.log.push(event);
        self.log
    }
}

/// Both ways of loaning take their turns.
fn form_of(id: MessageId) -> LoanForm {
    let (_, sequence) = Concurrent::sender_of(id);
    if sequence % 4 == 3 { LoanForm::Default } else { LoanForm::WriteFromSlice }
}

/// The life of a server port and of the threads that share it.
fn server<S, Req, Res>(setting: &Setting, port: usize)
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
        let (_node, factory) = join::<S, Req, Res>(setting)?;
        let builder = factory.server_builder();
        let builder = Res::server_memory(builder, memory_of(traffic, traffic.server_strategy));
        let server = builder.create().map_err(|error| format!("{error:?}"))?;
        board.servers_ready.fetch_add(1, Ordering::Relaxed);
        board.advance();
        Ok(S::share_server(&server, traffic.threads, &|server, _| {
            Answering { setting, port, origin: version::server_id(server), log: Vec::new() }
                .answer(server)
        }))
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
        S: Service,
        Req: Payload + ?Sized,
        Res: Payload + ?Sized,
    {
        let Setting { traffic, board, settings, .. } = self.setting;
        let mut held = VecDeque::new();
        while !board.is_over() {
            // Before it looks: what is sent later is nobody's.
            let is_last_look = board.clients_left.load(Ordering::Relaxed) == 0;
            let mut keep = traffic.hold;
            match received_request::<S, Req, Res>(server, settings) {
                Ok(Some((active, intact, observation))) => {
                    board.advance();
                    self.log.push(Event::GotRequest(observation));
                    if let Some(id) = intact
                        && self.respond(&active, id).is_break()
                    {
                        board.end();
                        return self.log;
                    }
                    held.push_back((active, intact));
                }
                Ok(None) if is_last_look => break,
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
                if let Some(id) = id {
                    let payload = Req::received_request(&active);
                    self.log.push(Event::Reread(id, payload::check(id, payload.bytes()).err()));
                }
                drop(active);
                board.drop_request(id);
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
            let alignment = settings.response_payload_alignment;
            let wanted = Wanted { id, len: traffic.len_of(id), form: form_of(id), alignment };
            let (loan, observation) = Res::loan_response(active, wanted);
            self.log.push(Event::Loaned(id, wanted.form, observation));
            let Some(mut loan) = loan else { return ControlFlow::Break(()) };
            *loan.user_header_mut() = id.seal();
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
}
