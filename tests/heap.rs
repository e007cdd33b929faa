//! Where the memory of a service is the heap of its process, a census of files sees nothing of
//! it: the heap is counted instead. In a binary of its own, as every other test would be counted
//! as well.

use std::{alloc::System, collections::BTreeSet};

use cap::Cap;
use iox2_gauntlet::{
    actor::{iox, variant::Variant},
    campaign,
    lockstep::{self, Silent},
    model::{self, Switch},
    sandbox::Sandbox,
    scenario::{
        Scenario,
        generate::{Family, scenario_of_run},
    },
};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Scenarios that are tried on each variant.
const SCENARIOS: usize = 60;

/// Runs of a scenario before it counts, and those that count: tables that grow now and then do
/// not do so each time.
const RUNS: (usize, usize) = (2, 3);

/// Whether all was well, but for what a known quirk leaves behind.
fn is_clean(
    scenario: &Scenario,
    variant: Variant,
    sandbox: &Sandbox,
    quirks: &BTreeSet<Switch>,
) -> bool {
    let quirks: BTreeSet<Switch> =
        quirks.iter().copied().filter(|quirk| quirk.concerns(variant)).collect();
    let scenario = &*model::steered(scenario, &quirks);
    let config = sandbox.config_for("heap", &scenario.service).expect("a config file");
    let mut host = iox::host(variant, &config, "heap", scenario.service.clone()).expect("a host");
    let outcome = lockstep::run(scenario, &quirks, host.as_mut(), &mut Silent);
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
        if !is_clean(scenario, variant, sandbox, quirks) {
            return None;
        }
    }
    let mut left = Vec::with_capacity(RUNS.1);
    for _ in 0..RUNS.1 {
        let before = HEAP.allocated();
        is_clean(scenario, variant, sandbox, quirks);
        left.push(HEAP.allocated().saturating_sub(before));
    }
    left.iter().all(|&bytes| bytes > 0).then_some(left)
}

#[test]
fn what_a_service_takes_of_the_heap_it_gives_back() {
    iox::silence();
    let sandbox = Sandbox::new().expect("a sandbox");
    let quirks = campaign::switches(&campaign::active_quirks().expect("quirks"));
    for variant in [Variant::Local, Variant::LocalThreadsafe] {
        let takes_long = |index: &u64| {
            matches!(
                Family::of_turn(*index),
                Family::Turnover | Family::Death | Family::Concurrency | Family::Neglect
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
