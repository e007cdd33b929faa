//! Whoever opens the service and lets it go again, all at the same time: somebody is always the
//! first, and somebody else the last.

use std::thread;

use iceoryx2::prelude::*;

use super::{Event, Log, Setting, Share, Who};
use crate::{
    actor::{
        message::Payload,
        open::{self, Obtain},
        version,
    },
    scenario::OpenMode,
};

/// Visitors with a node of their own, and visitors that share one.
const MOST_EACH: usize = 3;

/// Lets all of them come as often as the traffic says.
pub(super) fn all<S, Req, Res>(setting: &Setting) -> Vec<Log>
where
    S: Share,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    if setting.traffic.visits == 0 {
        return Vec::new();
    }
    let each = (setting.traffic.clients + setting.traffic.servers).min(MOST_EACH);
    let with_node = |visit: &dyn Fn(&Node<S>) -> Vec<Vec<Event>>| {
        let node = NodeBuilder::new().config(&setting.config).create::<S>();
        node.map_or_else(
            |error| vec![vec![Event::NotCreated(format!("{error:?}"))]],
            |node| visit(&node),
        )
    };
    let logs: Vec<Vec<Event>> = thread::scope(|scope| {
        let alone = || with_node(&|node| vec![come::<S, Req, Res>(setting, node)]);
        let alone: Vec<_> = (0..each).map(|_| scope.spawn(alone)).collect();
        let shared = with_node(&|node| {
            S::share_node(node, each, &|node, _| come::<S, Req, Res>(setting, node))
        });
        let join = |visitor: thread::ScopedJoinHandle<'_, Vec<Vec<Event>>>| {
            visitor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        alone.into_iter().flat_map(join).chain(shared).collect()
    });
    (0..).zip(logs).map(|(thread, events)| (Who::Visitor { thread }, events)).collect()
}

/// Opens the service, looks whether it exists and lets it go, again and again.
fn come<S, Req, Res>(setting: &Setting, node: &Node<S>) -> Vec<Event>
where
    S: Service,
    Req: Payload + ?Sized,
    Res: Payload + ?Sized,
    version::Builder<S, Req, Res>: Obtain<S, Req, Res>,
{
    let visit = || {
        let builder = open::service::<S, Req, Res>(node, &setting.service);
        let _open =
            open::with_settings(builder, &setting.settings).obtain(OpenMode::OpenOrCreate)?;
        let pattern = MessagingPattern::RequestResponse;
        S::does_exist(&setting.service, &setting.config, pattern).map_err(|e| format!("{e:?}"))
    };
    (0..setting.traffic.visits).map(|_| Event::Visited(visit())).collect()
}
