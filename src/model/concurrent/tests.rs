//! Logs of ideal traffic, and what is said of them once they are changed.

use super::*;
use crate::{actor::Received, payload, scenario::Strategy};

fn traffic() -> Concurrent {
    Concurrent { clients: 2, servers: 2, requests: 3, responses: 2, ..Concurrent::default() }
}

fn port(who: Who) -> PortId {
    match who {
        Who::Client { port, .. } => PortId(1 + port as u128),
        Who::Server { port, .. } => PortId(100 + port as u128),
        Who::Visitor { .. } => PortId::default(),
    }
}

fn received(traffic: &Concurrent, id: MessageId, from: Who) -> Observation {
    Observation::Received(Received {
        header: Some(id),
        len: traffic.len_of(id),
        mismatch: None,
        misaligned: false,
        origin: port(from),
        header_origin: port(from),
        elements: traffic.len_of(id) as u64,
    })
}

fn loaned(traffic: &Concurrent, id: MessageId) -> Event {
    let len = traffic.len_of(id);
    let seen = Observation::Loaned {
        len,
        not_default: None,
        mismatch: None,
        misaligned: false,
        used_header: false,
    };
    Event::Loaned(id, LoanForm::Default, seen)
}

/// What the threads log when nothing is wrong.
fn ideal(traffic: &Concurrent) -> Logs {
    let client = |n| Who::Client { port: n, thread: n };
    let server = |n| Who::Server { port: n, thread: 0 };
    let mut logs = Logs::default();
    for n in 0..traffic.clients {
        let mut log = Vec::new();
        for sequence in 0..traffic.requests {
            let id = Concurrent::request(n, sequence);
            let observation = Observation::Sent { servers: 2 };
            let origin = port(client(n));
            log.push(loaned(traffic, id));
            log.push(Event::Asked { id, origin, least: 2, most: 2, observation });
            for nth in 0..traffic.responses {
                for s in 0..traffic.servers {
                    let response = Concurrent::response(id, s, nth);
                    let seen = received(traffic, response, server(s));
                    log.push(Event::GotResponse(id, seen));
                    log.push(Event::Reread(response, None));
                }
            }
            log.push(Event::Completed(id, false));
        }
        log.push(Event::LetGo(Concurrent::request(n, traffic.requests - 1), false));
        let limit = traffic.settings(&Settings::default()).max_loaned_requests;
        let refused = || Observation::Refused("ExceedsMaxLoans".to_owned());
        log.push(Event::Scrambled(limit, refused()));
        log.push(Event::Rushed(0, limit, refused()));
        logs.threads.push((client(n), log));
    }
    for s in 0..traffic.servers {
        let mut log = Vec::new();
        for sequence in 0..traffic.requests {
            for n in 0..traffic.clients {
                let id = Concurrent::request(n, sequence);
                log.push(Event::GotRequest(received(traffic, id, client(n))));
                log.push(Event::Waiting(id, true));
                for nth in 0..traffic.responses {
                    let id = Concurrent::response(id, s, nth);
                    let origin = port(server(s));
                    log.push(loaned(traffic, id));
                    log.push(Event::Answered { id, origin, observation: Observation::Done });
                }
                log.push(Event::Reread(id, None));
            }
        }
        let refused = Observation::Refused("ExceedsMaxLoans".to_owned());
        log.push(Event::HandedOn(RESPONSE_LOANS, refused));
        logs.threads.push((server(s), log));
    }
    let visit = vec![
        Event::Exists(Ok(true)),
        Event::NodeListed(Ok(1)),
        Event::PortListed(Ok(1)),
        Event::Opened(Ok(())),
    ];
    logs.threads.push((Who::Visitor { node: 0, thread: 0 }, visit));
    logs
}

fn verdict_on(change: impl FnOnce(&mut Logs)) -> Verdict {
    let mut logs = ideal(&traffic());
    change(&mut logs);
    judge(&traffic(), &Settings::default(), &BTreeSet::new(), &logs)
}

/// What is broken when the logs are changed like this.
fn broken_by(change: impl FnOnce(&mut Logs)) -> Promise {
    match verdict_on(change) {
        Verdict::Broken(_, breach) => breach.promise,
        other => panic!("{other:?}"),
    }
}

/// The first event of this kind in the log of this thread.
fn first(logs: &mut Logs, thread: usize, is: fn(&Event) -> bool) -> (usize, &mut Vec<Event>) {
    let events = &mut logs.threads[thread].1;
    let at = events.iter().position(is).expect("an ideal log has every kind");
    (at, events)
}

const CLIENT: usize = 0;
const SERVER: usize = 2;
const VISITOR: usize = 4;

fn is_request(event: &Event) -> bool {
    matches!(event, Event::GotRequest(_))
}

fn is_response(event: &Event) -> bool {
    matches!(event, Event::GotResponse(..))
}

/// Changes the first message a thread received.
fn first_message(logs: &mut Logs, thread: usize, change: impl FnOnce(&mut Received)) {
    let (at, events) = first(logs, thread, |event| is_request(event) || is_response(event));
    match &mut events[at] {
        Event::GotRequest(Observation::Received(received))
        | Event::GotResponse(_, Observation::Received(received)) => change(received),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_ideal_run_keeps_all_that_is_at_stake() {
    let Verdict::Kept(promises, _) = verdict_on(|_| {}) else { panic!("not kept") };
    for promise in crate::coverage::HOLDS_IN_ANY_ORDER {
        assert!(promises.iter().any(|kept| kept == promise), "{promise}");
    }
    assert_eq!(promises.iter().count(), crate::coverage::HOLDS_IN_ANY_ORDER.len());
}

#[test]
fn whoever_comes_and_goes_has_the_service_while_it_is_open() {
    let log = |event: Event| {
        let verdict = verdict_on(|logs| logs.threads[VISITOR].1.push(event));
        match verdict {
            Verdict::Broken(_, breach) => Some(breach.promise),
            _ => None,
        }
    };
    let refused = |error: &str| Event::Opened(Err(format!("RequestResponseOpenError({error})")));
    assert_eq!(log(refused("ServiceInCorruptedState")), Some(Promise::CreateAndOpen));
    assert_eq!(log(refused("HangsInCreation")), Some(Promise::CreateAndOpen));
    assert_eq!(log(refused("SystemInFlux")), None);
    let promise = Promise::ServiceIsListedWithItsNodes;
    assert_eq!(log(Event::Exists(Ok(false))), Some(promise));
    assert_eq!(log(Event::Exists(Err("InternalError".to_owned()))), Some(promise));
    let error = || Err("InternalCorruption".to_owned());
    for wrong in [Ok(0), Ok(2), error()] {
        assert_eq!(log(Event::NodeListed(wrong)), Some(promise));
    }
    for wrong in [0, 2] {
        assert_eq!(log(Event::PortListed(Ok(wrong))), Some(Promise::PortCounts));
    }
    assert_eq!(log(Event::PortListed(error())), Some(Promise::CreateAndOpen));
    for (error, promise) in [
        ("ExceedsMaxSupportedClients", Promise::ClientLimit),
        ("ExceedsMaxSupportedServers", Promise::ServerLimit),
    ] {
        assert_eq!(log(Event::PortListed(Err(error.to_owned()))), Some(promise));
    }
}

#[test]
fn a_message_that_is_lost_is_missed() {
    let lose = |thread: usize, is: fn(&Event) -> bool| {
        move |logs: &mut Logs| {
            let (at, events) = first(logs, thread, is);
            events.remove(at);
        }
    };
    assert_eq!(broken_by(lose(SERVER, is_request)), Promise::NoRequestIsLost);
    assert_eq!(broken_by(lose(CLIENT, is_response)), Promise::NoResponseIsLost);
}

#[test]
fn threads_that_loan_at_the_same_time_get_as_many_as_there_may_be() {
    let change = |other: fn(&mut usize, &mut Observation)| {
        move |logs: &mut Logs| {
            let (at, events) = first(logs, CLIENT, |event| matches!(event, Event::Rushed(..)));
            if let Event::Rushed(_, granted, refused) = &mut events[at] {
                other(granted, refused);
            }
        }
    };
    assert_eq!(broken_by(change(|granted, _| *granted += 1)), Promise::LoanLimit);
    assert_eq!(broken_by(change(|granted, _| *granted -= 1)), Promise::LoanLimit);
    let out_of_memory = |_: &mut usize, refused: &mut Observation| {
        *refused = Observation::Refused("OutOfMemory".to_owned());
    };
    assert_eq!(broken_by(change(out_of_memory)), Promise::LoanLimit);
    // Two threads of one client, and a rush each counts on its own.
    let of_two = |logs: &mut Logs| {
        let (at, events) = first(logs, CLIENT, |event| matches!(event, Event::Rushed(..)));
        let Event::Rushed(_, granted, refused) = events[at].clone() else { return };
        events[at] = Event::Rushed(0, granted - 1, refused.clone());
        events.push(Event::Rushed(0, 1, refused.clone()));
        events.push(Event::Rushed(1, granted, refused));
    };
    assert!(matches!(verdict_on(of_two), Verdict::Kept(..)));
}

#[test]
fn what_another_thread_drops_is_given_back() {
    let change = |other: fn(&mut usize, &mut Observation)| {
        move |logs: &mut Logs| {
            let (at, events) = first(logs, SERVER, |event| matches!(event, Event::HandedOn(..)));
            if let Event::HandedOn(granted, refused) = &mut events[at] {
                other(granted, refused);
            }
        }
    };
    assert_eq!(broken_by(change(|granted, _| *granted += 1)), Promise::LoanLimit);
    assert_eq!(broken_by(change(|granted, _| *granted -= 1)), Promise::LoanLimit);
    let out_of_memory = |_: &mut usize, refused: &mut Observation| {
        *refused = Observation::Refused("OutOfMemory".to_owned());
    };
    assert_eq!(broken_by(change(out_of_memory)), Promise::LoanLimit);
}

#[test]
fn what_a_server_sent_before_it_went_is_missed_and_what_it_did_not_get_is_not() {
    let verdict_on = |leaver_misses_a_request: bool, strategy, hint, quirks: &[Switch]| {
        let traffic =
            Concurrent { early_leave: true, server_strategy: strategy, hint, ..traffic() };
        let mut logs = ideal(&traffic);
        let (id, of_leaver) = (Concurrent::request(0, 2), 1);
        logs.threads[CLIENT].1.retain(|event| {
            !matches!(event, Event::GotResponse(of, seen)
                if *of == id && stated(seen).map(Concurrent::answered_by) == Some(of_leaver + 1))
        });
        if leaver_misses_a_request {
            logs.threads[SERVER + of_leaver].1.retain(|event| match event {
                Event::GotRequest(seen) => stated(seen) != Some(id),
                Event::Answered { id: answer, .. } => Concurrent::request_of(*answer) != id,
                _ => true,
            });
        }
        judge(&traffic, &Settings::default(), &quirks.iter().copied().collect(), &logs)
    };
    let (short, ample) = (traffic().hint, traffic().longest);
    let (unmapped, forgets) =
        (Switch::UnmappedSegmentIsLost, Switch::EmptyReceiveForgetsGoneServer);
    for lost in [
        verdict_on(false, Strategy::Static, short, &[unmapped]),
        verdict_on(false, Strategy::BestFit, ample, &[]),
    ] {
        let expected = Promise::NoResponseIsLost;
        assert!(
            matches!(&lost, Verdict::Broken(_, breach) if breach.promise == expected),
            "{lost:?}"
        );
    }
    for kept in [
        verdict_on(false, Strategy::Static, short, &[forgets]),
        verdict_on(false, Strategy::BestFit, ample, &[unmapped]),
        // It may have grown.
        verdict_on(false, Strategy::BestFit, short, &[]),
        verdict_on(true, Strategy::Static, short, &[]),
    ] {
        assert!(matches!(kept, Verdict::Kept(..)), "{kept:?}");
    }
}

#[test]
fn what_a_known_quirk_hides_from_a_receive_may_be_announced_after_it() {
    let hides = Switch::LostResponseHidesLaterOnes;
    let verdict_on = |quirks: &[Switch], strategy, sequence, unread: usize| {
        let traffic =
            Concurrent { early_leave: true, server_strategy: strategy, responses: 3, ..traffic() };
        let mut logs = ideal(&traffic);
        let (id, of_leaver) = (Concurrent::request(0, 2), 1);
        let mut left = unread;
        let events = &mut logs.threads[CLIENT].1;
        events.retain(|event| match event {
            Event::GotResponse(of, seen)
                if *of == id
                    && stated(seen).map(Concurrent::answered_by) == Some(of_leaver + 1) =>
            {
                left = left.saturating_sub(1);
                left == 0 && unread == 0
            }
            _ => true,
        });
        let announcing = Concurrent::request(0, sequence);
        for event in events.iter_mut().filter(|e| **e == Event::Completed(announcing, false)) {
            *event = Event::Completed(announcing, true);
        }
        judge(&traffic, &Settings::default(), &quirks.iter().copied().collect(), &logs)
    };
    let kept = verdict_on(&[hides], Strategy::BestFit, 2, 3);
    assert!(matches!(kept, Verdict::Kept(_, known) if known == hides), "{kept:?}");
    for broken in [
        verdict_on(&[], Strategy::BestFit, 2, 3),
        verdict_on(&[hides], Strategy::Static, 2, 3),
        verdict_on(&[hides], Strategy::BestFit, 1, 3),
        verdict_on(&[hides], Strategy::BestFit, 2, 0),
    ] {
        let expected = Promise::HasResponseIsTrue;
        assert!(
            matches!(&broken, Verdict::Broken(_, breach) if breach.promise == expected),
            "{broken:?}"
        );
    }
}

#[test]
fn of_responses_that_evict_each_other_only_the_newest_is_missed() {
    let verdict_on = |nth: usize| {
        let traffic = Concurrent { overflow: true, ..traffic() };
        let mut logs = ideal(&traffic);
        let lost = Concurrent::response(Concurrent::request(0, 1), 0, nth);
        logs.threads[CLIENT].1.retain(
            |event| !matches!(event, Event::GotResponse(_, seen) if stated(seen) == Some(lost)),
        );
        judge(&traffic, &Settings::default(), &BTreeSet::new(), &logs)
    };
    assert!(matches!(verdict_on(0), Verdict::Kept(..)));
    let lost = verdict_on(1);
    let expected = Promise::ResponseOverflowEvictsOldest;
    assert!(matches!(&lost, Verdict::Broken(_, breach) if breach.promise == expected), "{lost:?}");
}

#[test]
fn whoever_waits_in_vain_says_which_message_is_lost() {
    let id = Concurrent::request(0, 2);
    let in_vain = |lost_on_the_way: bool| {
        move |logs: &mut Logs| {
            let events = &mut logs.threads[CLIENT].1;
            events.retain(|event| !matches!(event, Event::GotResponse(of, _) if *of == id));
            events.retain(|event| *event != Event::Completed(id, false));
            events.push(Event::GaveUp(id, 4));
            if lost_on_the_way {
                let of = |event: &Event| matches!(event, Event::GotRequest(seen) if stated(seen) == Some(id));
                logs.threads[SERVER].1.retain(|event| !of(event));
            }
        }
    };
    assert_eq!(broken_by(in_vain(true)), Promise::NoRequestIsLost);
    assert_eq!(broken_by(in_vain(false)), Promise::NoResponseIsLost);
    let on_servers = |logs: &mut Logs| {
        logs.threads[CLIENT].1.push(Event::GaveUpOnServers);
    };
    assert_eq!(broken_by(on_servers), Promise::NoRequestIsLost);
}

#[test]
fn a_message_that_comes_twice_or_too_early_is_out_of_order() {
    let twice = |thread: usize, is: fn(&Event) -> bool| {
        move |logs: &mut Logs| {
            let (at, events) = first(logs, thread, is);
            events.insert(at, events[at].clone());
        }
    };
    assert_eq!(broken_by(twice(SERVER, is_request)), Promise::RequestsArriveInOrder);
    assert_eq!(broken_by(twice(CLIENT, is_response)), Promise::ResponsesArriveInOrder);
    let swapped = |thread: usize, is: fn(&Event) -> bool, distance: usize| {
        move |logs: &mut Logs| {
            let events = &mut logs.threads[thread].1;
            let at: Vec<usize> = (0..events.len()).filter(|&i| is(&events[i])).collect();
            events.swap(at[0], at[distance]);
        }
    };
    // Two clients and two servers take turns.
    assert_eq!(broken_by(swapped(SERVER, is_request, 2)), Promise::RequestsArriveInOrder);
    assert_eq!(broken_by(swapped(CLIENT, is_response, 2)), Promise::ResponsesArriveInOrder);
    assert!(matches!(verdict_on(swapped(SERVER, is_request, 1)), Verdict::Kept(..)));
}

#[test]
fn a_response_to_another_request_is_at_the_wrong_place() {
    let foreign = |logs: &mut Logs| {
        let (at, events) = first(logs, CLIENT, is_response);
        let Event::GotResponse(request, _) = &mut events[at] else { return };
        *request = Concurrent::request(0, 1);
    };
    assert_eq!(broken_by(foreign), Promise::ResponseReachesOnlyItsRequest);
}

#[test]
fn what_a_message_is_made_of_is_looked_at() {
    let wrong = |id| payload::check(id, &[1, 2, 3]).err();
    let of = |thread, change: fn(&mut Received)| {
        broken_by(move |logs| first_message(logs, thread, change))
    };
    for (thread, bytes) in
        [(SERVER, Promise::RequestBytesArrive), (CLIENT, Promise::ResponseBytesArrive)]
    {
        assert_eq!(of(thread, |received| received.len += 1), bytes);
        assert_eq!(of(thread, |received| received.elements += 1), bytes);
        assert_eq!(of(thread, |received| received.misaligned = true), Promise::PayloadIsAligned);
        assert_eq!(of(thread, |r| r.origin = PortId(99)), Promise::OriginNamesSender);
        let damage = move |logs: &mut Logs| {
            first_message(logs, thread, |received| {
                received.mismatch = received.header.and_then(wrong);
            });
        };
        assert_eq!(broken_by(damage), bytes);
    }
    let headless = of(SERVER, |received| received.header = None);
    assert!(matches!(headless, Promise::UserHeaderArrives | Promise::RequestsArriveInOrder));
    let changed = |logs: &mut Logs| {
        let (at, events) = first(logs, CLIENT, |event| matches!(event, Event::Reread(..)));
        let Event::Reread(id, mismatch) = &mut events[at] else { return };
        *mismatch = payload::check(*id, &[1, 2, 3]).err();
    };
    assert_eq!(broken_by(changed), Promise::HeldDataStaysIntact);
    let announced = |logs: &mut Logs| {
        let (at, events) = first(logs, CLIENT, |event| matches!(event, Event::Completed(..)));
        events[at] = Event::Completed(Concurrent::request(0, 0), true);
    };
    assert_eq!(broken_by(announced), Promise::HasResponseIsTrue);
}

#[test]
fn a_request_is_connected_from_its_arrival_until_all_servers_let_go_of_it() {
    let turned = |thread, is: fn(&Event) -> bool| {
        broken_by(move |logs: &mut Logs| {
            let (at, events) = first(logs, thread, is);
            match &mut events[at] {
                Event::Waiting(_, connected) | Event::LetGo(_, connected) => {
                    *connected = !*connected;
                }
                other => panic!("{other:?}"),
            }
        })
    };
    let arrival = turned(SERVER, |event| matches!(event, Event::Waiting(..)));
    assert_eq!(arrival, Promise::ActiveRequestConnection);
    let end = turned(CLIENT, |event| matches!(event, Event::LetGo(..)));
    assert_eq!(end, Promise::PendingResponseConnection);
}

#[test]
fn what_is_refused_within_the_limits_is_a_breach() {
    let refused = || Observation::Refused("OutOfMemory".to_owned());
    let loan = |logs: &mut Logs| {
        let (at, events) = first(logs, CLIENT, |event| matches!(event, Event::Loaned(..)));
        let Event::Loaned(_, _, seen) = &mut events[at] else { return };
        *seen = refused();
    };
    assert_eq!(broken_by(loan), Promise::LoanWithinLimitsSucceeds);
    let asked = |to: Observation| {
        move |logs: &mut Logs| {
            let (at, events) = first(logs, CLIENT, |event| matches!(event, Event::Asked { .. }));
            let Event::Asked { observation, .. } = &mut events[at] else { return };
            *observation = to;
        }
    };
    assert_eq!(broken_by(asked(Observation::Sent { servers: 1 })), Promise::SendReachesEveryServer);
    assert_eq!(broken_by(asked(refused())), Promise::SendReachesEveryServer);
    let answered = |logs: &mut Logs| {
        let (at, events) = first(logs, SERVER, |event| matches!(event, Event::Answered { .. }));
        let Event::Answered { observation, .. } = &mut events[at] else { return };
        *observation = refused();
    };
    assert_eq!(broken_by(answered), Promise::NoResponseIsLost);
    let receipt = |logs: &mut Logs| {
        let seen = Observation::Refused("ExceedsMaxBorrows".to_owned());
        logs.threads[SERVER].1.push(Event::GotRequest(seen));
    };
    assert_eq!(broken_by(receipt), Promise::BorrowLimit);
    let creation = |logs: &mut Logs| {
        logs.threads.truncate(1);
        logs.threads[CLIENT].1 = vec![Event::NotCreated("x".into())];
    };
    assert_eq!(broken_by(creation), Promise::CreateAndOpen);
}

#[test]
fn what_nobody_sent_is_received_by_nobody() {
    let unsent = |logs: &mut Logs| {
        let id = Concurrent::request(1, 99);
        let seen = received(&traffic(), id, Who::Client { port: 1, thread: 1 });
        logs.threads[SERVER].1.push(Event::GotRequest(seen));
    };
    assert_eq!(broken_by(unsent), Promise::RequestsArriveInOrder);
    // What somebody who is stuck may have sent has to be whole all the same.
    let damaged = |logs: &mut Logs| {
        logs.threads.remove(CLIENT);
        logs.stuck = 1;
        first_message(logs, SERVER - 1, |received| {
            received.mismatch = received.header.and_then(|id| payload::check(id, &[1]).err());
        });
    };
    assert_eq!(broken_by(damaged), Promise::RequestBytesArrive);
}

#[test]
fn who_does_not_come_back_hangs_unless_something_else_is_wrong() {
    let stuck = |logs: &mut Logs| {
        logs.threads.truncate(1);
        logs.stuck = 1;
    };
    assert!(matches!(verdict_on(stuck), Verdict::Stopped(HostError::Hung(_))));
    let unfinished = |logs: &mut Logs| {
        logs.threads.iter_mut().for_each(|(_, events)| events.clear());
    };
    assert!(matches!(verdict_on(unfinished), Verdict::Stopped(HostError::Harness(_))));
}
