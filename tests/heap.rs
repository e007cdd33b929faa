//! Where the memory of a service is that of its process, a census of files sees nothing of it: the
//! heap is counted instead, and what the system has given the process. In a binary of its own, as
//! every other test would be counted as well.

use std::{
    alloc::System,
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use cap::Cap;
use iox2_gauntlet::{
    actor::{Action, Observation, iox, variant::Variant},
    campaign,
    lockstep::{self, Observer, Position, Silent},
    model::{self, Prediction, Switch},
    sandbox::Sandbox,
    scenario::{
        LoanForm, OpenMode, Scenario, Step, Strategy,
        generate::{Family, scenario_of_run},
    },
};
use procfs::process::Process;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Scenarios that are tried on each variant.
const SCENARIOS: usize = 60;

/// Runs of a scenario before it counts, and those that count: tables that grow now and then do
/// not do so each time.
const RUNS: (usize, usize) = (2, 3);

/// Either of the tests would be counted by the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether all was well, but for what a known quirk leaves behind.
fn is_clean(
    scenario: &Scenario,
    variant: Variant,
    sandbox: &Sandbox,
    quirks: &BTreeSet<Switch>,
    observer: &mut dyn Observer,
) -> bool {
    let quirks: BTreeSet<Switch> =
        quirks.iter().copied().filter(|quirk| quirk.concerns(variant)).collect();
    let scenario = &*model::steered(scenario, &quirks);
    let config = sandbox.config_for("heap", &scenario.service).expect("a config file");
    let mut host = iox::host(variant, &config, "heap", scenario.service.clone()).expect("a host");
    let outcome = lockstep::run(scenario, &quirks, host.as_mut(), observer);
    assert!(outcome.end.is_kept(), "{} on {variant}: {:?}", scenario.title, outcome.end);
    outcome.known_leftovers.is_empty()
}

/// What each of several runs of a scenario leaves on the heap, in bytes, if all leave something.
fn left_each_time(
    scenario: &Scenario,
    variant: Variant,
    sandbox: &Sandbox,
    quirks: &BTreeSet<Switch>,
) -> Option<Vec<usize>> {
    for _ in 0..RUNS.0 {
        if !is_clean(scenario, variant, sandbox, quirks, &mut Silent) {
            return None;
        }
    }
    let mut left = Vec::with_capacity(RUNS.1);
    for _ in 0..RUNS.1 {
        let before = HEAP.allocated();
        is_clean(scenario, variant, sandbox, quirks, &mut Silent);
        left.push(HEAP.allocated().saturating_sub(before));
    }
    left.iter().all(|&bytes| bytes > 0).then_some(left)
}

#[test]
fn what_a_service_takes_of_the_heap_it_gives_back() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    iox::silence();
    let sandbox = Sandbox::new().expect("a sandbox");
    let quirks = campaign::switches(&campaign::active_quirks().expect("quirks"));
    for variant in [Variant::Local, Variant::LocalThreadsafe] {
        let takes_long = |index: &u64| {
            matches!(
                Family::of_turn(*index),
                Family::Turnover
                    | Family::Death
                    | Family::Overlap
                    | Family::Shortage
                    | Family::Concurrency
                    | Family::Neglect
            )
        };
        let scenarios = (0..).filter(|index| !takes_long(index)).map(|n| scenario_of_run(1, n));
        for scenario in scenarios.take(SCENARIOS) {
            let left = left_each_time(&scenario, variant, &sandbox, &quirks);
            assert_eq!(left, None, "{} on {variant}: bytes left on the heap", scenario.title);
        }
    }
    assert!(sandbox.census().expect("a census").is_clean());
}

/// Bytes of memory the system has given this process, touched or not.
fn memory() -> u64 {
    let sizes = Process::myself().and_then(|this| this.statm()).expect("sizes of this process");
    sizes.data * procfs::page_size()
}

/// Remembers the most memory this process had.
struct Peak(u64);

impl Observer for Peak {
    fn before(&mut self, _: Position, _: &Action) {}

    fn after(&mut self, _: Position, _: &Prediction, _: &Observation) {
        self.0 = self.0.max(memory());
    }
}

/// Memory that is not allocated as Rust allocates.
#[test]
fn what_local_ports_take_of_the_memory_of_the_process_they_give_back() {
    /// Runs of the scenario.
    const RUNS: u64 = 40;
    /// Those of them that may leave what they take: the C library keeps part of what it is given
    /// back.
    const KEPT: u64 = 4;

    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    iox::silence();
    let sandbox = Sandbox::new().expect("a sandbox");
    let mut steps = vec![
        Step::Join { how: OpenMode::OpenOrCreate, require: None },
        Step::create_client(0, Strategy::BestFit, 1),
        Step::create_server(0, Strategy::PowerOfTwo, 1, 2),
    ];
    let form = LoanForm::WriteFromSlice;
    for len in [100_000, 1_000_000] {
        steps.extend([
            Step::LoanRequest { client: 0, len, form },
            Step::SendRequest { request: 0 },
            Step::ReceiveRequest { server: 0 },
            Step::LoanResponse { active: -1, len, form },
            Step::SendResponse { response: 0 },
            Step::ReceiveResponse { pending: -1 },
        ]);
    }
    let scenario = Scenario::of_steps(steps);
    for variant in [Variant::Local, Variant::LocalThreadsafe] {
        let run = |observer: &mut dyn Observer| {
            assert!(is_clean(&scenario, variant, &sandbox, &BTreeSet::new(), observer));
        };
        run(&mut Silent);
        let before = memory();
        let mut peak = Peak(0);
        run(&mut peak);
        let taken = peak.0.saturating_sub(before);
        assert!(taken > 4 << 20, "{variant}: {taken} bytes taken");
        (0..RUNS).for_each(|_| run(&mut Silent));
        let left = memory().saturating_sub(before);
        assert!(left <= KEPT * taken, "{variant}: {left} bytes left of {taken} in each run");
    }
}
