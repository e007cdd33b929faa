//! proptest strategies that generate scenarios.
//!
//! Each [`Family`] looks for another kind of trouble. Lengths are biased to
//! boundaries: 0, 1, the hint and its neighbours, powers of two and their
//! neighbours, page edges, repeats, and the far end of `usize`.

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    strategy::{Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde::{Deserialize, Serialize};

use super::{
    Backpressure, LoanForm, OpenMode, PayloadType, Repeat, Requirement, SCHEMA, Scenario, Settings,
    SettingsVia, SettleOrder, Step, Strategy as Allocation,
};
use crate::model::{GROWTHS, SHORTEST_IMPOSSIBLE};

/// What a generated scenario is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// One client, one server, sizes that grow and shrink while data is held.
    Growth,
    /// Several ports, any interleaving of traffic and drops.
    Interleaving,
    /// Ports and participants that come and go while data is held.
    Churn,
    /// Nodes, ports and requirements around the limits.
    Limits,
    /// One random turn of traffic, repeated more often than a port can grow: whatever a
    /// turn leaks adds up until a loan fails.
    Turnover,
    /// Strictly growing lengths up to and past the last possible growth.
    ManyGrowths,
}

impl Family {
    /// All families, in the order they take turns.
    pub const ALL: [Self; 6] = [
        Self::Growth,
        Self::Interleaving,
        Self::Churn,
        Self::Limits,
        Self::Turnover,
        Self::ManyGrowths,
    ];

    /// The family of the `index`-th scenario of a run. Turnovers and many
    /// growths take a hundred times as long as the others and have their turn accordingly
    /// seldom.
    #[must_use]
    pub fn of_turn(index: u64) -> Self {
        if index % 64 == 7 {
            return Self::ManyGrowths;
        }
        if index % 32 == 15 {
            return Self::Turnover;
        }
        match index % 8 {
            0 | 4 => Self::Growth,
            1 | 3 | 6 => Self::Interleaving,
            2 | 7 => Self::Churn,
            _ => Self::Limits,
        }
    }

    /// The scenarios of this family.
    pub fn scenarios(self) -> BoxedStrategy<Scenario> {
        match self {
            Self::Growth => growth().boxed(),
            Self::Interleaving => interleaving().boxed(),
            Self::Churn => churn().boxed(),
            Self::Limits => limits().boxed(),
            Self::Turnover => turnover().boxed(),
            Self::ManyGrowths => many_growths().boxed(),
        }
    }
}

/// The `index`-th scenario of the run with this seed: the same on every machine.
#[must_use]
pub fn scenario_of_run(seed: u64, index: u64) -> Scenario {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&index.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let family = Family::of_turn(index);
    // No strategy here filters, so none can run out of tries.
    let tree = family.scenarios().new_tree(&mut runner);
    let mut scenario = tree.map_or_else(|_| Scenario::of_steps(Vec::new()), |tree| tree.current());
    scenario.title = format!("{family:?}, seed {seed}, scenario {index}");
    scenario
}

/// Any strategy.
pub fn allocation() -> impl Strategy<Value = Allocation> + Clone {
    prop_oneof![
        1 => Just(Allocation::Static),
        2 => Just(Allocation::BestFit),
        2 => Just(Allocation::PowerOfTwo),
    ]
}

/// Any initial hint, in elements.
pub fn hint() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![
        3 => select(vec![0, 1, 2, 8, 9, 16, 64, 100, 256]),
        1 => 0..2048_usize,
        1 => select(vec![4032, 4040, 4096, 65536]),
    ]
}

/// Any length that can be loaned, in elements, with a bias to boundaries.
pub fn length() -> impl Strategy<Value = usize> + Clone {
    let powers = (0..18_u32).prop_map(|exponent| 1_usize << exponent);
    let pages = (1..9_usize).prop_map(|pages| pages * 4096);
    let around = |center: BoxedStrategy<usize>| {
        // 56 and 64 are the sizes of iceoryx2's headers.
        (center, select(vec![-64_i64, -56, -9, -8, -1, 0, 1, 8, 9]))
            .prop_map(|(center, offset)| center.saturating_add_signed(offset as isize))
    };
    prop_oneof![
        4 => select(vec![0_usize, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65]),
        4 => 0..300_usize,
        3 => around(powers.boxed()),
        2 => around(pages.boxed()),
        2 => 0..20_000_usize,
        1 => 0..300_000_usize,
    ]
}

/// A length no machine can provide.
pub fn impossible_length() -> impl Strategy<Value = usize> + Clone {
    let far = |n: usize| usize::MAX - n;
    prop_oneof![
        select(vec![far(0), far(1), far(7), far(8), far(55), far(56), far(63), far(64), far(127)]),
        select(vec![usize::MAX / 2, usize::MAX / 2 + 1, usize::MAX / 2 - 63, usize::MAX / 3]),
        (47..64_u32).prop_map(|exponent| 1_usize << exponent),
        SHORTEST_IMPOSSIBLE..usize::MAX,
    ]
}

fn any_length() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![40 => length(), 1 => impossible_length()]
}

fn form() -> impl Strategy<Value = LoanForm> + Clone {
    prop_oneof![
        1 => Just(LoanForm::Default),
        1 => Just(LoanForm::WriteFromFn),
        3 => Just(LoanForm::WriteFromSlice),
    ]
}

fn settle() -> impl Strategy<Value = SettleOrder> {
    prop_oneof![
        Just(SettleOrder::NewestFirst),
        Just(SettleOrder::OldestFirst),
        (0..1000_u32).prop_map(SettleOrder::Shuffled),
    ]
}

prop_compose! {
    /// Any settings, with limits from 1 to 4.
    pub fn settings()(
        via in prop_oneof![3 => Just(SettingsVia::Builder), 1 => Just(SettingsVia::ConfigFile)],
        max_clients in 1..4_usize,
        max_servers in 1..4_usize,
        max_nodes in 1..5_usize,
        max_active_requests_per_client in 1..4_usize,
        max_loaned_requests in 1..4_usize,
        max_response_buffer_size in 1..4_usize,
        max_borrowed_responses_per_pending_response in 1..4_usize,
        enable_safe_overflow_for_requests in any::<bool>(),
        enable_safe_overflow_for_responses in any::<bool>(),
        enable_fire_and_forget_requests in any::<bool>(),
        discard in any::<(bool, bool)>(),
    ) -> Settings {
        let backpressure = |discard| if discard {
            Backpressure::DiscardData
        } else {
            Backpressure::RetryUntilDelivered
        };
        Settings {
            via, max_clients, max_servers, max_nodes, max_active_requests_per_client,
            max_loaned_requests, max_response_buffer_size,
            max_borrowed_responses_per_pending_response,
            enable_safe_overflow_for_requests, enable_safe_overflow_for_responses,
            enable_fire_and_forget_requests,
            client_backpressure: backpressure(discard.0),
            server_backpressure: backpressure(discard.1),
        }
    }
}

fn index() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![2 => Just(0_usize), 3 => 0..4_usize]
}

fn join() -> Step {
    Step::Join { how: OpenMode::OpenOrCreate, require: None }
}

fn create_client() -> impl Strategy<Value = Step> + Clone {
    (index(), allocation(), hint()).prop_map(|(participant, strategy, hint)| Step::CreateClient {
        participant,
        strategy,
        hint,
    })
}

fn create_server() -> impl Strategy<Value = Step> + Clone {
    (index(), allocation(), hint(), 1..4_usize).prop_map(|(participant, strategy, hint, loans)| {
        Step::CreateServer { participant, strategy, hint, loans }
    })
}

fn loan_request() -> impl Strategy<Value = Step> + Clone {
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
fn traffic() -> BoxedStrategy<Vec<Step>> {
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
fn release() -> BoxedStrategy<Vec<Step>> {
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
fn inspect() -> BoxedStrategy<Vec<Step>> {
    let step = prop_oneof![
        3 => index().prop_map(|pending| Step::InspectPending { pending }),
        3 => index().prop_map(|active| Step::InspectActive { active }),
        2 => index().prop_map(|server| Step::InspectServer { server }),
        1 => index().prop_map(|participant| Step::InspectService { participant }),
        1 => index().prop_map(|client| Step::UpdateClient { client }),
        1 => index().prop_map(|server| Step::UpdateServer { server }),
    ];
    step.prop_map(|step| vec![step]).boxed()
}

/// Ports and participants come and go.
fn coming_and_going() -> BoxedStrategy<Vec<Step>> {
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

fn requirement() -> impl Strategy<Value = Requirement> + Clone {
    use Requirement as R;
    let payload = select(vec![PayloadType::U8, PayloadType::SliceOfU16, PayloadType::SliceOfPairs]);
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
        payload.clone().prop_map(R::RequestPayload),
        payload.prop_map(R::ResponsePayload),
    ]
}

fn opening() -> BoxedStrategy<Vec<Step>> {
    let how = prop_oneof![
        2 => Just(OpenMode::OpenOrCreate),
        2 => Just(OpenMode::Open),
        1 => Just(OpenMode::Create),
    ];
    (how, prop::option::of(requirement()))
        .prop_map(|(how, require)| vec![Step::Join { how, require }])
        .boxed()
}

fn scenario(
    settings: impl Strategy<Value = Settings>,
    opening: impl Strategy<Value = Vec<Step>>,
    phrases: Vec<(u32, BoxedStrategy<Vec<Step>>)>,
    length: std::ops::Range<usize>,
) -> impl Strategy<Value = Scenario> {
    (settings, settle(), opening, vec(Union::new_weighted(phrases), length)).prop_map(
        |(service, settle, opening, phrases)| Scenario {
            schema: SCHEMA,
            title: String::new(),
            settle,
            service,
            steps: opening.into_iter().chain(phrases.into_iter().flatten()).collect(),
            repeat: None,
        },
    )
}

fn growth() -> impl Strategy<Value = Scenario> {
    let one_pair = settings().prop_map(|settings| Settings {
        max_clients: 1,
        max_servers: 1,
        max_nodes: 2,
        ..settings
    });
    let opening = (create_client(), create_server(), any::<bool>()).prop_map(
        |(client, server, client_first)| {
            let mut steps = vec![join(), join(), client, server];
            if !client_first {
                steps.swap(2, 3);
            }
            steps
        },
    );
    let phrases =
        vec![(6, traffic()), (2, release()), (1, inspect()), (1, port_drops_under_held_data())];
    scenario(one_pair, opening, phrases, 5..40)
}

fn port_drops_under_held_data() -> BoxedStrategy<Vec<Step>> {
    prop_oneof![
        4 => Just(Vec::new()),
        1 => Just(vec![Step::DropClient { client: 0 }]),
        1 => Just(vec![Step::DropServer { server: 0 }]),
    ]
    .boxed()
}

fn some_ports() -> impl Strategy<Value = Vec<Step>> {
    (vec(create_client(), 1..4), vec(create_server(), 1..4), 1..4_usize).prop_map(
        |(clients, servers, participants)| {
            let mut steps = vec![join(); participants];
            steps.extend(clients);
            steps.extend(servers);
            steps
        },
    )
}

fn interleaving() -> impl Strategy<Value = Scenario> {
    let phrases = vec![(6, traffic()), (3, release()), (2, inspect())];
    scenario(settings(), some_ports(), phrases, 5..60)
}

fn churn() -> impl Strategy<Value = Scenario> {
    let phrases = vec![(5, traffic()), (2, release()), (1, inspect()), (3, coming_and_going())];
    scenario(settings(), some_ports(), phrases, 5..60)
}

fn limits() -> impl Strategy<Value = Scenario> {
    let phrases = vec![
        (3, opening()),
        (4, coming_and_going()),
        (1, traffic()),
        (1, release()),
        (1, inspect()),
    ];
    scenario(settings(), vec(Just(join()), 1..3), phrases, 5..30)
}

fn turnover() -> impl Strategy<Value = Scenario> {
    let opening = (create_client(), create_server(), prop::option::of(create_server())).prop_map(
        |(client, server, another)| {
            [join(), client, server].into_iter().chain(another).collect::<Vec<_>>()
        },
    );
    let phrases = Union::new_weighted(vec![(6, traffic()), (2, release()), (1, reconnection())]);
    let turn = vec(phrases, 2..7).prop_map(|phrases| phrases.concat());
    (settings(), settle(), opening, turn, GROWTHS + 10..GROWTHS + 40).prop_map(
        |(service, settle, opening, turn, times)| {
            let let_go = [
                Step::DropRequest { request: 0 },
                Step::DropLoanedResponse { response: 0 },
                Step::DropPending { pending: 0 },
                Step::DropActive { active: 0 },
                Step::DropResponse { response: 0 },
            ];
            let whole_turn = turn.iter().copied().chain(let_go.repeat(4));
            let repeat = Some(Repeat { times, stretch: 0, steps: whole_turn.collect() });
            Scenario {
                schema: SCHEMA,
                title: String::new(),
                settle,
                service,
                steps: opening,
                repeat,
            }
        },
    )
}

/// A port leaves and another one takes its place.
fn reconnection() -> BoxedStrategy<Vec<Step>> {
    prop_oneof![
        create_client().prop_map(|create| vec![Step::DropClient { client: 0 }, create]),
        create_server().prop_map(|create| vec![Step::DropServer { server: 0 }, create]),
    ]
    .boxed()
}

fn many_growths() -> impl Strategy<Value = Scenario> {
    let small = Just(Settings {
        max_clients: 1,
        max_servers: 1,
        max_active_requests_per_client: 1,
        max_loaned_requests: 1,
        max_response_buffer_size: 1,
        max_borrowed_responses_per_pending_response: 1,
        ..Settings::default()
    });
    let run = (
        any::<bool>(),
        select(vec![Allocation::BestFit, Allocation::PowerOfTwo]),
        0..32_usize,
        8..65_usize,
        select(vec![GROWTHS / 2, GROWTHS - 1, GROWTHS, GROWTHS + 1, GROWTHS + 30]),
        any::<bool>(),
    );
    (small, settle(), run).prop_map(
        |(service, settle, (requests, strategy, hint, stride, growths, send))| {
            let mut steps = vec![
                join(),
                Step::CreateClient { participant: 0, strategy, hint },
                Step::CreateServer { participant: 0, strategy, hint, loans: 1 },
            ];
            let form = LoanForm::WriteFromSlice;
            let len = hint + stride;
            let turn = match (requests, send) {
                (true, true) => vec![
                    Step::LoanRequest { client: 0, len, form },
                    Step::SendRequest { request: 0 },
                    Step::ReceiveRequest { server: 0 },
                    Step::DropActive { active: 0 },
                    Step::DropPending { pending: 0 },
                ],
                (true, false) => vec![
                    Step::LoanRequest { client: 0, len, form },
                    Step::DropRequest { request: 0 },
                ],
                (false, true) => vec![
                    Step::LoanResponse { active: 0, len, form },
                    Step::SendResponse { response: 0 },
                    Step::ReceiveResponse { pending: 0 },
                    Step::DropResponse { response: 0 },
                ],
                (false, false) => vec![
                    Step::LoanResponse { active: 0, len, form },
                    Step::DropLoanedResponse { response: 0 },
                ],
            };
            if !requests {
                steps.push(Step::LoanRequest { client: 0, len: 1, form });
                steps.push(Step::SendRequest { request: 0 });
                steps.push(Step::ReceiveRequest { server: 0 });
            }
            let repeat = Some(Repeat { times: growths, stretch: stride, steps: turn });
            Scenario { schema: SCHEMA, title: String::new(), settle, service, steps, repeat }
        },
    )
}
