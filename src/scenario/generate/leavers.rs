//! Phrases about those who go, what they leave behind, and who takes their place.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    super::{LoanForm, Nth, Step, Strategy as Allocation},
    phrases::{create_client, create_server},
    piles::{GROWS_BY, ROOM, answer, request},
    values::{allocation, index, length},
};

/// Several clients or servers come, send something each and go together, while the other side
/// holds what they sent and lets some of it go in any order.
pub(super) fn crowd_leaves() -> BoxedStrategy<Vec<Step>> {
    let dropped = || vec(index(), 0..4);
    let clients = (create_client(), 2..5_usize, index(), length(), any::<bool>(), dropped())
        .prop_map(|(create, crowd, server, len, looks, dropped)| {
            let mut steps = vec![create; crowd];
            steps.extend(newest(crowd).flat_map(|client| request(client, len)));
            steps.extend(vec![Step::ReceiveRequest { server }; crowd]);
            steps.extend(vec![Step::DropPending { pending: -1 }; crowd]);
            steps.extend(vec![Step::DropClient { client: -1 }; crowd]);
            steps.extend(looks.then_some(Step::UpdateServer { server }));
            steps.extend(dropped.into_iter().map(|active| Step::DropActive { active }));
            steps.push(Step::ReceiveRequest { server });
            steps
        });
    let servers = (create_server(), 2..5_usize, index(), length(), any::<bool>(), dropped())
        .prop_map(|(create, crowd, client, len, looks, dropped)| {
            let mut steps = vec![create; crowd];
            steps.extend(request(client, len));
            for server in newest(crowd) {
                steps.push(Step::ReceiveRequest { server });
                steps.extend(answer(-1, len));
            }
            steps.extend(vec![Step::ReceiveResponse { pending: -1 }; crowd]);
            steps.extend(vec![Step::DropActive { active: -1 }; crowd]);
            steps.extend(vec![Step::DropServer { server: -1 }; crowd]);
            steps.extend(looks.then_some(Step::UpdateClient { client }));
            steps.extend(dropped.into_iter().map(|response| Step::DropResponse { response }));
            steps.push(Step::ReceiveResponse { pending: -1 });
            steps
        });
    prop_oneof![clients, servers].boxed()
}

/// The newest of a kind, newest first.
fn newest(count: usize) -> impl Iterator<Item = Nth> {
    (1..).take(count).map(|nth: Nth| -nth)
}

/// Several servers answer several requests and go, one after the other; the client reads some of
/// it before and some of it after, now of one request, now of the other, holds on to it, and lets
/// some of it go when it has looked.
pub(super) fn estates() -> BoxedStrategy<Vec<Step>> {
    let server = || (allocation(), 0..ROOM, vec((0..2_i32, length()), 1..5));
    let reads = || vec((-2..0_i32, any::<bool>()), 0..5);
    let servers = vec((server(), reads(), reads(), let_go()), 1..4);
    (index(), servers)
        .prop_map(|(client, servers)| {
            let mut steps = Vec::new();
            for ((strategy, hint, _), ..) in &servers {
                steps.push(Step::create_server(0, *strategy, *hint, 2));
            }
            steps.extend(request(client, 1));
            steps.extend(request(client, 1));
            let read = |steps: &mut Vec<Step>, reads: &[(Nth, bool)]| {
                for (pending, is_dropped) in reads {
                    steps.push(Step::ReceiveResponse { pending: *pending });
                    steps.extend(is_dropped.then_some(Step::DropResponse { response: -1 }));
                }
            };
            let count = Nth::try_from(servers.len()).unwrap_or(1);
            for (nth, ((_, _, answers), before, after, (looks, let_go))) in (0..).zip(&servers) {
                // The oldest of those that are left.
                let server = nth - count;
                steps.extend([Step::ReceiveRequest { server }; 2]);
                for (active, len) in answers {
                    steps.extend(answer(active - 2, *len));
                }
                read(&mut steps, before);
                steps.extend([Step::DropActive { active: -1 }; 2]);
                steps.push(Step::DropServer { server });
                read(&mut steps, after);
                steps.extend(looks.then_some(Step::UpdateClient { client }));
                steps.extend(let_go.iter().map(|&response| Step::DropResponse { response }));
            }
            steps
        })
        .boxed()
}

/// Whether a port looks for its peers once one is gone, and what it lets go then.
fn let_go() -> impl Strategy<Value = (bool, Vec<Nth>)> + Clone {
    (any::<bool>(), vec(index(), 0..3))
}

/// The same of clients that ask and go, and a server that holds what they asked.
pub(super) fn estates_of_clients() -> BoxedStrategy<Vec<Step>> {
    let clients = vec((create_client(), 1..4_usize, 0..3_usize, 0..3_usize, let_go()), 1..4);
    (index(), length(), clients, any::<bool>())
        .prop_map(|(server, len, clients, knows_all)| {
            let mut steps: Vec<Step> = clients.iter().map(|(create, ..)| *create).collect();
            // What those send whom it knows may not be lost with them.
            steps.extend(knows_all.then_some(Step::UpdateServer { server }));
            let receive = Step::ReceiveRequest { server };
            for (_, asked, before, after, (looks, let_go)) in clients {
                steps.extend(request(-1, len).repeat(asked));
                steps.extend([receive].repeat(before));
                steps.extend([Step::DropPending { pending: -1 }].repeat(asked));
                let look = Step::InspectServer { server };
                steps.extend([Step::DropClient { client: -1 }, look]);
                steps.extend([receive].repeat(after));
                steps.push(look);
                steps.extend(looks.then_some(Step::UpdateServer { server }));
                steps.extend(let_go.into_iter().map(|active| Step::DropActive { active }));
            }
            steps.extend([receive].repeat(2));
            steps
        })
        .boxed()
}

/// A client that leaves without reading the answers to any of its requests, and the one that
/// takes its place.
pub(super) fn unread_by_leaver() -> BoxedStrategy<Vec<Step>> {
    (create_client(), index(), length(), 1..4_usize, 1..4_usize)
        .prop_map(|(create, server, len, requests, answers)| {
            let mut turn = request(-1, len).repeat(requests);
            turn.extend([Step::ReceiveRequest { server }].repeat(requests));
            for _ in 0..requests {
                turn.extend(answer(-1, len).repeat(answers));
                turn.push(Step::DropActive { active: -1 });
            }
            turn.extend([Step::DropPending { pending: -1 }].repeat(requests));
            turn.extend([Step::DropClient { client: -1 }, create]);
            turn
        })
        .boxed()
}

/// A server that has room for all its answers and is gone when some of them are read.
pub(super) fn bequest() -> BoxedStrategy<Vec<Step>> {
    let answers = (1..4_usize, 0..3_usize, any::<bool>());
    let asks = (any::<bool>(), any::<bool>());
    (index(), allocation(), index(), length(), answers, asks)
        .prop_map(|(participant, strategy, client, len, (answers, read, dropped), asks)| {
            let mut steps = vec![Step::create_server(participant, strategy, ROOM, 2)];
            steps.extend(request(client, len));
            steps.push(Step::ReceiveRequest { server: -1 });
            steps.extend(answer(-1, len % (ROOM + 1)).repeat(answers));
            let receive = Step::ReceiveResponse { pending: -1 };
            steps.extend([receive].repeat(read));
            let held = if dropped { read } else { 0 };
            steps.extend([Step::DropResponse { response: -1 }].repeat(held));
            steps.extend(answer(-1, ROOM).repeat(read));
            steps.extend([Step::DropActive { active: -1 }, Step::DropServer { server: -1 }]);
            steps.extend(asks.0.then_some(Step::UpdateClient { client }));
            steps.extend(asks.1.then_some(Step::InspectPending { pending: -1 }));
            steps.extend([receive].repeat(answers + 1));
            steps
        })
        .boxed()
}

/// As [`bequest`], of a server that has grown: what it loaned before and what it loaned after are
/// sent in any order.
pub(super) fn overtaken_bequest() -> BoxedStrategy<Vec<Step>> {
    let any_dynamic = select(vec![Allocation::BestFit, Allocation::PowerOfTwo]);
    let loans = vec(any::<bool>(), 2..5);
    let order = vec(prop_oneof![Just(0), Just(-1)], 5);
    (index(), index(), any_dynamic, loans, order, any::<bool>())
        .prop_map(|(participant, client, strategy, loans, order, has_read)| {
            let mut steps = vec![Step::create_server(participant, strategy, ROOM, 4)];
            steps.extend(request(client, 1));
            steps.push(Step::ReceiveRequest { server: -1 });
            if has_read {
                steps.extend(answer(-1, 1));
                steps.push(Step::ReceiveResponse { pending: -1 });
            }
            let form = LoanForm::WriteFromSlice;
            let times = loans.len();
            for is_long in loans {
                let len = if is_long { ROOM + GROWS_BY } else { ROOM };
                steps.push(Step::LoanResponse { active: -1, len, form });
            }
            let sent = order.into_iter().take(times);
            steps.extend(sent.map(|response| Step::SendResponse { response }));
            steps.extend([Step::DropActive { active: -1 }, Step::DropServer { server: -1 }]);
            steps.extend([Step::ReceiveResponse { pending: -1 }].repeat(times + 1));
            steps
        })
        .boxed()
}

/// A client goes while a server holds what it asked, and another one takes its place and asks as
/// much; what is left of the first is looked at, and let go.
pub(super) fn succession() -> BoxedStrategy<Vec<Step>> {
    let answers = (any::<bool>(), any::<bool>());
    (create_client(), index(), length(), 1..4_usize, 1..4_usize, answers)
        .prop_map(|(create, server, len, before, after, (loans, answers))| {
            let ask = |times: usize| request(-1, len).repeat(times);
            let receive = Step::ReceiveRequest { server };
            let oldest = Step::InspectActive { active: 0 };
            let form = LoanForm::WriteFromSlice;
            let mut steps = vec![create];
            steps.extend(ask(before));
            steps.extend([receive].repeat(before));
            steps.extend([Step::DropPending { pending: -1 }].repeat(before));
            steps.extend([Step::DropClient { client: -1 }, create]);
            steps.extend(ask(after));
            steps.extend([receive, oldest]);
            steps.extend(loans.then_some(Step::LoanResponse { active: 0, len, form }));
            steps.extend(answers.then_some(Step::SendResponse { response: -1 }));
            steps.push(Step::DropActive { active: 0 });
            steps.extend(newest(after).map(|pending| Step::InspectPending { pending }));
            steps.push(Step::ReceiveResponse { pending: -1 });
            steps
        })
        .boxed()
}

/// A client goes before its request is received while another one, perhaps in the place of the
/// first of all, waits for answers to as many requests, and a server answers all of them.
pub(super) fn answers_to_the_gone() -> BoxedStrategy<Vec<Step>> {
    (create_client(), create_client(), index(), length(), 1..3_usize, any::<bool>())
        .prop_map(|(stays, goes, server, len, requests, is_first)| {
            let ask = request(-1, len).repeat(requests);
            let mut leaving = vec![goes];
            leaving.extend(ask.clone());
            leaving.extend([Step::DropPending { pending: -1 }].repeat(requests));
            leaving.push(Step::DropClient { client: -1 });
            let mut steps = Vec::new();
            if is_first {
                steps.extend([Step::DropPending { pending: 0 }; 4]);
                steps.push(Step::DropClient { client: 0 });
            }
            steps.push(stays);
            let asking = if is_first { [ask, leaving].concat() } else { [leaving, ask].concat() };
            steps.extend(asking);
            for _ in 0..2 * requests {
                steps.push(Step::ReceiveRequest { server });
                steps.extend(answer(-1, len));
                steps.push(Step::InspectActive { active: -1 });
            }
            for pending in newest(requests) {
                steps.extend([Step::ReceiveResponse { pending }; 2]);
            }
            steps
        })
        .boxed()
}

/// Ports that come, send something and go, one after the other, while the other side holds
/// or does not read what they sent.
pub(super) fn short_lived_ports() -> BoxedStrategy<Vec<Step>> {
    let times = prop_oneof![3 => 2..6_usize, 1 => 20..30_usize];
    // Some of them longer than the others.
    let sent = || vec(prop_oneof![2 => Just(0), 1 => Just(GROWS_BY)], 1..5);
    let sent = (sent(), 0..4_usize, prop_oneof![2 => Just(Vec::new()), 1 => sent()]);
    let clients = (create_client(), index(), length(), sent, times).prop_map(
        |(create, server, len, (sent, taken, again), times)| {
            let receive = Step::ReceiveRequest { server };
            let forget = |count| [Step::DropPending { pending: -1 }].repeat(count);
            let ask = |longer: &[usize]| {
                longer.iter().flat_map(|more| request(-1, len + more)).collect::<Vec<_>>()
            };
            let mut turn = vec![create];
            turn.extend(ask(&sent));
            turn.extend([receive].repeat(taken));
            turn.extend(forget(sent.len()));
            turn.extend(ask(&again));
            turn.extend(forget(again.len()));
            turn.extend([Step::DropClient { client: -1 }, receive]);
            turn.push(Step::InspectServer { server });
            turn.extend([Step::DropActive { active: -1 }].repeat(taken));
            turn.repeat(times)
        },
    );
    let servers = (create_server(), index(), length(), any::<bool>(), 2..6_usize).prop_map(
        |(create, client, len, read, times)| {
            let mut turn = vec![create];
            turn.extend(request(client, len));
            turn.push(Step::ReceiveRequest { server: -1 });
            turn.extend(answer(-1, len));
            turn.extend(read.then_some(Step::ReceiveResponse { pending: -1 }));
            turn.extend([Step::DropActive { active: -1 }, Step::DropServer { server: -1 }]);
            turn.push(Step::ReceiveResponse { pending: 0 });
            turn.repeat(times)
        },
    );
    prop_oneof![clients, servers].boxed()
}
