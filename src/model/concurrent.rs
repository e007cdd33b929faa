//! Judges traffic that threads made at the same time: by what holds in whatever order they
//! came.
//!
//! Every message arrives once, with the bytes that were written, at whom it is for; what one
//! thread sends to another arrives in order; whatever is within the limits succeeds. Nothing is
//! evicted or discarded, and only servers leave before all is received: of known quirks, those have
//! a part in it that lose what such a server has sent.

mod missing;

use std::collections::{BTreeMap, BTreeSet};

use enumset::EnumSet;
use smallvec::smallvec;

use missing::hiding;

use super::{
    Candidate, Expected, Prediction, Promise, Promises, Switch,
    judge::{self, Breach, Judged},
};
use crate::{
    actor::{
        Action, HostError, Key, Observation, PortId,
        concurrent::{Event, Logs, Who, patience_in_ms},
    },
    payload::MessageId,
    scenario::{Concurrent, LoanForm, Settings, concurrent::RESPONSE_LOANS},
};

/// What concurrent traffic came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// These promises were at stake and kept; with these quirks nobody knows of some.
    Kept(Promises, EnumSet<Switch>),
    /// One was broken: by what was done, and how.
    Broken(String, Breach),
    /// Nobody saw anything wrong, but somebody did not come back, or did not do all.
    Stopped(HostError),
}

/// Judges what the threads logged, living with these quirks.
#[must_use]
pub fn judge(
    traffic: &Concurrent,
    settings: &Settings,
    quirks: &BTreeSet<Switch>,
    logs: &Logs,
) -> Verdict {
    let traffic = &traffic.bounded();
    let settings = traffic.settings(settings);
    let all_are_back = logs.stuck == 0;
    let mut trial = Trial {
        traffic,
        limit: settings.max_loaned_requests,
        sent: sent(logs),
        hiding: hiding(traffic, quirks, logs),
        all_are_back,
        checked: Promises::default(),
        lived_with: EnumSet::empty(),
    };
    let verdict = trial
        .each_event(logs)
        .and_then(|()| trial.order_and_number(logs))
        .and_then(|()| trial.losses(logs))
        .and_then(|()| trial.bequests(quirks, logs))
        .and_then(|()| trial.newest(logs))
        .and_then(|()| trial.rushes(logs));
    match verdict {
        Err((action, breach)) => Verdict::Broken(action, breach),
        Ok(()) if logs.stuck > 0 => Verdict::Stopped(HostError::Hung(patience_in_ms())),
        Ok(()) if !is_complete(traffic, logs) => Verdict::Stopped(HostError::Harness(
            "concurrent traffic ended early and nobody says why".to_owned(),
        )),
        Ok(()) => Verdict::Kept(trial.checked, trial.lived_with),
    }
}

/// Whether an error, as `Debug` prints it, leaves it open if the service is to be had where others
/// create and remove it: `SystemInFlux` "can occur when another process creates and removes the
/// same service repeatedly with a high frequency", and after `IsMarkedForDestruction` "the service
/// should be recreatable" with a little delay (`service/builder/request_response.rs`).
fn is_left_open(error: &str) -> bool {
    ["SystemInFlux", "IsMarkedForDestruction"].iter().any(|name| judge::names(error, name))
}

type Found = Result<(), (String, Breach)>;

/// Messages and the ports that sent them.
fn sent(logs: &Logs) -> BTreeMap<MessageId, PortId> {
    let all = logs.threads.iter().flat_map(|(_, events)| events);
    all.filter_map(|event| match event {
        Event::Asked { id, origin, observation: Observation::Sent { .. }, .. }
        | Event::Answered { id, origin, .. } => Some((*id, *origin)),
        _ => None,
    })
    .collect()
}

/// Whether every thread of a client has sent all it was to send.
fn is_complete(traffic: &Concurrent, logs: &Logs) -> bool {
    let clients = logs.threads.iter().filter(|(who, _)| matches!(who, Who::Client { .. }));
    let done = |events: &[Event]| {
        events.iter().filter(|event| matches!(event, Event::Completed(..))).count()
    };
    clients.clone().count() >= traffic.clients
        && clients.map(|(_, events)| done(events)).all(|done| done == traffic.requests)
}

fn name(who: Who) -> String {
    match who {
        Who::Client { port, thread } => format!("client {port}, thread {thread}"),
        Who::Server { port, thread } => format!("server {port}, thread {thread}"),
        Who::Visitor { node, thread } => format!("visitor of node {node}, thread {thread}"),
    }
}

fn broken(promise: Promise, expected: impl ToString, observed: impl ToString) -> Breach {
    Breach { promise, expected: expected.to_string(), observed: observed.to_string() }
}

struct Trial<'a> {
    traffic: &'a Concurrent,
    /// Requests that may be loaned by a client in parallel.
    limit: usize,
    sent: BTreeMap<MessageId, PortId>,
    /// Requests with responses that a known quirk may hide from a receive.
    hiding: BTreeSet<MessageId>,
    /// Whether all that was sent is known.
    all_are_back: bool,
    checked: Promises,
    lived_with: EnumSet<Switch>,
}

impl Trial<'_> {
    fn note(&mut self, promises: Promises) {
        self.checked = self.checked.union(promises);
    }

    /// What can be said of each event for itself.
    fn each_event(&mut self, logs: &Logs) -> Found {
        for (who, events) in &logs.threads {
            for event in events {
                self.event(event)
                    .map_err(|(what, breach)| (format!("{}: {what}", name(*who)), breach))?;
            }
        }
        Ok(())
    }

    /// Holds an observation against the only one there may be.
    fn hold(
        &mut self,
        action: &Action,
        promise: Promise,
        expected: Expected,
        seen: &Observation,
    ) -> Result<(), Breach> {
        let allowed = smallvec![expected];
        let prediction = Prediction { promise, allowed, tolerated: Vec::new() };
        if let Judged::Kept(promises) = judge::judge(action, &prediction, seen)? {
            self.note(promises);
        }
        Ok(())
    }

    /// What exists is listed once.
    fn once(&mut self, promise: Promise, what: String, times: &Result<usize, String>) -> Found {
        if *times == Ok(1) {
            self.note(Promises::of(&[promise]));
            return Ok(());
        }
        let observed = times.as_ref().map_or_else(Clone::clone, usize::to_string);
        Err((what, broken(promise, "1", observed)))
    }

    fn event(&mut self, event: &Event) -> Found {
        match event {
            Event::NotCreated(error) => {
                let breach = broken(Promise::CreateAndOpen, "a node, a service and a port", error);
                Err(("join and create a port".to_owned(), breach))
            }
            Event::Opened(Ok(())) => {
                self.note(Promises::of(&[Promise::CreateAndOpen]));
                Ok(())
            }
            Event::Opened(Err(error)) if is_left_open(error) => Ok(()),
            Event::Opened(Err(error)) => {
                let breach = broken(Promise::CreateAndOpen, "the service", error);
                Err(("open the service or create it".to_owned(), breach))
            }
            Event::Exists(exists) => {
                let promise = Promise::ServiceIsListedWithItsNodes;
                let what = "ask whether a service exists that is open".to_owned();
                if *exists == Ok(true) {
                    self.note(Promises::of(&[promise]));
                    return Ok(());
                }
                Err((what, broken(promise, "true", format!("{exists:?}"))))
            }
            Event::NodeListed(times) => {
                let what = "look for the node at the service it has open".to_owned();
                self.once(Promise::ServiceIsListedWithItsNodes, what, times)
            }
            Event::PortListed(Err(error)) => {
                // There are no more than may be.
                let promise = if judge::names(error, "ExceedsMaxSupportedClients") {
                    Promise::ClientLimit
                } else if judge::names(error, "ExceedsMaxSupportedServers") {
                    Promise::ServerLimit
                } else {
                    Promise::CreateAndOpen
                };
                let breach = broken(promise, "a port", error);
                Err(("create a port while others do".to_owned(), breach))
            }
            Event::PortListed(times) => {
                let what = "look for a port that was created while others were".to_owned();
                self.once(Promise::PortCounts, what, times)
            }
            Event::Loaned(id, form, seen) => {
                let len = self.traffic.len_of(*id);
                let action = loan(*id, len, *form);
                let promise = Promise::LoanWithinLimitsSucceeds;
                self.hold(&action, promise, Expected::Loaned { len }, seen)
                    .map_err(|breach| (format!("loan message {id} of {len}"), breach))
            }
            Event::Asked { id, least, most, observation, .. } => {
                let action = Action::SendRequest { request: Key::default(), new: Key::default() };
                let expected = Expected::Sent { servers: *least..=*most };
                self.hold(&action, Promise::SendReachesEveryServer, expected, observation)
                    .map_err(|breach| (format!("send request {id}"), breach))
            }
            Event::Answered { id, observation, .. } => {
                let action = Action::SendResponse { response: Key::default() };
                self.hold(&action, Promise::NoResponseIsLost, Expected::Done, observation)
                    .map_err(|breach| (format!("send response {id}"), breach))
            }
            Event::GotRequest(seen) => {
                let (server, new) = (Key::default(), Key::default());
                let action = Action::ReceiveRequest { server, new };
                self.message(&action, Promise::NoRequestIsLost, seen)
                    .map_err(|breach| ("receive a request".to_owned(), breach))
            }
            Event::GotResponse(request, seen) => {
                let (pending, new) = (Key::default(), Key::default());
                let action = Action::ReceiveResponse { pending, new };
                self.message(&action, Promise::NoResponseIsLost, seen)
                    .map_err(|breach| (format!("receive a response to {request}"), breach))
            }
            Event::Waiting(id, connected) => {
                let what = || format!("is_connected of {id}, which has just been received");
                self.says(what, Promise::ActiveRequestConnection, true, *connected)
            }
            Event::LetGo(id, connected) => {
                let what = || format!("is_connected of {id}, which all servers have let go of");
                self.says(what, Promise::PendingResponseConnection, false, *connected)
            }
            Event::Completed(id, true) if self.hiding.contains(id) => {
                self.lived_with.insert(Switch::LostResponseHidesLaterOnes);
                Ok(())
            }
            Event::Completed(id, has_response) => {
                let what = || format!("has_response of {id}, which has got all of its responses");
                self.says(what, Promise::HasResponseIsTrue, false, *has_response)
            }
            Event::Reread(_, None) => {
                self.note(Promises::of(&[Promise::HeldDataStaysIntact]));
                Ok(())
            }
            Event::Reread(id, Some(mismatch)) => {
                let breach = broken(Promise::HeldDataStaysIntact, "what is held to stay", mismatch);
                Err((format!("read message {id} again"), breach))
            }
            // What each thread got says something only together with the others.
            Event::Rushed(..) => Ok(()),
            Event::Scrambled(most, refused) => self.scrambled(*most, refused),
            Event::HandedOn(granted, refused) => self.handed_on(*granted, refused),
            // What is missing is found by counting.
            Event::GaveUp(..) | Event::GaveUpOnServers => Ok(()),
        }
    }

    /// Holds an answer against the only one there may be.
    fn says(
        &mut self,
        what: impl FnOnce() -> String,
        promise: Promise,
        expected: bool,
        seen: bool,
    ) -> Found {
        if seen != expected {
            return Err((what(), broken(promise, expected, seen)));
        }
        self.note(Promises::of(&[promise]));
        Ok(())
    }

    /// However threads loan and drop, there are never more than may be.
    fn scrambled(&mut self, most: usize, refused: &Observation) -> Found {
        let what = "loan and drop as fast as all its threads can";
        if most <= self.limit {
            return self.is_one_too_many(what, MessageId::default(), refused);
        }
        let expected = format!("{} loan(s) at the same time", self.limit);
        let breach = broken(Promise::LoanLimit, expected, format!("{most} loan(s)"));
        Err((what.to_owned(), breach))
    }

    /// Whoever drops a loaned response gives it back.
    fn handed_on(&mut self, granted: usize, refused: &Observation) -> Found {
        let response = Concurrent::response(MessageId::default(), 0, 0);
        self.is_one_too_many("loan one more", response, refused)?;
        if granted == RESPONSE_LOANS {
            return Ok(());
        }
        let what = "loan, after another thread has dropped what was loaned before".to_owned();
        let expected = format!("{RESPONSE_LOANS} loan(s)");
        Err((what, broken(Promise::LoanLimit, expected, format!("{granted} loan(s)"))))
    }

    /// Who gets no more gets to know that it has as much as may be.
    fn is_one_too_many(&mut self, what: &str, id: MessageId, refused: &Observation) -> Found {
        let action = loan(id, 0, LoanForm::default());
        let error = Expected::Refused("ExceedsMaxLoans");
        self.hold(&action, Promise::LoanLimit, error, refused)
            .map_err(|breach| (what.to_owned(), breach))
    }

    /// A message that says who it is has to be that one, and somebody has to have sent it.
    fn message(
        &mut self,
        action: &Action,
        promise: Promise,
        seen: &Observation,
    ) -> Result<(), Breach> {
        let id = stated(seen).unwrap_or_default();
        let origin = match (self.sent.get(&id), seen) {
            (Some(origin), _) => *origin,
            (None, Observation::Received(received)) if received.header.is_some() => {
                if self.all_are_back {
                    let promise = match action {
                        Action::ReceiveRequest { .. } => Promise::RequestsArriveInOrder,
                        _ => Promise::ResponsesArriveInOrder,
                    };
                    return Err(broken(
                        promise,
                        "a message that was sent",
                        format!("message {id}"),
                    ));
                }
                // Whoever is stuck may have sent it: its sender is all that is not known.
                received.origin
            }
            (None, _) => PortId::default(),
        };
        let candidate = Candidate { id, len: self.traffic.len_of(id), origin };
        self.hold(action, promise, Expected::Received(candidate), seen)
    }

    /// What a thread receives is for it, comes in the order another thread sent it, and nobody
    /// gets it twice.
    fn order_and_number(&mut self, logs: &Logs) -> Found {
        let mut received: BTreeSet<(usize, MessageId)> = BTreeSet::new();
        for (who, events) in &logs.threads {
            // Last sequence number by sending thread, or last response by request and server.
            let mut last_request: BTreeMap<usize, usize> = BTreeMap::new();
            let mut last_response: BTreeMap<(MessageId, usize), MessageId> = BTreeMap::new();
            for event in events {
                let fail = |what: &str, breach| Err((format!("{}: {what}", name(*who)), breach));
                match (event, *who) {
                    (Event::GotRequest(seen), Who::Server { port, .. }) => {
                        let Some(id) = stated(seen) else { continue };
                        let (thread, sequence) = Concurrent::sender_of(id);
                        let last = last_request.insert(thread, sequence);
                        if last.is_some_and(|last| last >= sequence) || !received.insert((port, id))
                        {
                            let expected = "the requests of a thread in order, each once";
                            let observed = format!(
                                "request {id}, number {sequence} of its thread, after number {last:?}"
                            );
                            let promise = Promise::RequestsArriveInOrder;
                            return fail("receive a request", broken(promise, expected, observed));
                        }
                    }
                    (Event::GotResponse(request, seen), _) => {
                        let Some(id) = stated(seen) else { continue };
                        if Concurrent::request_of(id) != *request || id == *request {
                            let promise = Promise::ResponseReachesOnlyItsRequest;
                            let expected = format!("a response to request {request}");
                            let of = Concurrent::request_of(id);
                            let observed = format!("message {id}, which is about request {of}");
                            return fail("receive a response", broken(promise, expected, observed));
                        }
                        let server = Concurrent::answered_by(id);
                        let last = last_response.insert((*request, server), id);
                        if last.is_some_and(|last| last >= id) {
                            let promise = Promise::ResponsesArriveInOrder;
                            let expected = "the responses of a server in order, each once";
                            let observed = format!("response {id} after {last:?}");
                            return fail("receive a response", broken(promise, expected, observed));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whoever waited in vain, or a request that fewer servers got than it was sent to.
    fn losses(&mut self, logs: &Logs) -> Found {
        // A thread that is stuck may have got it.
        if logs.stuck > 0 {
            return Ok(());
        }
        // Of the servers that stay: a request waits in vain for one that goes.
        let mut servers: BTreeMap<MessageId, usize> = BTreeMap::new();
        let mut responses: BTreeMap<MessageId, usize> = BTreeMap::new();
        for (who, events) in &logs.threads {
            for event in events {
                match (event, *who) {
                    (Event::GotRequest(seen), Who::Server { port, .. })
                        if !self.traffic.leaves_early(port) =>
                    {
                        stated(seen)
                            .into_iter()
                            .for_each(|id| *servers.entry(id).or_default() += 1);
                    }
                    (Event::GotResponse(request, seen @ Observation::Received(_)), _)
                        if !stated(seen).is_some_and(|id| self.traffic.is_of_leaver(id)) =>
                    {
                        *responses.entry(*request).or_default() += 1;
                    }
                    _ => {}
                }
            }
        }
        let gave_up = logs
            .threads
            .iter()
            .flat_map(|(_, events)| events)
            .any(|event| matches!(event, Event::GaveUp(..) | Event::GaveUpOnServers));
        let is_complete = is_complete(self.traffic, logs);
        if !gave_up && !is_complete {
            // Somebody else found something, or nobody did: see above.
            return Ok(());
        }
        for (who, events) in &logs.threads {
            for event in events {
                let Event::Asked { id, observation: Observation::Sent { servers: to }, .. } = event
                else {
                    continue;
                };
                let to = &(*to).min(self.traffic.staying_servers());
                let by = servers.get(id).copied().unwrap_or(0);
                let promise =
                    if by < *to { Promise::NoRequestIsLost } else { Promise::NoResponseIsLost };
                // Of those that evict each other only the newest has to come.
                let all = if self.traffic.overflow { *to } else { to * self.traffic.responses };
                let got = responses.get(id).copied().unwrap_or(0);
                if by >= *to && got >= all {
                    continue;
                }
                // What is still on its way when others give up is not lost.
                let waited =
                    events.iter().any(|event| matches!(event, Event::GaveUp(of, _) if of == id));
                if gave_up && !waited {
                    continue;
                }
                let what = format!("{}: wait for responses to {id}", name(*who));
                let expected = format!("{to} server(s) to receive it, and {all} response(s)");
                let observed = format!("{by} server(s) and {got} response(s), then nothing more");
                return Err((what, broken(promise, expected, observed)));
            }
        }
        let gave_up_on = logs
            .threads
            .iter()
            .find_map(|(who, events)| events.contains(&Event::GaveUpOnServers).then_some(*who));
        gave_up_on.map_or(Ok(()), |who| {
            let what = format!("{}: wait for the servers", name(who));
            let expected = "every server to receive all requests it was sent, and to drop them";
            Err((what, broken(Promise::NoRequestIsLost, expected, "nothing more happens")))
        })
    }

    /// Threads that loan at the same time get exactly as many as there may be, all together.
    fn rushes(&mut self, logs: &Logs) -> Found {
        let limit = self.limit;
        let mut granted: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (who, events) in &logs.threads {
            for event in events {
                let (Event::Rushed(rush, got, refused), Who::Client { port, .. }) = (event, *who)
                else {
                    continue;
                };
                let what = format!("{}: loan one more", name(*who));
                self.is_one_too_many(&what, MessageId::default(), refused)?;
                *granted.entry((port, *rush)).or_default() += got;
            }
        }
        let not_all_know = logs.stuck > 0 || !is_complete(self.traffic, logs);
        let wrong = granted.into_iter().find(|(_, got)| *got != limit).filter(|_| !not_all_know);
        wrong.map_or(Ok(()), |((port, rush), got)| {
            let what = format!("client {port}: all its threads loan at the same time, rush {rush}");
            let expected = format!("{limit} loan(s) for all of them together");
            Err((what, broken(Promise::LoanLimit, expected, format!("{got} loan(s)"))))
        })
    }
}

/// The message as which something that was received presents itself.
fn stated(seen: &Observation) -> Option<MessageId> {
    match seen {
        Observation::Received(received) => received.header,
        _ => None,
    }
}

fn loan(id: MessageId, len: usize, form: LoanForm) -> Action {
    let key = Key::default();
    if Concurrent::request_of(id) == id {
        Action::LoanRequest { client: key, new: key, id, len, form }
    } else {
        Action::LoanResponse { active: key, new: key, id, len, form }
    }
}

#[cfg(test)]
mod tests;
