//! Phrases in which something piles up: what is sent and forgotten, answered and not read,
//! held over, or outgrown.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    super::{LoanForm, Nth, Step, Strategy as Allocation},
    phrases::{create_client, create_server, response_loans},
    values::{allocation, hint, index, length},
};

/// Elements of a message that is sent a thousand times.
const LONGEST_OFTEN: usize = 1000;

/// Elements a server has room for that never grows.
pub(super) const ROOM: usize = 64;

/// Elements by which a port grows that does it often: more than a page of bytes.
pub(super) const GROWS_BY: usize = 5000;

pub(super) fn request(client: Nth, len: usize) -> [Step; 2] {
    let form = LoanForm::WriteFromSlice;
    [Step::LoanRequest { client, len, form }, Step::SendRequest { request: -1 }]
}

pub(super) fn answer(active: Nth, len: usize) -> [Step; 2] {
    let form = LoanForm::WriteFromSlice;
    [Step::LoanResponse { active, len, form }, Step::SendResponse { response: -1 }]
}

/// A client with a limit of active requests of its own.
pub(super) fn modest_client() -> impl Strategy<Value = Step> + Clone {
    (create_client(), 1..3_usize).prop_map(|(step, limit)| match step {
        Step::CreateClient { participant, strategy, hint, preallocate, .. } => {
            Step::CreateClient { participant, strategy, hint, preallocate, active: Some(limit) }
        }
        other => other,
    })
}

/// A server that cannot grow: what it has no more chunks for is refused.
pub(super) fn static_server() -> impl Strategy<Value = Step> + Clone {
    (index(), hint(), response_loans()).prop_map(|(participant, hint, loans)| {
        Step::create_server(participant, Allocation::Static, hint, loans)
    })
}

/// One part of a turn. Each does a little for an exchange and leaves the rest to others, or to
/// nobody: what is neglected piles up when the turn is repeated.
pub(super) fn neglected() -> BoxedStrategy<Vec<Step>> {
    let asked = (index(), length(), any::<bool>()).prop_map(|(client, len, forgotten)| {
        let mut steps = request(client, len).to_vec();
        steps.extend(forgotten.then_some(Step::DropPending { pending: -1 }));
        steps
    });
    let answered = (index(), length(), 1..5_usize)
        .prop_map(|(active, len, times)| answer(active, len).repeat(times));
    let fetched = (index(), 1..4_usize, any::<bool>()).prop_map(|(pending, times, held)| {
        let mut steps = vec![Step::ReceiveResponse { pending }; times];
        if !held {
            steps.extend(vec![Step::DropResponse { response: -1 }; times]);
        }
        steps
    });
    let one = |step: BoxedStrategy<Step>| step.prop_map(|step| vec![step]).boxed();
    let replaced = prop_oneof![
        (index(), create_client()).prop_map(|(client, create)| {
            let forget = [Step::DropPending { pending: 0 }; 4];
            forget.into_iter().chain([Step::DropClient { client }, create]).collect::<Vec<_>>()
        }),
        (index(), create_server()).prop_map(|(server, create)| {
            let forget = [Step::DropActive { active: 0 }; 4];
            forget.into_iter().chain([Step::DropServer { server }, create]).collect::<Vec<_>>()
        }),
    ];
    prop_oneof![
        6 => asked,
        5 => one(index().prop_map(|server| Step::ReceiveRequest { server }).boxed()),
        5 => answered,
        2 => fetched,
        3 => one(index().prop_map(|active| Step::DropActive { active }).boxed()),
        3 => one(index().prop_map(|pending| Step::DropPending { pending }).boxed()),
        1 => one(index().prop_map(|response| Step::DropResponse { response }).boxed()),
        1 => replaced,
    ]
    .boxed()
}

/// Requests nobody waits for any more, or that no server has any more, of which a server takes
/// some; others that are waited for, and as many loans as there may be. Their client may be a new
/// one with a limit of active requests of its own.
pub(super) fn forgotten_requests() -> BoxedStrategy<Vec<Step>> {
    let is = prop::bool::weighted;
    let turns = vec((any::<bool>(), is(0.3), is(0.8)), 2..9);
    let client = prop_oneof![
        2 => index().prop_map(|client| (None, client)),
        1 => modest_client().prop_map(|create| (Some(create), -1)),
    ];
    (client, index(), length(), turns, 0..5_usize)
        .prop_map(|((create, client), server, len, mut turns, waiting)| {
            let mut steps = Vec::from_iter(create);
            if !steps.is_empty() {
                steps.push(Step::InspectService { participant: 0 });
            }
            // Those that several wait for find all active requests there may be, and full buffers.
            let servers = if waiting > 1 { 4 } else { 1 };
            if waiting > 1 {
                turns.retain(|&(_, ended, _)| ended);
                turns.extend([(true, false, true); 4]);
                turns.extend([(false, false, true); 4]);
            }
            for (taken, ended, forgotten) in turns {
                steps.extend(request(client, len));
                steps.extend(forgotten.then_some(Step::DropPending { pending: -1 }));
                for server in (server..).take(servers).filter(|_| taken) {
                    steps.push(Step::ReceiveRequest { server });
                }
                steps.extend(ended.then_some(Step::DropActive { active: -1 }));
            }
            steps.extend(request(client, len).repeat(waiting));
            let form = LoanForm::WriteFromSlice;
            steps.extend([Step::LoanRequest { client, len, form }; 4]);
            steps.extend([Step::DropRequest { request: -1 }; 4]);
            steps
        })
        .boxed()
}

/// Answers that are never read: the pending response is dropped first, or they come too late.
pub(super) fn unread_answer() -> BoxedStrategy<Vec<Step>> {
    (index(), index(), length(), any::<bool>(), 1..5_usize)
        .prop_map(|(client, server, len, too_late, answers)| {
            let forget = Step::DropPending { pending: -1 };
            let mut turn = request(client, len).to_vec();
            turn.push(Step::ReceiveRequest { server });
            turn.extend(too_late.then_some(forget));
            turn.extend(answer(-1, len).repeat(answers));
            turn.extend((!too_late).then_some(forget));
            turn.push(Step::DropActive { active: -1 });
            turn
        })
        .boxed()
}

/// Answers to a request nobody waits for any more, sent when a later one may have its channel, and
/// those to that one.
pub(super) fn late_answers() -> BoxedStrategy<Vec<Step>> {
    let form = LoanForm::WriteFromSlice;
    (index(), index(), length(), (0..3_usize, 1..3_usize, any::<bool>(), 0..6_usize, 0..5_usize))
        .prop_map(move |(client, server, len, (early, late, at_once, between, answers))| {
            let receive = Step::ReceiveRequest { server };
            let mut steps = request(client, len).to_vec();
            steps.push(receive);
            steps.extend(answer(-1, len).repeat(early));
            steps.extend([Step::LoanResponse { active: -1, len, form }].repeat(late));
            steps.push(Step::DropPending { pending: -1 });
            steps.extend(at_once.then_some(Step::SendResponse { response: -1 }));
            // Channels take turns.
            let unsent =
                [Step::LoanRequest { client, len, form }, Step::DropRequest { request: -1 }];
            steps.extend(unsent.repeat(between));
            steps.extend(request(client, len));
            steps.push(receive);
            steps.extend(answer(-1, len).repeat(answers));
            steps.extend([Step::SendResponse { response: 0 }].repeat(late));
            steps.extend([Step::ReceiveResponse { pending: -1 }].repeat(answers));
            steps
        })
        .boxed()
}

/// Short messages are loaned, a long one after them, and only then are all sent: by a client,
/// and by a server in answer to one of them.
pub(super) fn overtaken_loans() -> BoxedStrategy<Vec<Step>> {
    (index(), index(), length(), 1..4_usize, 1..4_usize)
        .prop_map(|(client, server, short, requests, answers)| {
            let form = LoanForm::WriteFromSlice;
            let long = short + GROWS_BY;
            let loan = |len| Step::LoanRequest { client, len, form };
            let mut steps = vec![loan(short); requests];
            steps.push(loan(long));
            steps.extend(vec![Step::SendRequest { request: 0 }; requests + 1]);
            steps.extend(vec![Step::ReceiveRequest { server }; requests + 1]);
            let loan = |len| Step::LoanResponse { active: -1, len, form };
            steps.extend(vec![loan(short); answers]);
            steps.push(loan(long));
            steps.extend(vec![Step::SendResponse { response: 0 }; answers + 1]);
            steps.extend(vec![Step::ReceiveResponse { pending: -1 }; answers + 1]);
            steps.extend(vec![Step::DropResponse { response: 0 }; answers]);
            steps.extend(vec![Step::DropActive { active: 0 }; requests]);
            steps.extend(vec![Step::DropPending { pending: 0 }; requests]);
            steps
        })
        .boxed()
}

/// Ports with few chunks, of which peers take all there are and go without reading: when the
/// port has looked who is there, all of them are to be had again.
pub(super) fn few_chunks_left() -> BoxedStrategy<Vec<Step>> {
    let chunks = (1..5_usize, 1..4_usize, any::<bool>());
    (index(), allocation(), length(), create_client(), create_server(), chunks)
        .prop_map(|(participant, strategy, len, client, server, (chunks, times, of_server))| {
            let (len, form) = (len.min(ROOM), LoanForm::WriteFromSlice);
            let mut steps = Vec::new();
            if of_server {
                let mut few = Step::create_server(participant, strategy, ROOM, 4);
                if let Step::CreateServer { preallocate, .. } = &mut few {
                    *preallocate = Some(chunks);
                }
                steps.push(few);
                let mut turn = vec![client];
                turn.extend(request(-1, len));
                turn.push(Step::ReceiveRequest { server: -1 });
                turn.extend(answer(-1, len).repeat(chunks));
                turn.extend([Step::DropActive { active: -1 }, Step::DropPending { pending: -1 }]);
                turn.extend([Step::DropClient { client: -1 }, Step::UpdateServer { server: -1 }]);
                steps.extend(turn.repeat(times));
                steps.push(client);
                steps.extend(request(-1, len));
                steps.push(Step::ReceiveRequest { server: -1 });
                steps.extend(vec![Step::LoanResponse { active: -1, len, form }; chunks]);
            } else {
                let mut few = Step::create_client(participant, strategy, ROOM);
                if let Step::CreateClient { preallocate, .. } = &mut few {
                    *preallocate = Some(chunks);
                }
                steps.push(few);
                let mut turn = vec![server];
                for _ in 0..chunks {
                    turn.extend(request(-1, len));
                    turn.push(Step::DropPending { pending: -1 });
                }
                turn.extend([Step::DropServer { server: -1 }, Step::UpdateClient { client: -1 }]);
                steps.extend(turn.repeat(times));
                steps.extend(vec![Step::LoanRequest { client: -1, len, form }; chunks]);
            }
            steps
        })
        .boxed()
}

/// The same again and again.
pub(super) fn unread_answers() -> BoxedStrategy<Vec<Step>> {
    (unread_answer(), 2..13_usize).prop_map(|(turn, times)| turn.repeat(times)).boxed()
}

/// A response is held on to while the next request, and its responses, take the place of
/// the one it answered.
pub(super) fn held_over() -> BoxedStrategy<Vec<Step>> {
    (index(), index(), length(), 1..4_usize)
        .prop_map(|(client, server, len, answers)| {
            let exchange = |steps: &mut Vec<Step>| {
                steps.extend(request(client, len));
                steps.push(Step::ReceiveRequest { server });
                (0..answers).for_each(|_| steps.extend(answer(-1, len)));
                steps.extend(vec![Step::ReceiveResponse { pending: -1 }; answers]);
            };
            let mut steps = Vec::new();
            exchange(&mut steps);
            steps.extend([Step::DropPending { pending: -1 }, Step::DropActive { active: -1 }]);
            exchange(&mut steps);
            steps
        })
        .boxed()
}

/// What is left of an early exchange, and the turns that it outlives: again and again there is
/// a new exchange through the same channel, and the old active request may answer as well.
pub(super) fn outlasting() -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> + Clone {
    // Long ones, so often, would take longer than any scenario may.
    let len = || length().prop_map(|len| len.min(LONGEST_OFTEN));
    let old = (len(), any::<bool>(), any::<bool>());
    let new = (len(), 0..3_usize, any::<bool>(), any::<bool>());
    (old, new).prop_map(|((len, forgotten, read), (new_len, answers, speaks, first))| {
        let receive = Step::ReceiveRequest { server: 0 };
        let mut opening = request(0, len).to_vec();
        opening.push(receive);
        if read {
            opening.extend(answer(0, len));
            opening.push(Step::ReceiveResponse { pending: 0 });
        }
        opening.extend(forgotten.then_some(Step::DropPending { pending: 0 }));
        let mut turn = request(0, new_len).to_vec();
        let spoken = if speaks { answer(0, len).to_vec() } else { Vec::new() };
        turn.extend(first.then_some(&spoken).into_iter().flatten());
        turn.push(receive);
        turn.extend(answer(-1, new_len).repeat(answers));
        turn.extend((!first).then_some(&spoken).into_iter().flatten());
        turn.push(Step::InspectPending { pending: -1 });
        turn.push(Step::InspectActive { active: 0 });
        turn.extend(
            [Step::ReceiveResponse { pending: -1 }, Step::DropResponse { response: -1 }]
                .repeat(answers.max(1)),
        );
        turn.extend([Step::DropActive { active: -1 }, Step::DropPending { pending: -1 }]);
        (opening, turn)
    })
}

/// Somebody's new port grows, now and then until the names of its segments have three digits, and
/// is killed.
pub(super) fn killed_full_grown() -> BoxedStrategy<Vec<Step>> {
    let any_dynamic = select(vec![Allocation::BestFit, Allocation::PowerOfTwo]);
    let grown = prop_oneof![
        2 => (any_dynamic, 1..24_usize),
        1 => (Just(Allocation::BestFit), 100..120_usize),
    ];
    (any::<bool>(), (index(), index()), length(), grown)
        .prop_map(|(of_client, (participant, by), len, (strategy, times))| {
            // There may be as many ports as there can be.
            let mut steps = if of_client {
                let create = Step::create_client(participant, strategy, 0);
                vec![Step::DropClient { client: -1 }, create]
            } else {
                let create = Step::create_server(participant, strategy, 0, 1);
                let mut steps = vec![Step::DropServer { server: -1 }, create];
                steps.extend(request(0, 1));
                steps.push(Step::ReceiveRequest { server: -1 });
                steps
            };
            steps.extend(growths(of_client, -1, GROWS_BY + len, times));
            steps.push(Step::Kill { participant, by });
            steps
        })
        .boxed()
}

/// A port that grows again and again.
pub(super) fn much_growth() -> BoxedStrategy<Vec<Step>> {
    (any::<bool>(), index(), length(), 1..24_usize)
        .prop_map(|(of_client, port, len, times)| growths(of_client, port, len, times).collect())
        .boxed()
}

/// Loans of a client or for an active request, each longer than the one before, and dropped.
fn growths(of_client: bool, of: Nth, len: usize, times: usize) -> impl Iterator<Item = Step> {
    let form = LoanForm::WriteFromSlice;
    (0..times).flat_map(move |n| {
        let len = len + n * GROWS_BY;
        if of_client {
            [Step::LoanRequest { client: of, len, form }, Step::DropRequest { request: -1 }]
        } else {
            let loan = Step::LoanResponse { active: of, len, form };
            [loan, Step::DropLoanedResponse { response: -1 }]
        }
    })
}
