//! Phrases: short runs of steps that belong together.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    super::{LoanForm, MOST_RESPONSE_LOANS, Moment, OpenMode, PayloadType, Requirement, Step},
    piles::{much_growth, request},
    values::{alignment, allocation, any_length, form, hint, index, length, preallocated, reduced},
};

pub(super) fn join() -> Step {
    Step::Join { how: OpenMode::OpenOrCreate, require: None }
}

/// Somebody opens a service nobody has created.
pub(super) fn missing() -> impl Strategy<Value = Step> + Clone {
    Just(Step::Join { how: OpenMode::Open, require: None })
}

pub(super) fn create_client() -> BoxedStrategy<Step> {
    (index(), allocation(), hint(), preallocated(), reduced())
        .prop_map(|(participant, strategy, hint, preallocate, active)| Step::CreateClient {
            participant,
            strategy,
            hint,
            preallocate,
            active,
        })
        .boxed()
}

pub(super) fn create_server() -> BoxedStrategy<Step> {
    (index(), allocation(), hint(), response_loans(), preallocated())
        .prop_map(|(participant, strategy, hint, loans, preallocate)| Step::CreateServer {
            participant,
            strategy,
            hint,
            loans,
            preallocate,
        })
        .boxed()
}

/// Responses a server may have loaned per request: 1 to 3, and one time in fifteen more than
/// iceoryx2's default and than any buffer has room for.
pub(super) fn response_loans() -> BoxedStrategy<usize> {
    const TIMES: usize = 15;
    (0..3 * TIMES)
        .prop_map(|n| match (n / TIMES, n % TIMES) {
            (less, 7) => MOST_RESPONSE_LOANS - less,
            (more, _) => 1 + more,
        })
        .boxed()
}

pub(super) fn loan_request() -> impl Strategy<Value = Step> + Clone {
    (index(), any_length(), form()).prop_map(|(client, len, form)| Step::LoanRequest {
        client,
        len,
        form,
    })
}

fn loan_response() -> impl Strategy<Value = Step> + Clone {
    (index(), any_length(), form()).prop_map(|(active, len, form)| Step::LoanResponse {
        active,
        len,
        form,
    })
}

/// Messages move.
pub(super) fn traffic() -> BoxedStrategy<Vec<Step>> {
    let one = |step: BoxedStrategy<Step>| step.prop_map(|step| vec![step]).boxed();
    let request = (loan_request(), index())
        .prop_map(|(loan, request)| vec![loan, Step::SendRequest { request }]);
    let answer = (index(), loan_response(), index()).prop_map(|(server, loan, response)| {
        vec![Step::ReceiveRequest { server }, loan, Step::SendResponse { response }]
    });
    let responses = (loan_response(), index(), 1..4_usize)
        .prop_map(|(loan, response, times)| [loan, Step::SendResponse { response }].repeat(times));
    let fetch = (index(), 1..4_usize)
        .prop_map(|(pending, times)| vec![Step::ReceiveResponse { pending }; times]);
    prop_oneof![
        5 => request,
        5 => answer,
        3 => responses,
        5 => fetch,
        2 => one(loan_request().boxed()),
        2 => one(index().prop_map(|request| Step::SendRequest { request }).boxed()),
        3 => one(index().prop_map(|server| Step::ReceiveRequest { server }).boxed()),
        2 => one(loan_response().boxed()),
        2 => one(index().prop_map(|response| Step::SendResponse { response }).boxed()),
    ]
    .boxed()
}

/// What is held is let go, in any order.
pub(super) fn release() -> BoxedStrategy<Vec<Step>> {
    let step = prop_oneof![
        3 => index().prop_map(|pending| Step::DropPending { pending }),
        3 => index().prop_map(|active| Step::DropActive { active }),
        3 => index().prop_map(|response| Step::DropResponse { response }),
        1 => index().prop_map(|request| Step::DropRequest { request }),
        1 => index().prop_map(|response| Step::DropLoanedResponse { response }),
        1 => index().prop_map(|pending| Step::HintDisconnect { pending }),
    ];
    step.prop_map(|step| vec![step]).boxed()
}

/// State is asked for.
pub(super) fn inspect() -> BoxedStrategy<Vec<Step>> {
    let step = prop_oneof![
        3 => index().prop_map(|pending| Step::InspectPending { pending }),
        3 => index().prop_map(|active| Step::InspectActive { active }),
        2 => index().prop_map(|server| Step::InspectServer { server }),
        1 => index().prop_map(|participant| Step::InspectService { participant }),
        1 => index().prop_map(|client| Step::UpdateClient { client }),
        1 => index().prop_map(|server| Step::UpdateServer { server }),
    ];
    let hint = (index(), index()).prop_map(|(pending, active)| {
        vec![Step::HintDisconnect { pending }, Step::InspectActive { active }]
    });
    prop_oneof![9 => step.prop_map(|step| vec![step]), 1 => hint].boxed()
}

/// Somebody asks, what was asked about changes, and they ask again: an answer that is
/// late shows in nothing else.
pub(super) fn watching() -> BoxedStrategy<Vec<Step>> {
    let asked_twice = |ask: Step, change: Vec<Step>| -> Vec<Step> {
        [ask].into_iter().chain(change).chain([ask]).collect()
    };
    let pair = || (index(), index());
    prop_oneof![
        2 => pair().prop_map(move |(active, pending)| {
            asked_twice(Step::InspectActive { active }, vec![Step::DropPending { pending }])
        }),
        2 => (index(), index(), any::<bool>()).prop_map(move |(active, pending, leaves)| {
            let hint = [Step::HintDisconnect { pending }];
            let change = hint.into_iter().chain(leaves.then_some(Step::DropPending { pending }));
            asked_twice(Step::InspectActive { active }, change.collect())
        }),
        2 => pair().prop_map(move |(pending, active)| {
            asked_twice(Step::InspectPending { pending }, vec![Step::DropActive { active }])
        }),
        1 => (index(), loan_response()).prop_map(move |(pending, loan)| {
            let answer = vec![loan, Step::SendResponse { response: -1 }];
            asked_twice(Step::InspectPending { pending }, answer)
        }),
        2 => (loan_request(), index(), length()).prop_map(move |(loan, server, len)| {
            let form = LoanForm::default();
            let sent = vec![
                loan,
                Step::SendRequest { request: -1 },
                Step::ReceiveRequest { server },
            ];
            let answer = vec![
                Step::LoanResponse { active: -1, len, form },
                Step::SendResponse { response: -1 },
            ];
            sent.into_iter()
                .chain(asked_twice(Step::InspectPending { pending: -1 }, answer))
                .collect()
        }),
        1 => (loan_request(), 1..4_usize).prop_map(move |(loan, servers)| {
            let ask = Step::InspectPending { pending: -1 };
            let received = (0..).take(servers).map(|server| Step::ReceiveRequest { server });
            let answered = [Step::DropActive { active: -1 }, ask].repeat(servers);
            let sent = [loan, Step::SendRequest { request: -1 }];
            sent.into_iter().chain(received).chain([ask]).chain(answered).collect()
        }),
        2 => (index(), loan_request(), any::<bool>()).prop_map(move |(server, loan, leaves)| {
            let hint = [Step::HintDisconnect { pending: -1 }];
            let change = hint.into_iter().chain(leaves.then_some(Step::DropPending { pending: -1 }));
            let sent =
                [loan, Step::SendRequest { request: -1 }, Step::ReceiveRequest { server }];
            let asked = asked_twice(Step::InspectActive { active: -1 }, change.collect());
            sent.into_iter().chain(asked).collect()
        }),
        1 => (index(), loan_request()).prop_map(move |(server, loan)| {
            let request = vec![loan, Step::SendRequest { request: -1 }];
            asked_twice(Step::InspectServer { server }, request)
        }),
        // Of a newcomer, which no server has looked for yet.
        1 => (index(), create_client(), length()).prop_map(move |(server, newcomer, len)| {
            let asked = request(-1, len).into_iter().chain([Step::InspectServer { server }]);
            [newcomer].into_iter().chain(asked).collect()
        }),
    ]
    .boxed()
}

/// Ports and participants come and go.
pub(super) fn coming_and_going() -> BoxedStrategy<Vec<Step>> {
    prop_oneof![
        4 => create_client().prop_map(|step| vec![step]),
        4 => create_server().prop_map(|step| vec![step]),
        3 => index().prop_map(|client| vec![Step::DropClient { client }]),
        3 => index().prop_map(|server| vec![Step::DropServer { server }]),
        2 => (index(), create_client())
            .prop_map(|(client, create)| vec![Step::DropClient { client }, create]),
        2 => (index(), create_server())
            .prop_map(|(server, create)| vec![Step::DropServer { server }, create]),
        1 => index().prop_map(|participant| vec![Step::Leave { participant }]),
        1 => Just(vec![join()]),
    ]
    .boxed()
}

/// Somebody with a port or two may take the place of who was killed.
fn successor() -> impl Strategy<Value = Vec<Step>> + Clone {
    let ports = (prop::option::of(create_client()), prop::option::of(create_server()));
    let next = ports.prop_map(|(client, server)| {
        [join()].into_iter().chain(client).chain(server).collect::<Vec<_>>()
    });
    prop::option::of(next).prop_map(Option::unwrap_or_default)
}

/// Somebody is killed; another one may take their place.
pub(super) fn killing() -> BoxedStrategy<Vec<Step>> {
    (index(), index(), successor(), index(), index())
        .prop_map(|(participant, by, next, ask, one)| {
            let asks = [
                Step::InspectService { participant: ask },
                Step::InspectPending { pending: one },
                Step::InspectActive { active: one },
            ];
            let mut steps = vec![Step::Kill { participant, by }];
            steps.extend(asks);
            steps.extend(next);
            steps
        })
        .boxed()
}

/// Somebody is killed, or some are, and the others get on for a while before one of them cleans up.
pub(super) fn mourning() -> BoxedStrategy<Vec<Step>> {
    let meanwhile = prop_oneof![
        3 => traffic(),
        2 => conversation(),
        1 => release(),
        1 => watching(),
        1 => much_growth(),
        1 => create_client().prop_map(|client| vec![client]),
        1 => create_server().prop_map(|server| vec![server]),
    ];
    let die = index().prop_map(|participant| Step::Die { participant });
    // One more now and then: whoever cleans up has to find all of them.
    let further = prop::option::weighted(0.2, die.clone());
    (die, vec((meanwhile, further), 1..5), index(), successor())
        .prop_map(|(first, meanwhile, by, next)| {
            let mut steps = vec![first];
            for (others, death) in meanwhile {
                steps.extend(others);
                steps.extend(death);
            }
            steps.push(Step::CleanUp { by });
            steps.extend(next);
            steps
        })
        .boxed()
}

/// What is done between calls of the system.
fn in_between() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![
        2 => loan_request(),
        2 => loan_response(),
        3 => index().prop_map(|request| Step::SendRequest { request }),
        3 => index().prop_map(|response| Step::SendResponse { response }),
        3 => index().prop_map(|server| Step::ReceiveRequest { server }),
        3 => index().prop_map(|pending| Step::ReceiveResponse { pending }),
        1 => index().prop_map(|pending| Step::DropPending { pending }),
        1 => index().prop_map(|active| Step::DropActive { active }),
        1 => index().prop_map(|response| Step::DropResponse { response }),
        1 => index().prop_map(|client| Step::UpdateClient { client }),
        1 => index().prop_map(|server| Step::UpdateServer { server }),
    ]
}

/// Somebody is killed amid what they do: while they come, go, make a port or grow, at a call;
/// while they send or receive, in between as well.
pub(super) fn dying() -> BoxedStrategy<Vec<Step>> {
    let nth_call = prop_oneof![
        4 => (0..30_u32).prop_map(Moment::Change),
        1 => (0..60_u32).prop_map(Moment::Call),
    ];
    let moment = prop_oneof![
        1 => (0..12_u32).prop_map(Moment::Call),
        3 => (0..6_000_u32).prop_map(Moment::Instruction),
    ];
    let in_calls = prop_oneof![
        3 => create_client(),
        3 => create_server(),
        4 => Just(join()),
        4 => index().prop_map(|participant| Step::Leave { participant }),
        2 => index().prop_map(|client| Step::DropClient { client }),
        2 => index().prop_map(|server| Step::DropServer { server }),
    ];
    let clean_up = (index(), index()).prop_map(|(participant, by)| Step::Kill { participant, by });
    let nth_of_clean_up = prop_oneof![
        4 => (0..30_u32).prop_map(Moment::Change),
        1 => (0..130_u32).prop_map(Moment::Call),
    ];
    let amid_clean_up = (nth_of_clean_up, clean_up);
    let last =
        prop_oneof![5 => (nth_call, in_calls), 5 => (moment, in_between()), 3 => amid_clean_up];
    (last, index(), successor(), index(), index(), any::<bool>())
        .prop_map(|((at, step), by, next, ask, one, contested)| {
            let contested = contested && matches!(step, Step::Kill { .. });
            let asks = [
                Step::InspectService { participant: ask },
                Step::InspectPending { pending: one },
                Step::InspectActive { active: one },
            ];
            [&[Step::KillAmid { at, by, contested }, step], &asks[..], &next].concat()
        })
        .boxed()
}

fn requirement() -> impl Strategy<Value = Requirement> + Clone {
    use Requirement as R;
    let payload = select(vec![PayloadType::U8, PayloadType::SliceOfI16, PayloadType::SliceOfPairs]);
    prop_oneof![
        (0..6_usize).prop_map(R::MaxClients),
        (0..6_usize).prop_map(R::MaxServers),
        (0..6_usize).prop_map(R::MaxNodes),
        (0..6_usize).prop_map(R::MaxActiveRequestsPerClient),
        (0..6_usize).prop_map(R::MaxLoanedRequests),
        (0..6_usize).prop_map(R::MaxResponseBufferSize),
        (0..6_usize).prop_map(R::MaxBorrowedResponsesPerPendingResponse),
        any::<bool>().prop_map(R::EnableSafeOverflowForRequests),
        any::<bool>().prop_map(R::EnableSafeOverflowForResponses),
        any::<bool>().prop_map(R::EnableFireAndForgetRequests),
        alignment().prop_map(R::RequestPayloadAlignment),
        alignment().prop_map(R::ResponsePayloadAlignment),
        payload.clone().prop_map(R::RequestPayload),
        payload.prop_map(R::ResponsePayload),
    ]
}

/// Somebody opens the service, with or without a requirement.
pub(super) fn opening() -> BoxedStrategy<Vec<Step>> {
    let how = prop_oneof![
        2 => Just(OpenMode::OpenOrCreate),
        2 => Just(OpenMode::Open),
        1 => Just(OpenMode::Create),
    ];
    (how, prop::option::of(requirement()))
        .prop_map(|(how, require)| vec![Step::Join { how, require }])
        .boxed()
}

/// A port may be dropped while everything it gave out lives on.
pub(super) fn port_drops_under_held_data() -> BoxedStrategy<Vec<Step>> {
    prop_oneof![
        4 => Just(Vec::new()),
        1 => Just(vec![Step::DropClient { client: 0 }]),
        1 => Just(vec![Step::DropServer { server: 0 }]),
    ]
    .boxed()
}

/// A port leaves and another one takes its place.
pub(super) fn reconnection() -> BoxedStrategy<Vec<Step>> {
    prop_oneof![
        create_client().prop_map(|create| vec![Step::DropClient { client: 0 }, create]),
        create_server().prop_map(|create| vec![Step::DropServer { server: 0 }, create]),
    ]
    .boxed()
}

/// One request with its responses, from loan to drop; `thorough` ones leave nothing.
fn exchange(thorough: bool) -> impl Strategy<Value = Vec<Step>> + Clone {
    let kept = move |chance| if thorough { Just(true).boxed() } else { any_with(chance).boxed() };
    (
        (index(), index(), loan_request()),
        vec(loan_response(), 0..3),
        0..3_usize,
        (kept(0.6), kept(0.6), kept(0.6)),
        any::<bool>(),
    )
        .prop_map(|((client, server, loan), answers, fetched, drops, pending_first)| {
            let loan = match loan {
                Step::LoanRequest { len, form, .. } => Step::LoanRequest { client, len, form },
                other => other,
            };
            let mut steps =
                vec![loan, Step::SendRequest { request: -1 }, Step::ReceiveRequest { server }];
            for answer in &answers {
                if let Step::LoanResponse { len, form, .. } = *answer {
                    steps.push(Step::LoanResponse { active: -1, len, form });
                    steps.push(Step::SendResponse { response: -1 });
                }
            }
            steps.extend((0..fetched).map(|_| Step::ReceiveResponse { pending: -1 }));
            if drops.0 {
                steps.extend((0..fetched).map(|_| Step::DropResponse { response: -1 }));
            }
            let active = drops.1.then_some(Step::DropActive { active: -1 });
            let pending = drops.2.then_some(Step::DropPending { pending: -1 });
            if pending_first {
                steps.extend(pending.into_iter().chain(active));
            } else {
                steps.extend(active.into_iter().chain(pending));
            }
            steps
        })
}

fn any_with(chance: f64) -> impl Strategy<Value = bool> + Clone {
    proptest::bool::weighted(chance)
}

/// One request with its responses, some of which are held on to.
pub(super) fn conversation() -> BoxedStrategy<Vec<Step>> {
    exchange(false).boxed()
}

/// Several exchanges that leave nothing behind: slots, channels and chunks are used
/// again while older ones may be held.
pub(super) fn recycling() -> BoxedStrategy<Vec<Step>> {
    (exchange(true), 1..9_usize).prop_map(|(exchange, times)| exchange.repeat(times)).boxed()
}

/// A port goes away with everything that came out of it; another one may follow. Or a
/// server answers and is gone before the answer is read.
pub(super) fn vanishing() -> BoxedStrategy<Vec<Step>> {
    let client = [
        Step::DropRequest { request: 0 },
        Step::DropPending { pending: 0 },
        Step::DropResponse { response: 0 },
    ];
    let server = [Step::DropLoanedResponse { response: 0 }, Step::DropActive { active: 0 }];
    prop_oneof![
        (index(), prop::option::of(create_client())).prop_map(move |(port, next)| {
            let drop = Step::DropClient { client: port };
            client.repeat(4).into_iter().chain([drop]).chain(next).collect()
        }),
        (index(), prop::option::of(create_server())).prop_map(move |(port, next)| {
            let drop = Step::DropServer { server: port };
            server.repeat(4).into_iter().chain([drop]).chain(next).collect()
        }),
        (loan_request(), loan_response(), any::<bool>(), index()).prop_map(
            |(request, response, altogether, server)| {
                let response = match response {
                    Step::LoanResponse { len, form, .. } => {
                        Step::LoanResponse { active: -1, len, form }
                    }
                    other => other,
                };
                let asked = [request, Step::SendRequest { request: -1 }];
                let answered = [
                    Step::ReceiveRequest { server },
                    response,
                    Step::SendResponse { response: -1 },
                ];
                let active = altogether.then_some(Step::DropActive { active: -1 });
                let parting = [Step::DropServer { server }, Step::ReceiveResponse { pending: -1 }];
                asked.into_iter().chain(answered).chain(active).chain(parting).collect()
            },
        ),
    ]
    .boxed()
}

/// A response outlives the active request it was loaned from.
pub(super) fn orphaning() -> BoxedStrategy<Vec<Step>> {
    (index(), loan_response())
        .prop_map(|(active, loan)| match loan {
            Step::LoanResponse { len, form, .. } => {
                vec![Step::LoanResponse { active, len, form }, Step::DropActive { active }]
            }
            other => vec![other],
        })
        .boxed()
}
