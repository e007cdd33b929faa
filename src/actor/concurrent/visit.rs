//! Whoever opens the service and lets it go again, all at the same time: somebody is always the
//! first, and somebody else the last.

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
};

use iceoryx2::prelude::*;

use super::{EndOnPanic, Event, GLANCE, Log, Setting, Share, Who};
use crate::{
    actor::{
        message::Payload,
        open::{self, Obtain},
        version,
    },
    scenario::OpenMode,
};

/// Lets all of them come as often as the traffic says: one with a node of its own for every
/// port there will be, and some that share one.
pub(super) fn all<S, Req, Res>(setting: &Setting, alive: &mut dyn FnMut()) -> Vec<Log>
where
    S: Share,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let Setting { traffic, board, .. } = setting;
    if traffic.visits == 0 {
        return Vec::new();
    }
    let mut all: Vec<Vec<Event>> = Vec::new();
    thread::scope(|scope| {
        let (done, logs) = channel();
        let come_together = |visitors: usize| {
            let done = done.clone();
            move || {
                let _end = EndOnPanic(board);
                // Whoever reads them is there until this one has ended.
                let _ = done.send(with_node::<S, Req, Res>(setting, visitors));
            }
        };
        let alone = traffic.clients + traffic.servers;
        let groups = std::iter::repeat_n(1, alone).chain([traffic.visitors]);
        let threads: Vec<_> = groups.map(|group| scope.spawn(come_together(group))).collect();
        drop(done);
        let mut progress = 0;
        loop {
            let so_far = board.progress.load(std::sync::atomic::Ordering::Relaxed);
            if std::mem::replace(&mut progress, so_far) != so_far {
                alive();
            }
            match logs.recv_timeout(GLANCE) {
                Ok(logs) => all.extend(logs),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // A panic of a visitor goes on here, whose end is watched.
        for visitor in threads {
            visitor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    (0..).zip(all).map(|(thread, events)| (Who::Visitor { thread }, events)).collect()
}

/// Lets so many come with one node, if they may share it.
fn with_node<S, Req, Res>(setting: &Setting, visitors: usize) -> Vec<Vec<Event>>
where
    S: Share,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    match NodeBuilder::new().config(&setting.config).create::<S>() {
        Ok(node) => S::share_node(&node, visitors, &|node, _| come::<S, Req, Res>(setting, node)),
        Err(error) => vec![vec![Event::NotCreated(format!("{error:?}"))]],
    }
}

/// Opens the service, looks now and then whether it exists, and lets it go, again and again.
fn come<S, Req, Res>(setting: &Setting, node: &Node<S>) -> Vec<Event>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let Setting { board, config, service, settings, traffic, .. } = setting;
    let _end = EndOnPanic(board);
    let visit = |looks: bool| {
        let builder = open::service::<S, Req, Res>(node, service);
        let _open = open::with_settings(builder, settings).obtain(OpenMode::OpenOrCreate)?;
        let pattern = MessagingPattern::RequestResponse;
        let exists = looks.then(|| S::does_exist(service, config, pattern)).transpose();
        exists.map_err(|error| format!("{error:?}"))
    };
    let turns = (0..traffic.visits).take_while(|_| !board.is_over());
    let visits = turns.map(|turn| {
        let visited = visit(turn % LOOKS_EVERY == 0);
        board.advance();
        Event::Visited(visited)
    });
    visits.collect()
}

/// To look takes time, in which nobody comes or goes.
const LOOKS_EVERY: usize = 8;
