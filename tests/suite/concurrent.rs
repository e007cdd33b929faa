//! Threads that send, answer and grow at the same time: on ports of their own, and on ports
//! they share.

use iox2_gauntlet::{
    actor::variant::Variant,
    model::Promise,
    runner::{Layout, Venue},
    scenario::{Concurrent, Scenario, Strategy as Allocation, generate::Family},
    trial::Trial,
};
use proptest::{prelude::*, sample::select};

use crate::jury::{for_all, keeps_its_promises, runner};

const VARIANTS: [Variant; 4] =
    [Variant::Ipc, Variant::IpcThreadsafe, Variant::Local, Variant::LocalThreadsafe];

#[test]
fn whoever_is_first_every_message_arrives_once_in_order_and_intact() {
    let trials = select(VARIANTS.to_vec()).prop_map(|v| Trial::At(Venue::together_on(v)));
    let scenarios = (Family::Concurrency.scenarios(), trials);
    for_all(24, scenarios, keeps_its_promises).assert_exercised(&[
        Promise::LoanWithinLimitsSucceeds,
        Promise::HeldDataStaysIntact,
        Promise::RequestBytesArrive,
        Promise::ResponseBytesArrive,
        Promise::NoRequestIsLost,
        Promise::NoResponseIsLost,
        Promise::RequestsArriveInOrder,
        Promise::ResponsesArriveInOrder,
        Promise::NothingIsLeftBehind,
    ]);
}

#[test]
fn threads_share_ports_where_the_variant_lets_them_and_grow_them_together() {
    for strategy in Allocation::ALL {
        let traffic = Concurrent {
            clients: 2,
            servers: 2,
            threads: 3,
            requests: 40,
            responses: 2,
            hold: 1,
            longest: 20_000,
            client_strategy: strategy,
            server_strategy: strategy,
            ..Concurrent::default()
        };
        let scenario = Scenario { concurrent: Some(traffic), ..Scenario::of_steps(Vec::new()) };
        for variant in VARIANTS {
            let trial = Trial::At(Venue::together_on(variant));
            let judged = trial.judge(&mut runner(), &scenario, false).unwrap().outcome;
            assert!(judged.end.is_kept(), "{strategy:?} on {variant}: {:?}", judged.end);
            let shared = matches!(variant, Variant::IpcThreadsafe | Variant::LocalThreadsafe);
            let threads = if shared { 3 } else { 1 };
            assert_eq!(judged.performed, 2 * threads * 40, "{strategy:?} on {variant}");
        }
    }
}

/// Somebody is always the last to let the service go while somebody else opens it, and two are
/// the first to create a port.
#[test]
fn whoever_opens_a_service_has_it_however_many_let_it_go() {
    for variant in VARIANTS {
        // Each with a node of their own: what becomes of those that share one is known.
        let traffic = Concurrent {
            visits: if variant == Variant::Ipc { 400 } else { 100 },
            requests: 0,
            clients: 3,
            servers: 3,
            ..Concurrent::default()
        };
        let scenario = Scenario { concurrent: Some(traffic), ..Scenario::of_steps(Vec::new()) };
        let trial = Trial::At(Venue::together_on(variant));
        let judged = trial.judge(&mut runner(), &scenario, false).unwrap().outcome;
        assert!(judged.end.is_kept(), "{variant}: {:?}", judged.end);
        let promises =
            [Promise::CreateAndOpen, Promise::ServiceIsListedWithItsNodes, Promise::PortCounts];
        for promise in promises {
            assert!(judged.checks.contains_key(&promise), "{promise} on {variant}");
        }
    }
}

#[test]
fn threads_have_one_process() {
    let concurrent = Some(Concurrent::default());
    let scenario = Scenario { concurrent, ..Scenario::of_steps(Vec::new()) };
    let error = runner().judge(&scenario, Layout::Apart, false).unwrap_err();
    assert!(error.to_string().contains("only participants in one process can do that"), "{error}");
}

#[test]
fn a_scenario_with_threads_is_written_and_read_back() {
    let concurrent = Concurrent { late_server: true, turns: 3, ..Concurrent::default() };
    let scenario = Scenario { concurrent: Some(concurrent), ..Scenario::of_steps(Vec::new()) };
    let text = scenario.to_toml("", |_| None);
    assert_eq!(Scenario::parse(&text, "it.toml".as_ref()).unwrap(), scenario);
}

#[test]
fn a_number_of_threads_that_cannot_be_is_refused_with_its_place() {
    let text = "schema = 1\nsteps = []\n[concurrent]\nthreads = 100\n";
    let error = Scenario::parse(text, "it.toml".as_ref()).unwrap_err().to_string();
    assert_eq!(error, "it.toml:4:11: 100 is not from 1 to 8");
}
