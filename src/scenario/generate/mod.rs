//! proptest strategies that generate scenarios.
//!
//! Each [`Family`] looks for another kind of trouble. Lengths are biased to
//! boundaries: 0, 1, the hint and its neighbours, powers of two and their
//! neighbours, page edges, repeats, and the far end of `usize`.
//!
//! ```
//! use iox2_gauntlet::scenario::{Step, generate::{Family, scenario_of_run}};
//!
//! // Seed and number give the same scenario on every machine.
//! let scenario = scenario_of_run(1, 7);
//! assert_eq!(scenario, scenario_of_run(1, 7));
//!
//! // Every 64th grows until a port cannot any more.
//! assert_eq!(Family::of_turn(7), Family::ManyGrowths);
//! assert!(scenario.repeat.is_some_and(|repeat| repeat.stretch > 0));
//! ```
//!
//! In a property test, [`Family::scenarios`] is the strategy; see the [crate] for one.

mod churn;
mod concurrency;
mod leavers;
mod overlap;
mod phrases;
mod piles;
mod shortage;
mod values;

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    strategy::{Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde::{Deserialize, Serialize};

use super::{LoanForm, OpenMode, Repeat, Scenario, Settings, Step, Strategy as Allocation};
use crate::model::GROWTHS;

use leavers::{bequest, unread_by_leaver};
use phrases::{
    coming_and_going, conversation, create_client, create_server, dying, inspect, join, killing,
    missing, mourning, opening, orphaning, port_drops_under_held_data, reconnection, recycling,
    release, traffic, vanishing, watching,
};
use piles::{
    forgotten_requests, held_over, killed_full_grown, late_answers, modest_client, much_growth,
    neglected, outlasting, overtaken_loans, static_server, unread_answer, unread_answers,
};
use values::settle;
pub use values::{allocation, hint, impossible_length, length, settings};

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
    /// Exchange after exchange through the same slots, channels and chunks, while objects
    /// of earlier ones are held.
    Recycling,
    /// Nodes, ports and requirements around the limits.
    Limits,
    /// One random turn of traffic, repeated more often than a port can grow: whatever a
    /// turn leaks adds up until a loan fails.
    Turnover,
    /// Strictly growing lengths up to and past the last possible growth.
    ManyGrowths,
    /// One random turn of traffic that neglects something, repeated until it has piled up.
    Neglect,
    /// Participants that are killed amid traffic, and others that take their place.
    Death,
    /// Threads that send, answer and grow at the same time.
    Concurrency,
    /// Participants that are held amid what they do, while others do something else.
    Overlap,
    /// Participants that run short of what they take from the system.
    Shortage,
}

impl Family {
    /// All families, in the order they take turns.
    pub const ALL: [Self; 12] = [
        Self::Growth,
        Self::Interleaving,
        Self::Churn,
        Self::Recycling,
        Self::Limits,
        Self::Turnover,
        Self::ManyGrowths,
        Self::Neglect,
        Self::Death,
        Self::Concurrency,
        Self::Overlap,
        Self::Shortage,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn id(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The family of the `index`-th scenario of a run. Turnovers, many growths, deaths, overlaps
    /// and shortages, which take processes, and concurrent traffic take much longer than the
    /// others and have their turn accordingly seldom.
    #[must_use]
    pub fn of_turn(index: u64) -> Self {
        if index % 64 == 7 {
            return Self::ManyGrowths;
        }
        if index % 32 == 15 {
            return Self::Turnover;
        }
        if index % 32 == 23 {
            return Self::Death;
        }
        if index % 64 == 3 {
            return Self::Concurrency;
        }
        if index % 32 == 27 {
            return Self::Overlap;
        }
        if matches!(index % 32, 11 | 22) {
            return Self::Shortage;
        }
        match index % 8 {
            0 => Self::Growth,
            1 | 3 => Self::Interleaving,
            2 | 6 => Self::Churn,
            4 => Self::Recycling,
            7 => Self::Neglect,
            _ => Self::Limits,
        }
    }

    /// The scenarios of this family.
    pub fn scenarios(self) -> BoxedStrategy<Scenario> {
        match self {
            Self::Growth => growth().boxed(),
            Self::Interleaving => interleaving().boxed(),
            Self::Churn => churn::churn().boxed(),
            Self::Recycling => recycled().boxed(),
            Self::Limits => limits().boxed(),
            Self::Turnover => turnover().boxed(),
            Self::ManyGrowths => many_growths().boxed(),
            Self::Neglect => neglect().boxed(),
            Self::Death => death().boxed(),
            Self::Concurrency => concurrency::concurrency().boxed(),
            Self::Overlap => overlap::overlap().boxed(),
            Self::Shortage => shortage::shortage().boxed(),
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

fn scenario(
    settings: impl Strategy<Value = Settings>,
    opening: impl Strategy<Value = Vec<Step>>,
    phrases: Vec<(u32, BoxedStrategy<Vec<Step>>)>,
    length: std::ops::Range<usize>,
) -> impl Strategy<Value = Scenario> {
    let phrases = vec(Union::new_weighted(phrases), length);
    (settings, settle(), opening, phrases, prop::bool::weighted(0.2)).prop_map(
        |(service, settle, opening, phrases, creates)| {
            let mut steps: Vec<_> =
                opening.into_iter().chain(phrases.into_iter().flatten()).collect();
            // Whoever is first creates the service in either way.
            if let Some(Step::Join { how, require: None }) = steps.first_mut().filter(|_| creates) {
                *how = OpenMode::Create;
            }
            Scenario { settle, service, ..Scenario::of_steps(steps) }
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
    let phrases = vec![
        (6, traffic()),
        (3, conversation()),
        (3, release()),
        (1, inspect()),
        (2, watching()),
        (1, orphaning()),
        (1, overtaken_loans()),
        (1, forgotten_requests()),
    ];
    scenario(settings(), some_ports(), phrases, 5..60)
}

fn recycled() -> impl Strategy<Value = Scenario> {
    let few_ports = (vec(create_client(), 1..3), vec(create_server(), 1..3), 1..3_usize);
    let opening = few_ports.prop_map(|(clients, servers, participants)| {
        let ports = clients.into_iter().chain(servers);
        std::iter::repeat_n(join(), participants).chain(ports).collect()
    });
    let phrases = vec![
        (4, recycling()),
        (3, conversation()),
        (2, traffic()),
        (1, inspect()),
        (2, watching()),
        (1, release()),
        (1, vanishing()),
        (1, bequest()),
        (1, orphaning()),
        (1, held_over()),
        (1, prop_oneof![unread_answers(), late_answers()].boxed()),
        (2, forgotten_requests()),
    ];
    scenario(settings(), opening, phrases, 3..20)
}

fn neglect() -> impl Strategy<Value = Scenario> {
    let clients = vec(prop_oneof![3 => create_client(), 1 => modest_client()], 1..3);
    let servers = vec(prop_oneof![3 => create_server(), 1 => static_server()], 1..4);
    let opening = (clients, servers).prop_map(|(clients, servers)| {
        [join()].into_iter().chain(clients).chain(servers).collect::<Vec<_>>()
    });
    let phrases =
        Union::new_weighted(vec![(2, conversation()), (1, unread_answer()), (3, neglected())]);
    // Whatever else happens in a turn may clear away what it neglects.
    let turn = prop_oneof![
        4 => vec(phrases, 1..6).prop_map(|phrases| phrases.concat()),
        2 => unread_answer(),
        1 => unread_by_leaver(),
    ];
    // The fewer clients, the less memory a server has for what they neglect.
    let few_clients = settings().prop_map(|s| Settings { max_clients: s.max_clients.min(2), ..s });
    (few_clients, settle(), opening, turn, 8..50_usize).prop_map(
        |(service, settle, steps, turn, times)| {
            let repeat = Some(Repeat { times, stretch: 0, steps: turn });
            Scenario { settle, service, repeat, ..Scenario::of_steps(steps) }
        },
    )
}

fn death() -> impl Strategy<Value = Scenario> {
    let opening = (vec(create_client(), 1..4), vec(create_server(), 1..4), 2..4_usize).prop_map(
        |(clients, servers, participants)| {
            let ports = clients.into_iter().chain(servers);
            std::iter::repeat_n(join(), participants).chain(ports).collect()
        },
    );
    let phrases = vec![
        (6, traffic()),
        (3, conversation()),
        (2, release()),
        (1, inspect()),
        (1, watching()),
        (1, much_growth()),
        (2, killing()),
        (1, mourning()),
        (1, killed_full_grown()),
        (3, dying()),
        (1, coming_and_going()),
    ];
    let several_nodes = settings().prop_map(|s| Settings { max_nodes: s.max_nodes.max(2), ..s });
    scenario(several_nodes, opening, phrases, 5..40)
}

fn limits() -> impl Strategy<Value = Scenario> {
    let phrases = vec![
        (3, opening()),
        (4, coming_and_going()),
        (1, traffic()),
        (1, release()),
        (1, inspect()),
    ];
    let first = (prop::option::of(missing()), vec(Just(join()), 1..3))
        .prop_map(|(missing, joins)| missing.into_iter().chain(joins).collect::<Vec<_>>());
    scenario(settings(), first, phrases, 5..30)
}

/// As often as a byte has values, for each of the channels that requests of a client may take in
/// turn.
const MANY_TURNS: usize = 5 * 256 + 10;

/// Connections to ports that are gone that a turnover may keep: those of ports that grow have a
/// megabyte of shared memory each.
const MOST_EXPIRED: usize = 16;

fn turnover() -> impl Strategy<Value = Scenario> {
    let ports = (create_client(), create_server(), prop::option::of(create_server())).prop_map(
        |(client, server, another)| {
            [join(), client, server].into_iter().chain(another).collect::<Vec<_>>()
        },
    );
    let phrases = Union::new_weighted(vec![
        (6, traffic()),
        (2, conversation()),
        (2, release()),
        (1, reconnection()),
    ]);
    let let_go = [
        Step::DropRequest { request: 0 },
        Step::DropLoanedResponse { response: 0 },
        Step::DropPending { pending: 0 },
        Step::DropActive { active: 0 },
        Step::DropResponse { response: 0 },
    ];
    let forgetful = vec(phrases, 2..7).prop_map(move |phrases| {
        let turn = phrases.concat().into_iter().chain(let_go.repeat(4)).collect();
        (Vec::new(), turn)
    });
    let times = || GROWTHS + 10..GROWTHS + 40;
    let turns = prop_oneof![
        6 => (forgetful, times()).boxed(),
        1 => (outlasting(), times()).boxed(),
        1 => (outlasting(), Just(MANY_TURNS)).boxed(),
    ];
    (settings(), settle(), ports, turns).prop_map(
        |(mut service, settle, ports, ((opening, steps), times))| {
            for buffer in [
                &mut service.client_expired_connection_buffer,
                &mut service.server_expired_connection_buffer,
            ] {
                *buffer = MOST_EXPIRED.min(*buffer);
            }
            let service = if opening.is_empty() {
                service
            } else {
                Settings {
                    // What was held from the start takes one of them.
                    max_active_requests_per_client: service.max_active_requests_per_client + 1,
                    // The fewer, the sooner everything comes round again.
                    max_servers: 1,
                    ..service
                }
            };
            let repeat = Some(Repeat { times, stretch: 0, steps });
            let steps = ports.into_iter().chain(opening).collect();
            Scenario { settle, service, repeat, ..Scenario::of_steps(steps) }
        },
    )
}

/// What becomes of messages that grow each time.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// They are loaned and dropped.
    Dropped,
    /// They are sent, received and dropped.
    Received,
    /// They are held until the next one has come.
    Held,
    /// The first is held all the time, the others are received and dropped.
    Kept,
    /// Nobody receives them: the next one takes their place.
    Evicted,
}

fn many_growths() -> impl Strategy<Value = Scenario> {
    let small = Just(Settings {
        max_clients: 1,
        max_servers: 1,
        max_active_requests_per_client: 4,
        max_loaned_requests: 1,
        max_response_buffer_size: 1,
        max_borrowed_responses_per_pending_response: 2,
        ..Settings::default()
    });
    use Manner as M;
    let run = (
        any::<bool>(),
        select(vec![Allocation::BestFit, Allocation::PowerOfTwo]),
        0..32_usize,
        8..65_usize,
        select(vec![GROWTHS / 2, GROWTHS - 1, GROWTHS, GROWTHS + 1, GROWTHS + 30]),
        select(vec![M::Dropped, M::Received, M::Held, M::Kept, M::Kept, M::Evicted]),
        0..4_usize,
    );
    (small, settle(), run).prop_map(
        |(service, settle, (requests, strategy, hint, stride, growths, manner, waiting))| {
            let mut steps = vec![
                join(),
                Step::create_client(0, strategy, hint),
                Step::create_server(0, strategy, hint, 1),
            ];
            let form = LoanForm::WriteFromSlice;
            let request = |len| {
                [Step::LoanRequest { client: 0, len, form }, Step::SendRequest { request: 0 }]
            };
            let response = |len| {
                [Step::LoanResponse { active: 0, len, form }, Step::SendResponse { response: 0 }]
            };
            let len = hint + stride;
            let receive = Step::ReceiveRequest { server: 0 };
            let fetch = Step::ReceiveResponse { pending: 0 };
            // Of those that are there, the newest or the oldest.
            let which = if matches!(manner, M::Kept) { -1 } else { 0 };
            let drop_pending = Step::DropPending { pending: which };
            let turn = match (requests, manner) {
                (true, M::Dropped) => {
                    vec![
                        Step::LoanRequest { client: 0, len, form },
                        Step::DropRequest { request: 0 },
                    ]
                }
                (true, M::Received | M::Held | M::Kept) => request(len)
                    .into_iter()
                    .chain([receive, Step::DropActive { active: which }, drop_pending])
                    .collect(),
                (true, M::Evicted) => request(len).into_iter().chain([drop_pending]).collect(),
                (false, M::Dropped) => vec![
                    Step::LoanResponse { active: 0, len, form },
                    Step::DropLoanedResponse { response: 0 },
                ],
                (false, M::Received | M::Held | M::Kept) => response(len)
                    .into_iter()
                    .chain([fetch, Step::DropResponse { response: which }])
                    .collect(),
                (false, M::Evicted) => response(len).into(),
            };
            // What the first turn finds is what each of them leaves.
            let is_held = matches!(manner, M::Held | M::Kept);
            if !requests || is_held {
                steps.extend(request(1));
                steps.push(receive);
            }
            if !requests && is_held {
                steps.extend(response(1).into_iter().chain([fetch]));
            }
            // Not those that would be received instead.
            let waiting = if requests && is_held { 0 } else { waiting };
            steps.extend(request(1).repeat(waiting));
            let repeat = Some(Repeat { times: growths, stretch: stride, steps: turn });
            Scenario { settle, service, repeat, ..Scenario::of_steps(steps) }
        },
    )
}
