//! Whoever opens the service and lets it go again, all at the same time: somebody is always the
//! first, and somebody else the last.

use std::{
    ops::Range,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
};

use iceoryx2::{node::NodeState, prelude::*};

use super::{EndOnPanic, Event, GLANCE, Log, Pulse, Setting, Share, Who, crashed};
use crate::{
    actor::{
        HostError, PortId,
        message::{Memory, Payload},
        open::{self, Obtain},
        version,
    },
    scenario::{OpenMode, Strategy},
};

/// To look takes time, in which nobody comes or goes.
const LOOKS_EVERY: usize = 8;

/// A port there is room for.
#[derive(Debug, Clone, Copy)]
enum Seat {
    Client,
    Server,
}

/// Lets all of them come as often as the traffic says: one with a node of its own for every
/// port there will be, which it creates and drops each time, and some that share one. Who is
/// refused comes no more.
///
/// # Errors
/// If a thread panics.
pub(super) fn all<S, Req, Res>(
    setting: &Setting,
    alive: &mut dyn FnMut(),
) -> Result<Vec<Log>, HostError>
where
    S: Share,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let Setting { traffic, board, .. } = setting;
    if traffic.visits == 0 {
        return Ok(Vec::new());
    }
    let alone = traffic.clients + traffic.servers;
    let sharing = if S::SHARES { traffic.visitors } else { 1 };
    let groups = thread::scope(|scope| {
        let (done, all_are_done) = channel::<()>();
        let come_together = |(visitors, seat): (usize, Option<Seat>)| {
            let done = done.clone();
            move || {
                let _done = done;
                let _end = EndOnPanic(board);
                with_node::<S, Req, Res>(setting, visitors, alone + sharing, seat)
            }
        };
        let clients = std::iter::repeat_n((1, Some(Seat::Client)), traffic.clients);
        let servers = std::iter::repeat_n((1, Some(Seat::Server)), traffic.servers);
        let groups = clients.chain(servers).chain([(sharing, None)]);
        let groups: Vec<_> = groups.map(|group| scope.spawn(come_together(group))).collect();
        drop(done);
        let mut pulse = Pulse::new(board, alive);
        while all_are_done.recv_timeout(GLANCE) == Err(RecvTimeoutError::Timeout) {
            pulse.beat();
        }
        let ended = groups.into_iter().map(|group| group.join().map_err(crashed));
        ended.collect::<Result<Vec<_>, _>>()
    })?;
    let logs = (0..).zip(groups).flat_map(|(node, group)| {
        let who = move |thread| Who::Visitor { node, thread };
        (0..).map(who).zip(group)
    });
    Ok(logs.collect())
}

/// Lets so many of all the visitors come with one node.
fn with_node<S, Req, Res>(
    setting: &Setting,
    visitors: usize,
    of: usize,
    seat: Option<Seat>,
) -> Vec<Vec<Event>>
where
    S: Share,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    match NodeBuilder::new().config(&setting.config).create::<S>() {
        Ok(node) => {
            S::share_node(&node, visitors, &|node, _| come::<S, Req, Res>(setting, node, of, seat))
        }
        Err(error) => {
            setting.board.end();
            vec![vec![Event::NotCreated(format!("{error:?}"))]]
        }
    }
}

/// Opens the service when all visitors are there, looks now and then whether it exists and knows
/// the node, creates a port if there is room for it, and lets all go, again and again until it is
/// refused.
fn come<S, Req, Res>(
    setting: &Setting,
    node: &Node<S>,
    visitors: usize,
    seat: Option<Seat>,
) -> Vec<Event>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let Setting { board, config, service, settings, traffic, .. } = setting;
    let _end = EndOnPanic(board);
    board.await_all(&board.visitors, visitors);
    let mut log = Vec::new();
    for turn in 0..traffic.visits {
        if board.is_over() {
            break;
        }
        let builder = open::service::<S, Req, Res>(node, service);
        let opened = open::with_settings(builder, settings).obtain(OpenMode::OpenOrCreate);
        if let Ok(factory) = &opened {
            if turn % LOOKS_EVERY == 0 {
                let pattern = MessagingPattern::RequestResponse;
                let exists = S::does_exist(service, config, pattern).map_err(|e| format!("{e:?}"));
                log.push(Event::Exists(exists));
                // What becomes of services that threads open with one node is known.
                if seat.is_some() {
                    log.push(Event::NodeListed(times_listed(factory, node)));
                }
            }
            if let Some(seat) = seat {
                // Afterwards those with a port are among themselves.
                let ports = if turn + 1 < traffic.visits { 1 } else { traffic.visits };
                log.extend(with_ports(setting, factory, seat, turn..turn + ports));
            }
        }
        let is_refused = opened.is_err();
        log.push(Event::Opened(opened.map(drop)));
        if is_refused {
            break;
        }
        board.advance();
    }
    log
}

/// How often a service names a node as one that is alive and has it open.
fn times_listed<S, Req, Res>(
    factory: &version::Factory<S, Req, Res>,
    node: &Node<S>,
) -> Result<usize, String>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
{
    let mut times = 0;
    factory
        .nodes(|state| {
            let is_alive = matches!(state, NodeState::Alive(_));
            times += usize::from(is_alive && state.node_id() == node.id());
            CallbackProgression::Continue
        })
        .map_err(|e| format!("{e:?}"))?;
    Ok(times)
}

/// Creates a port and drops it again, for each of these turns at the same moment as the others,
/// until one goes wrong.
fn with_ports<S, Req, Res>(
    setting: &Setting,
    factory: &version::Factory<S, Req, Res>,
    seat: Seat,
    turns: Range<usize>,
) -> Vec<Event>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
{
    let Setting { board, traffic, .. } = setting;
    let seats = traffic.clients + traffic.servers;
    let mut log = Vec::new();
    for turn in turns {
        board.meet_before_a_port((turn + 1) * seats);
        let listed = with_port(factory, seat);
        if listed != Ok(1) {
            board.end();
        }
        log.push(Event::PortListed(listed));
        board.advance();
        if board.is_over() {
            break;
        }
    }
    log
}

/// Creates a port and drops it again; how often the service lists it meanwhile.
fn with_port<S, Req, Res>(
    factory: &version::Factory<S, Req, Res>,
    seat: Seat,
) -> Result<usize, String>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
{
    let memory = Memory { strategy: Some(Strategy::Static), hint: 1 };
    let config = factory.dynamic_config();
    let mut times = 0;
    let mut count = |listed: PortId, own: PortId| {
        times += usize::from(listed == own);
        CallbackProgression::Continue
    };
    match seat {
        Seat::Client => {
            let builder = Req::client_memory(factory.client_builder(), memory);
            let client = builder.create().map_err(|e| format!("{e:?}"))?;
            let own = version::client_id(&client);
            config.list_clients(|details| count(version::listed_client(details).id, own));
        }
        Seat::Server => {
            let builder = Res::server_memory(factory.server_builder(), memory);
            let server = builder.create().map_err(|e| format!("{e:?}"))?;
            let own = version::server_id(&server);
            config.list_servers(|details| count(version::listed_server(details).id, own));
        }
    }
    Ok(times)
}
