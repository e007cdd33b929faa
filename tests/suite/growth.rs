//! Data that outgrows the hint: generated scenarios, each kind aimed at one thing.

use iox2_gauntlet::{
    lockstep::{End, Outcome},
    model::{Promise, judge::Breach},
    runner::{Layout, Runner},
    scenario::{
        LoanForm, OpenMode, Scenario, Settings, SettleOrder, Step, Strategy as Allocation,
        generate::{Family, hint, impossible_length, length},
    },
    trial::Trial,
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::jury::{Checks, for_all, keeps_its_promises, layouts};

/// Scenarios per property, for a suite of less than a minute.
mod cases {
    pub(super) const GROWTH: u32 = 150;
    pub(super) const INTERLEAVING: u32 = 80;
    pub(super) const CHURN: u32 = 60;
    pub(super) const LIMITS: u32 = 60;
    pub(super) const ROUND_TRIP: u32 = 80;
    pub(super) const STATIC: u32 = 60;
    pub(super) const STRATEGIES: u32 = 50;
    pub(super) const HELD: u32 = 60;
    pub(super) const FAR_END: u32 = 40;
}

fn keeps(cases: u32, family: Family) -> Checks {
    for_all(cases, (family.scenarios(), layouts()), keeps_its_promises)
}

#[test]
fn one_client_and_one_server_keep_their_promises_while_sizes_grow_and_shrink() {
    keeps(cases::GROWTH, Family::Growth).assert_exercised(&[
        Promise::HintIsOnlyAHint,
        Promise::StaticRefusesLongerThanHint,
        Promise::LoanSliceIsDefault,
        Promise::RequestBytesArrive,
        Promise::ResponseBytesArrive,
        Promise::HeldDataStaysIntact,
        Promise::NothingIsLeftBehind,
    ]);
}

#[test]
fn several_ports_keep_their_promises_however_their_traffic_interleaves() {
    keeps(cases::INTERLEAVING, Family::Interleaving).assert_exercised(&[
        Promise::SendReachesEveryServer,
        Promise::RequestsArriveInOrder,
        Promise::ResponsesArriveInOrder,
        Promise::ResponseReachesOnlyItsRequest,
        Promise::ActiveRequestConnection,
        Promise::PendingResponseConnection,
        Promise::ActiveRequestLimit,
    ]);
}

#[test]
fn ports_that_come_and_go_disturb_nobody() {
    keeps(cases::CHURN, Family::Churn).assert_exercised(&[
        Promise::ClientLimit,
        Promise::ServerLimit,
        Promise::LateServerGetsNoOldRequest,
        Promise::HeldDataStaysIntact,
        Promise::NothingIsLeftBehind,
    ]);
}

#[test]
fn every_limit_holds_whoever_opens_and_demands_what() {
    keeps(cases::LIMITS, Family::Limits).assert_exercised(&[
        Promise::NodeLimit,
        Promise::OpenChecksRequirements,
        Promise::CreateAndOpen,
        Promise::ClientLimit,
        Promise::ServerLimit,
    ]);
}

/// What a client and a server are created with.
#[derive(Debug, Clone, Copy)]
struct Ports {
    client: (Allocation, usize),
    server: (Allocation, usize),
}

fn ports() -> impl Strategy<Value = Ports> {
    let port = || (select(Allocation::ALL.to_vec()), hint());
    (port(), port()).prop_map(|(client, server)| Ports { client, server })
}

impl Ports {
    /// Two participants and their ports.
    fn opening(self) -> Vec<Step> {
        let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
        let (strategy, hint) = self.client;
        let client = Step::create_client(0, strategy, hint);
        let (strategy, hint) = self.server;
        vec![join, join, client, Step::create_server(1, strategy, hint, 4)]
    }
}

fn form() -> impl Strategy<Value = LoanForm> {
    select(vec![LoanForm::Default, LoanForm::WriteFromFn, LoanForm::WriteFromSlice])
}

/// The longest that fits: a static port never grows.
fn fitting((strategy, hint): (Allocation, usize), len: usize) -> usize {
    if strategy == Allocation::Static { len.min(hint) } else { len }
}

fn one_of_each(settings: Settings) -> Settings {
    Settings { max_clients: 1, max_servers: 1, max_nodes: 2, ..settings }
}

#[test]
fn any_list_of_lengths_arrives_both_ways_whatever_the_strategies_and_hints() {
    let round_trips = vec((length(), form(), length(), form()), 1..12);
    let scenarios = (ports(), round_trips).prop_map(|(ports, round_trips)| {
        let mut steps = ports.opening();
        for (request, request_form, response, response_form) in round_trips {
            let len = fitting(ports.client, request);
            steps.push(Step::LoanRequest { client: 0, len, form: request_form });
            steps.push(Step::SendRequest { request: 0 });
            steps.push(Step::ReceiveRequest { server: 0 });
            let len = fitting(ports.server, response);
            steps.push(Step::LoanResponse { active: 0, len, form: response_form });
            steps.push(Step::SendResponse { response: 0 });
            steps.push(Step::ReceiveResponse { pending: 0 });
            steps.push(Step::DropResponse { response: 0 });
            steps.push(Step::DropActive { active: 0 });
            steps.push(Step::DropPending { pending: 0 });
        }
        let service = one_of_each(Settings::default());
        Scenario { service, ..Scenario::of_steps(steps) }
    });
    let checks = for_all(cases::ROUND_TRIP, (scenarios, layouts()), |runner, scenario, trial| {
        let outcome = keeps_its_promises(runner, scenario, trial);
        if outcome.end.is_kept() {
            // Whatever was sent has also been read.
            let sent = scenario.steps.iter().filter(|s| matches!(s, Step::SendRequest { .. }));
            let sent = sent.count() as u64;
            assert!(outcome.checks[&Promise::RequestBytesArrive] >= sent, "{outcome:?}");
            assert!(outcome.checks[&Promise::ResponseBytesArrive] >= sent, "{outcome:?}");
        }
        outcome
    });
    checks.assert_exercised(&[Promise::HintIsOnlyAHint, Promise::LoanWithinLimitsSucceeds]);
}

/// Loans from a static client and a static server, each around its own hint.
fn static_loans(
    length_for: impl Fn(usize) -> BoxedStrategy<usize>,
) -> impl Strategy<Value = Scenario> {
    (hint(), hint())
        .prop_flat_map(move |(client, server)| {
            let lens = (vec(length_for(client), 1..10), vec(length_for(server), 1..10));
            (Just((client, server)), lens, form())
        })
        .prop_map(|((client, server), (requests, responses), form)| {
            let ports = Ports {
                client: (Allocation::Static, client),
                server: (Allocation::Static, server),
            };
            let mut steps = ports.opening();
            for len in requests {
                steps.push(Step::LoanRequest { client: 0, len, form });
                steps.push(Step::DropRequest { request: 0 });
            }
            steps.push(Step::LoanRequest { client: 0, len: client, form });
            steps.push(Step::SendRequest { request: 0 });
            steps.push(Step::ReceiveRequest { server: 0 });
            for len in responses.into_iter().chain([server]) {
                steps.push(Step::LoanResponse { active: 0, len, form });
                steps.push(Step::DropLoanedResponse { response: 0 });
            }
            Scenario { service: one_of_each(Settings::default()), ..Scenario::of_steps(steps) }
        })
}

/// Judges every loan by its length and the hint alone, without the model.
fn refuses_exactly_what_exceeds_the_hint(
    runner: &mut Runner,
    scenario: &Scenario,
    _: Trial,
) -> Outcome {
    let mut judged = runner.judge(scenario, Layout::Together, true).unwrap();
    let (mut client_hint, mut server_hint) = (0, 0);
    for (i, step) in scenario.steps.iter().enumerate() {
        let (len, hint) = match *step {
            Step::CreateClient { hint, .. } => {
                client_hint = hint;
                continue;
            }
            Step::CreateServer { hint, .. } => {
                server_hint = hint;
                continue;
            }
            Step::LoanRequest { len, .. } => (len, client_hint),
            Step::LoanResponse { len, .. } => (len, server_hint),
            _ => continue,
        };
        let position = iox2_gauntlet::lockstep::Position::Step(i);
        let Some(traced) = judged.trace.iter().find(|t| t.position == position) else { continue };
        let expected =
            if len <= hint { format!("a loan of {len}") } else { "ExceedsMaxLoanSize".to_owned() };
        if traced.observed != expected {
            judged.outcome.end = broken(
                traced,
                Promise::StaticRefusesLongerThanHint,
                expected,
                traced.observed.clone(),
            );
            break;
        }
    }
    judged.outcome
}

fn broken(
    at: &iox2_gauntlet::actor::serve::TracedStep,
    promise: Promise,
    expected: String,
    observed: String,
) -> End {
    let breach = Breach { promise, expected, observed };
    End::Broken { position: at.position, action: at.action.clone(), breach }
}

#[test]
fn a_static_port_loans_up_to_its_hint_and_names_the_size_as_the_error_beyond() {
    let around = |hint: usize| {
        prop_oneof![
            3 => select(vec![0, hint / 2, hint.saturating_sub(1), hint]),
            // The last bucket is rounded up, and the header lies before it.
            3 => select(vec![hint + 1, hint + 7, hint + 8, hint + 56, hint + 64, 2 * hint + 1]),
            1 => length(),
        ]
        .boxed()
    };
    let scenarios = (static_loans(around), Just(Layout::Together.into()));
    for_all(cases::STATIC, scenarios, refuses_exactly_what_exceeds_the_hint).assert_exercised(&[
        Promise::StaticRefusesLongerThanHint,
        Promise::RefusedLoanChangesNothing,
        Promise::LoanWithinLimitsSucceeds,
    ]);
}

/// Dynamic ports are left out here where they are known to compute the size of such a
/// loan without a check for overflow: the proofs of quirks show that.
#[test]
fn the_far_end_of_usize_is_refused_by_name_and_harms_nothing() {
    let far = |hint: usize| prop_oneof![3 => impossible_length(), 1 => Just(hint)].boxed();
    let scenarios = (static_loans(far), Just(Layout::Together.into()));
    for_all(cases::FAR_END, scenarios, refuses_exactly_what_exceeds_the_hint).assert_exercised(&[
        Promise::StaticRefusesLongerThanHint,
        Promise::RefusedLoanChangesNothing,
    ]);
}

/// Both runs must keep every promise and give the same, step by step.
fn is_the_same_with_best_fit_and_power_of_two_exchanged(
    runner: &mut Runner,
    scenario: &Scenario,
    _: Trial,
) -> Outcome {
    Trial::AgainstOtherStrategies.judge(runner, scenario, false).unwrap().outcome
}

#[test]
fn best_fit_and_power_of_two_differ_in_memory_only() {
    let dynamic = |mut scenario: Scenario| {
        for step in &mut scenario.steps {
            if let Step::CreateClient { strategy, .. } | Step::CreateServer { strategy, .. } = step
                && *strategy == Allocation::Static
            {
                *strategy = Allocation::BestFit;
            }
        }
        scenario
    };
    let scenarios = Family::Growth.scenarios().prop_map(dynamic);
    let checks = for_all(
        cases::STRATEGIES,
        (scenarios, Just(Layout::Together.into())),
        is_the_same_with_best_fit_and_power_of_two_exchanged,
    );
    checks.assert_exercised(&[Promise::StrategiesAgree, Promise::HintIsOnlyAHint]);
}

/// The order in which whoever holds something lets go of the ports.
#[derive(Debug, Clone, Copy)]
enum Departure {
    Client,
    Server,
    ClientNode,
    ServerNode,
}

impl Departure {
    fn step(self) -> Step {
        match self {
            Self::Client => Step::DropClient { client: 0 },
            Self::Server => Step::DropServer { server: 0 },
            Self::ClientNode => Step::Leave { participant: 0 },
            Self::ServerNode => Step::Leave { participant: 1 },
        }
    }
}

/// Everything that can be held is held, of growing and shrinking lengths, when the ports
/// go: loaned and pending requests, active requests, loaned and received responses.
#[test]
fn what_is_held_stays_readable_while_ports_grow_and_go() {
    const EACH: usize = 3;
    let departures = Just(vec![
        Departure::Client,
        Departure::Server,
        Departure::ClientNode,
        Departure::ServerNode,
    ]);
    let orders = (departures.prop_shuffle(), 0..5_usize);
    let settle = prop_oneof![
        Just(SettleOrder::NewestFirst),
        Just(SettleOrder::OldestFirst),
        any::<u32>().prop_map(SettleOrder::Shuffled),
    ];
    let lens = (vec(length(), EACH + 1), vec(length(), EACH + 1));
    let scenarios = (ports(), lens, orders, settle).prop_map(
        |(ports, (requests, responses), (departures, count), settle)| {
            let mut steps = ports.opening();
            for (request, response) in requests.iter().zip(&responses).take(EACH) {
                let loan = |len| Step::LoanRequest {
                    client: 0,
                    len: fitting(ports.client, len),
                    form: LoanForm::WriteFromFn,
                };
                let answer = |active, len| Step::LoanResponse {
                    active,
                    len: fitting(ports.server, len),
                    form: LoanForm::WriteFromFn,
                };
                steps.extend([loan(*request), Step::SendRequest { request: 0 }]);
                steps.push(Step::ReceiveRequest { server: 0 });
                steps.extend([answer(-1, *response), Step::SendResponse { response: 0 }]);
                steps.push(Step::ReceiveResponse { pending: -1 });
            }
            let form = LoanForm::Default;
            let len = fitting(ports.client, requests[EACH]);
            steps.push(Step::LoanRequest { client: 0, len, form });
            let len = fitting(ports.server, responses[EACH]);
            steps.push(Step::LoanResponse { active: 1, len, form });
            steps.extend(departures.into_iter().take(count).map(Departure::step));
            // Memory that were free would be reused now.
            for i in (0..).take(EACH) {
                steps.push(Step::LoanResponse { active: i, len: 1, form });
                steps.push(Step::SendResponse { response: 1 });
                steps.push(Step::ReceiveResponse { pending: i });
            }
            let service = Settings {
                max_active_requests_per_client: EACH + 1,
                max_loaned_requests: EACH + 1,
                ..one_of_each(Settings::default())
            };
            Scenario { service, settle, ..Scenario::of_steps(steps) }
        },
    );
    let checks = for_all(cases::HELD, (scenarios, layouts()), |runner, scenario, trial| {
        let outcome = keeps_its_promises(runner, scenario, trial);
        if outcome.end.is_kept() {
            let audits = outcome.checks[&Promise::HeldDataStaysIntact];
            assert!(audits >= outcome.performed as u64 / 2, "{outcome:?}");
        }
        outcome
    });
    checks.assert_exercised(&[Promise::HeldDataStaysIntact, Promise::HintIsOnlyAHint]);
}
