//! What goes wrong only when threads send and receive at the same time.

use super::{Sabotage, Stage, Trick};
use crate::{
    actor::{
        HostError,
        concurrent::{Event, Logs},
    },
    model::Promise,
    payload,
    scenario::Concurrent,
};

/// Lets the threads do what they are to do, and changes the first event of a kind.
macro_rules! alters {
    ($event:pat => $change:expr) => {
        || {
            alter(|event| {
                let $event = event else { return false };
                $change;
                true
            })
        }
    };
}

pub(super) static ALL: &[Sabotage] = &[
    Sabotage {
        id: "concurrent-response-is-lost",
        breaks: Promise::NoResponseIsLost,
        what: "of all the responses threads send at the same time one does not arrive",
        trick: || tamper(|events| remove(events, |event| matches!(event, Event::GotResponse(..)))),
    },
    Sabotage {
        id: "concurrent-request-is-lost",
        breaks: Promise::NoRequestIsLost,
        what: "of all the requests threads send at the same time one does not arrive",
        trick: || tamper(|events| remove(events, |event| matches!(event, Event::GotRequest(_)))),
    },
    Sabotage {
        id: "concurrent-request-comes-twice",
        breaks: Promise::RequestsArriveInOrder,
        what: "of all the requests threads send at the same time one arrives twice",
        trick: || {
            tamper(|events| {
                let at = events.iter().position(|event| matches!(event, Event::GotRequest(_)));
                at.is_some_and(|at| {
                    events.insert(at, events[at].clone());
                    true
                })
            })
        },
    },
    Sabotage {
        id: "concurrent-request-arrives-disconnected",
        breaks: Promise::ActiveRequestConnection,
        what: "a request that threads send at the same time as others says nobody waits for it",
        trick: alters!(Event::Waiting(_, waits) => *waits = false),
    },
    Sabotage {
        id: "concurrent-request-stays-connected",
        breaks: Promise::PendingResponseConnection,
        what: "a request that threads send at the same time as others stays connected for ever",
        trick: alters!(Event::LetGo(_, connected) => *connected = true),
    },
    Sabotage {
        id: "concurrent-loan-beyond-the-limit",
        breaks: Promise::LoanLimit,
        what: "threads that loan at the same time get one request more than there may be",
        trick: alters!(Event::Rushed(_, granted, _) => *granted += 1),
    },
    Sabotage {
        id: "loans-and-drops-at-once-exceed-the-limit",
        breaks: Promise::LoanLimit,
        what: "threads that loan and drop as fast as they can have one request too many for a moment",
        trick: alters!(Event::Scrambled(most, _) => *most += 100),
    },
    Sabotage {
        id: "response-another-thread-drops-counts-on",
        breaks: Promise::LoanLimit,
        what: "a loaned response that another thread drops is not given back",
        trick: alters!(Event::HandedOn(granted, _) => *granted -= 1),
    },
    Sabotage {
        id: "service-that-is-open-does-not-exist",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "while others open a service and let it go it is gone for somebody who has it",
        trick: alters!(Event::Exists(exists) => *exists = Ok(false)),
    },
    Sabotage {
        id: "node-of-many-is-not-listed",
        breaks: Promise::ServiceIsListedWithItsNodes,
        what: "while others open a service and let it go it does not know a node that has it",
        trick: alters!(Event::NodeListed(times) => *times = Ok(0)),
    },
    Sabotage {
        id: "ports-created-at-once-share-a-place",
        breaks: Promise::PortCounts,
        what: "of two ports that are created at the same time one is not listed",
        trick: alters!(Event::PortListed(times) => *times = Ok(0)),
    },
    Sabotage {
        id: "service-of-many-is-refused",
        breaks: Promise::CreateAndOpen,
        what: "while others open a service and let it go somebody can neither open nor create it",
        trick: alters!(Event::Opened(opened) => *opened = Err("ServiceInCorruptedState".to_owned())),
    },
    Sabotage {
        id: "concurrent-growth-overwrites-held-data",
        breaks: Promise::HeldDataStaysIntact,
        what: "a message changes while other threads grow",
        trick: alters!(Event::Reread(id, mismatch) => *mismatch = payload::check(*id, b"other bytes").err()),
    },
];

/// Removes the first event of a kind, if there is one.
fn remove(events: &mut Vec<Event>, is: fn(&Event) -> bool) -> bool {
    let at = events.iter().position(is);
    at.is_some_and(|at| {
        events.remove(at);
        true
    })
}

/// Changes the first event that can be.
fn alter(change: fn(&mut Event) -> bool) -> Box<dyn Trick> {
    tamper(move |events| events.iter_mut().any(change))
}

/// The same with the first log that can be.
fn tamper(change: impl Fn(&mut Vec<Event>) -> bool + 'static) -> Box<dyn Trick> {
    Box::new(Tampering(change))
}

struct Tampering<F>(F);

impl<F: Fn(&mut Vec<Event>) -> bool> Trick for Tampering<F> {
    fn at_once(
        &mut self,
        stage: &mut Stage<'_>,
        traffic: &Concurrent,
        alive: &mut dyn FnMut(),
    ) -> Result<Logs, HostError> {
        let mut logs = stage.host.at_once(traffic, alive)?;
        let _ = logs.threads.iter_mut().any(|(_, events)| (self.0)(events));
        Ok(logs)
    }
}
