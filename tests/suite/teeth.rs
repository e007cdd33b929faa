//! Every check can fail: a saboteur breaks one promise, the engine names it, and the
//! scenario that shows it shrinks to a handful of steps.

use std::collections::BTreeSet;

use iox2_gauntlet::{
    actor::{child::Executable, sabotage::Sabotage},
    campaign,
    lockstep::{End, Position},
    model::{Promise, SHORTEST_IMPOSSIBLE},
    runner::{Layout, Runner},
    scenario::{OpenMode, Repeat, Scenario, Step, Strategy},
    teeth::{self, Bite, Catch, Plan},
};

/// Scenarios within which every saboteur has to be caught; a run has about a thousand.
const PATIENCE: u64 = 200;

/// Steps a person is asked to read.
const HANDFUL: usize = 15;

fn executable() -> Executable {
    Executable::gauntlet(env!("CARGO_BIN_EXE_gauntlet"))
}

#[test]
fn every_saboteur_is_caught_by_the_promise_it_breaks_and_its_case_shrinks() {
    let plan = Plan {
        executable: executable(),
        seed: 1,
        patience: PATIENCE,
        small_enough: HANDFUL,
        jobs: 2,
    };
    let bites = teeth::show(&plan, &Default::default()).unwrap();
    assert_eq!(bites.len(), Sabotage::all().len());
    let is_caught = |bite: &Bite| matches!(bite.catch, Catch::Caught { steps: ..=HANDFUL, .. });
    let failures: Vec<_> = bites.iter().filter(|bite| !is_caught(bite)).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_promise_has_a_saboteur_and_every_saboteur_a_name_of_its_own() {
    let all = Sabotage::all();
    let bitten: BTreeSet<_> = all.iter().map(|sabotage| sabotage.breaks).collect();
    assert_eq!(bitten, Promise::ALL.iter().copied().collect());
    let names: BTreeSet<_> = all.iter().map(|sabotage| sabotage.id).collect();
    assert_eq!(names.len(), all.len());
}

/// What a host reports of its own process, over its pipe, bites as well.
#[test]
fn a_saboteur_in_a_process_of_its_own_is_caught_wherever_it_breaks_in() {
    let form = Default::default();
    let strategy = Strategy::BestFit;
    let join = Step::Join { how: OpenMode::OpenOrCreate, require: None };
    let mut scenario = Scenario::of_steps(vec![
        join,
        join,
        Step::create_client(0, strategy, 8),
        Step::create_server(1, strategy, 8, 2),
        Step::LoanRequest { client: 0, len: 8, form },
        Step::LoanRequest { client: 0, len: 16, form },
        Step::SendRequest { request: 0 },
        Step::ReceiveRequest { server: 0 },
        Step::LoanResponse { active: 0, len: 8, form },
        Step::SendResponse { response: 0 },
        Step::ReceiveResponse { pending: 0 },
    ]);
    // More growths than two ports may have mapped objects.
    let grow =
        vec![Step::LoanRequest { client: 0, len: 24, form }, Step::DropRequest { request: -1 }];
    scenario.repeat = Some(Repeat { times: 60, stretch: 8, steps: grow });
    let caught_at = |id: &str| {
        let sabotage = Sabotage::named(id).unwrap();
        let mut runner = Runner::new(executable().sabotaged(sabotage));
        let end = runner.judge(&scenario, Layout::Apart, false).unwrap().outcome.end;
        assert_eq!(end.promise(), Some(sabotage.breaks), "{id}: {end:?}");
        match end {
            End::Broken { position, .. } | End::Stopped { position, .. } => position,
            End::Kept => unreachable!("it broke a promise"),
        }
    };
    assert_eq!(caught_at("growth-panics"), Position::Step(5));
    assert_eq!(caught_at("held-data-changes-with-growth"), Position::Step(5));
    assert_eq!(caught_at("response-first-byte-flipped"), Position::Step(10));
    assert!(matches!(caught_at("outgrown-segments-stay-mapped"), Position::FullLoad(_)));
    assert!(matches!(caught_at("last-client-counted-on"), Position::Settle(_)));
    assert_eq!(caught_at("segment-of-gone-client-stays"), Position::Census);
}

/// One segment is left by a known quirk, another by the saboteur.
#[test]
fn a_known_leftover_excuses_no_other() {
    let form = Default::default();
    let loan = |len| Step::LoanRequest { client: 0, len, form };
    let mut steps = vec![
        Step::Join { how: OpenMode::OpenOrCreate, require: None },
        Step::create_client(0, Strategy::BestFit, 8),
        loan(16),
    ];
    let sabotage = Sabotage::named("segment-of-gone-client-stays").unwrap();
    let caught = |steps: &[Step]| {
        let mut runner = Runner::new(executable().sabotaged(sabotage));
        runner.live_with(campaign::switches(&campaign::active_quirks().unwrap()));
        let scenario = Scenario::of_steps(steps.to_vec());
        let end = runner.judge(&scenario, Layout::Together, false).unwrap().outcome.end;
        assert_eq!(end.promise(), Some(Promise::NothingIsLeftBehind), "{end:?}");
    };
    caught(&steps);
    steps.push(loan(SHORTEST_IMPOSSIBLE));
    caught(&steps);
}

/// Only growths excuse the loss of what a server sent before it was gone.
#[test]
fn a_response_of_a_static_server_that_is_gone_altogether_is_missed() {
    let form = Default::default();
    let strategy = Strategy::Static;
    let scenario = Scenario::of_steps(vec![
        Step::Join { how: OpenMode::OpenOrCreate, require: None },
        Step::create_client(0, strategy, 8),
        Step::create_server(0, strategy, 8, 2),
        Step::LoanRequest { client: 0, len: 8, form },
        Step::SendRequest { request: 0 },
        Step::ReceiveRequest { server: 0 },
        Step::LoanResponse { active: 0, len: 8, form },
        Step::SendResponse { response: 0 },
        Step::DropActive { active: 0 },
        Step::DropServer { server: 0 },
        Step::ReceiveResponse { pending: 0 },
    ]);
    let sabotage = Sabotage::named("response-of-gone-server-lost").unwrap();
    let mut runner = Runner::new(executable().sabotaged(sabotage));
    let end = runner.judge(&scenario, Layout::Together, false).unwrap().outcome.end;
    assert_eq!(end.promise(), Some(Promise::NoResponseIsLost), "{end:?}");
}

/// Every limit is reached at once: also that on loaned responses, while all buffers are full.
#[test]
fn a_server_with_too_few_chunks_for_its_loans_is_found_under_full_load() {
    let scenario = Scenario::of_steps(vec![
        Step::Join { how: OpenMode::OpenOrCreate, require: None },
        Step::create_client(0, Strategy::Static, 8),
        Step::create_server(0, Strategy::Static, 8, 2),
    ]);
    let sabotage = Sabotage::named("second-response-beside-full-buffer-refused").unwrap();
    let mut runner = Runner::new(executable().sabotaged(sabotage));
    let end = runner.judge(&scenario, Layout::Together, false).unwrap().outcome.end;
    assert_eq!(end.promise(), Some(Promise::LoanWithinLimitsSucceeds), "{end:?}");
    assert!(matches!(end, End::Broken { position: Position::FullLoad(_), .. }), "{end:?}");
}
