//! Lets threads talk to each other over iceoryx2 as they like, and logs what each of them
//! did and saw.

mod client;
mod server;
mod share;
mod visit;

use std::{
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

pub use share::Share;

use super::{
    HostError, Observation, PortId,
    loan::Wanted,
    message::{Memory, Payload},
    open::{self, Obtain},
    version,
};
use crate::{
    payload::{self, MessageId, Mismatch},
    scenario::{Concurrent, LoanForm, OpenMode, Settings, Strategy},
};

/// A thread gives up after so long without anything happening anywhere ...
const PATIENCE: Duration = Duration::from_secs(1);

/// ... and so many looks at it: on a busy machine time passes without any.
const LOOKS: usize = 20_000;

/// How often whoever is about to create a port looks whether others are as far.
const LOOKS_FOR_OTHERS: usize = 5000;

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
    /// Of nobody who has a port; they come before all others.
    Visitor {
        /// Which node it came with, counted from 0.
        node: usize,
        /// Which of those that share it.
        thread: usize,
    },
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
    /// The service was opened and let go again, or the error as `Debug` prints it.
    Opened(Result<(), String>),
    /// Whether the service existed while it was open, or the error as `Debug` prints it.
    Exists(Result<bool, String>),
    /// How often the service named the node of whoever had it open, or the error likewise.
    NodeListed(Result<usize, String>),
    /// A port was created and dropped: how often the service listed it meanwhile, or the error.
    PortListed(Result<usize, String>),
    /// A message was loaned.
    Loaned(MessageId, LoanForm, Observation),
    /// A request was sent.
    Asked {
        /// Its identity.
        id: MessageId,
        /// The client it was sent by.
        origin: PortId,
        /// The servers that existed before and after.
        least: usize,
        /// The servers that existed before or after, or were about to.
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
    /// A request on its arrival: whether it says that its client waits, as that does.
    Waiting(MessageId, bool),
    /// The last request of a thread, after all servers let go of it: whether its client still
    /// says that it is connected.
    LetGo(MessageId, bool),
    /// A client received a response to this request, or failed to.
    GotResponse(MessageId, Observation),
    /// A request got its last response; whether it says it has another.
    Completed(MessageId, bool),
    /// As many requests were loaned at the same time as a thread could get: which rush of its
    /// client this was, how many it got, and why not one more.
    Rushed(usize, usize, Observation),
    /// Threads of a client loaned and dropped as fast as they could: how many requests were
    /// loaned at the same time at least, and why not one more.
    Scrambled(usize, Observation),
    /// As many responses to one request were loaned as could be, after others had been loaned
    /// while another thread dropped them: how many there were, and why not one more.
    HandedOn(usize, Observation),
    /// A message was read again before it was dropped.
    Reread(MessageId, Option<Box<Mismatch>>),
    /// Nothing happened any more, while this many responses to a request were missing.
    GaveUp(MessageId, usize),
    /// Nothing happened any more, while the servers were to let go of the requests of a
    /// client that wants to leave, or to appear.
    GaveUpOnServers,
}

impl Event {
    fn reread<P: Payload + ?Sized>(id: MessageId, payload: &P) -> Self {
        Self::Reread(id, payload::check(id, payload.bytes()).err())
    }
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
    /// Who opens the service as soon as all have come this far.
    starters: usize,
    /// Who has come this far.
    started: AtomicUsize,
    /// Visitors that have come this far.
    visitors: AtomicUsize,
    /// Visitors that were about to create a port, each time.
    seated: AtomicUsize,
    /// Somebody is there until all is over.
    is_kept: AtomicBool,
    /// One has seen something that must not be, or has given up.
    is_over: AtomicBool,
    /// Messages sent and received.
    progress: AtomicUsize,
    /// Ports that are just being created or dropped, which may take longer than any patience.
    busy: AtomicUsize,
    /// Requests sent by all clients.
    asked: AtomicUsize,
    /// Servers that are about to be created, or exist.
    servers_begun: AtomicUsize,
    /// Servers that exist, or have gone.
    servers_ready: AtomicUsize,
    /// Servers that are about to go, or have gone.
    servers_leaving: AtomicUsize,
    /// Servers that have gone.
    servers_gone: AtomicUsize,
    /// Clients that have not come to their end.
    clients_left: AtomicUsize,
    /// Per thread of a client, requests of it that servers that stay have received and dropped.
    let_go: Vec<AtomicUsize>,
    /// The same for the server that does not.
    let_go_by_leaver: Vec<AtomicUsize>,
}

impl Board {
    /// Waits for those who open the service at the same time; later ones find it open.
    fn await_others(&self) {
        self.await_all(&self.started, self.starters);
    }

    /// Waits until so many have come here.
    fn await_all(&self, come: &AtomicUsize, all: usize) {
        come.fetch_add(1, Ordering::AcqRel);
        while come.load(Ordering::Acquire) < all && !self.is_over() {
            thread::yield_now();
        }
    }

    /// Waits a little until so many have come to create a port, counted from the first: the closer
    /// together they go on, the better.
    fn meet_before_a_port(&self, all: usize) {
        self.seated.fetch_add(1, Ordering::AcqRel);
        for _ in 0..LOOKS_FOR_OTHERS {
            if self.seated.load(Ordering::Acquire) >= all {
                return;
            }
            std::hint::spin_loop();
        }
    }

    /// Waits for whoever stays: who comes while the last one goes may be refused.
    fn await_keeper(&self) {
        while !self.is_kept.load(Ordering::Acquire) && !self.is_over() {
            thread::yield_now();
        }
    }

    fn advance(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Nobody loses patience while this exists.
    fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn drop_request(&self, id: Option<MessageId>, by_leaver: bool) {
        let counts = if by_leaver { &self.let_go_by_leaver } else { &self.let_go };
        let thread = id.map(|id| Concurrent::sender_of(id).0);
        if let Some(count) = thread.and_then(|thread| counts.get(thread)) {
            count.fetch_add(1, Ordering::Release);
        }
    }

    fn has_leaver_gone(&self) -> bool {
        self.servers_gone.load(Ordering::Acquire) > 0
    }
}

/// A port is being created or dropped.
struct Busy<'a>(&'a Board);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells whoever watches that something has happened since it was last asked.
struct Pulse<'a, 'b> {
    board: &'a Board,
    seen: usize,
    alive: &'b mut dyn FnMut(),
}

impl<'a, 'b> Pulse<'a, 'b> {
    fn new(board: &'a Board, alive: &'b mut dyn FnMut()) -> Self {
        Self { board, seen: 0, alive }
    }

    fn beat(&mut self) {
        let progress = self.board.progress.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.seen, progress) != progress {
            (self.alive)();
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
        if progress != self.seen || self.board.busy.load(Ordering::Relaxed) > 0 {
            *self = Self { seen: progress, ..Self::new(self.board) };
        }
        self.looks += 1;
        if self.looks > LOOKS && self.since.elapsed() > PATIENCE {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// Where the threads of a client wait for each other.
#[derive(Debug)]
struct Gate {
    threads: usize,
    arrived: AtomicUsize,
    /// Requests they have loaned at the moment, or fewer.
    loaned: AtomicUsize,
}

impl Gate {
    /// Passes when all have come for the `nth` time, counted from 1; breaks when somebody does
    /// not.
    fn pass(&self, nth: usize, board: &Board) -> ControlFlow<()> {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut patience = Patience::new(board);
        while self.arrived.load(Ordering::Acquire) < nth * self.threads {
            if board.is_over() {
                return ControlFlow::Break(());
            }
            patience.wait()?;
        }
        ControlFlow::Continue(())
    }
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

/// Lets clients and servers run until all is sent, answered and dropped, and says that they are
/// `alive` while they get on.
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
    alive: &mut dyn FnMut(),
) -> Result<Logs, HostError>
where
    S: Share + 'static,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let traffic = traffic.bounded();
    let none = || (0..traffic.clients * traffic.threads).map(|_| AtomicUsize::new(0)).collect();
    let late = (0..traffic.servers).filter(|server| traffic.comes_late(*server)).count();
    let board = Arc::new(Board {
        starters: traffic.clients + traffic.servers - late + 1,
        clients_left: AtomicUsize::new(traffic.clients),
        let_go: none(),
        let_go_by_leaver: none(),
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
    let mut all = Logs { threads: visit::all::<S, Req, Res>(&setting, alive)?, ..Logs::default() };
    if board.is_over() {
        return Ok(all);
    }
    let mut handles = Vec::new();
    for port in 0..traffic.servers {
        let setting = setting.clone();
        handles.push(thread::spawn(move || server::live::<S, Req, Res>(&setting, port)));
    }
    for port in 0..traffic.clients {
        let setting = setting.clone();
        handles.push(thread::spawn(move || client::live::<S, Req, Res>(&setting, port)));
    }
    let keeper = enter::<S, Req, Res>(&setting)
        .inspect(|_| board.is_kept.store(true, Ordering::Release))
        .map_err(|error| {
            board.end();
            let who = Who::Server { port: 0, thread: 0 };
            let _ = setting.logs.send(vec![(who, vec![Event::NotCreated(error)])]);
        });
    drop(setting);
    let mut over_since: Option<Instant> = None;
    let mut pulse = Pulse::new(&board, alive);
    let have_all_ended = loop {
        pulse.beat();
        match received.recv_timeout(GLANCE) {
            Ok(logs) => all.threads.extend(logs),
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if board.is_over() && over_since.get_or_insert_with(Instant::now).elapsed() > GRACE {
            break false;
        }
    };
    let (ended, stuck) = if have_all_ended {
        (handles, Vec::new())
    } else {
        handles.into_iter().partition(thread::JoinHandle::is_finished)
    };
    // A thread sends its log before it ends.
    all.threads.extend(received.try_iter().flatten());
    all.stuck = stuck.len();
    for handle in ended {
        handle.join().map_err(crashed)?;
    }
    drop(keeper);
    all.threads.sort_by_key(|(who, _)| *who);
    Ok(all)
}

/// The end of a thread that panicked.
#[allow(clippy::needless_pass_by_value)] // as a thread that is joined gives it
fn crashed(panic: Box<dyn std::any::Any + Send>) -> HostError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    HostError::Crashed(text.unwrap_or("a panic").to_owned())
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
    let opened = enter(setting)?;
    setting.board.await_keeper();
    Ok(opened)
}

/// A node that opens the service or creates it, whoever is first.
fn enter<S, Req, Res>(setting: &Setting) -> Result<Opened<S, Req, Res>, String>
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
    setting.board.await_others();
    let factory = open::with_settings(builder, &setting.settings).obtain(OpenMode::OpenOrCreate)?;
    Ok((node, factory))
}

fn memory_of(traffic: &Concurrent, strategy: Strategy) -> Memory {
    Memory { strategy: Some(strategy), hint: traffic.hint_of(strategy) }
}

/// The loan for a message.
fn wanted(traffic: &Concurrent, id: MessageId, alignment: usize) -> Wanted {
    Wanted { id, len: traffic.len_of(id), form: form_of(id), alignment }
}

/// Both ways of loaning take their turns.
fn form_of(id: MessageId) -> LoanForm {
    let (_, sequence) = Concurrent::sender_of(id);
    if sequence % 4 == 3 { LoanForm::Default } else { LoanForm::WriteFromSlice }
}
