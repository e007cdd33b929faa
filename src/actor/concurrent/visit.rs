//! Whoever opens the service and lets it go again, all at the same time: somebody is always the
//! first, and somebody else the last.

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
};

use iceoryx2::prelude::*;

use super::{EndOnPanic, Event, GLANCE, Log, Pulse, Setting, Share, Who, crashed};
use crate::{
    actor::{
        HostError,
        message::Payload,
        open::{self, Obtain},
        version,
    },
    scenario::OpenMode,
};

/// To look takes time, in which nobody comes or goes.
const LOOKS_EVERY: usize = 8;

/// Lets all of them come as often as the traffic says: one with a node of its own for every
/// port there will be, and some that share one. Who is refused comes no more.
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
        let come_together = |visitors: usize| {
            let done = done.clone();
            move || {
                let _done = done;
                let _end = EndOnPanic(board);
                with_node::<S, Req, Res>(setting, visitors, alone + sharing)
            }
        };
        let groups = std::iter::repeat_n(1, alone).chain([sharing]);
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
fn with_node<S, Req, Res>(setting: &Setting, visitors: usize, of: usize) -> Vec<Vec<Event>>
where
    S: Share,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    match NodeBuilder::new().config(&setting.config).create::<S>() {
        Ok(node) => {
            S::share_node(&node, visitors, &|node, _| come::<S, Req, Res>(setting, node, of))
        }
        Err(error) => {
            setting.board.end();
            vec![vec![Event::NotCreated(format!("{error:?}"))]]
        }
    }
}

/// Opens the service when all visitors are there, looks now and then whether it exists, and lets
/// it go, again and again until it is refused.
fn come<S, Req, Res>(setting: &Setting, node: &Node<S>, visitors: usize) -> Vec<Event>
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
        if opened.is_ok() && turn % LOOKS_EVERY == 0 {
            let pattern = MessagingPattern::RequestResponse;
            let exists = S::does_exist(service, config, pattern).map_err(|e| format!("{e:?}"));
            log.push(Event::Exists(exists));
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
