//! Every check can fail: a saboteur breaks one promise, the engine names it, and the
//! scenario that shows it shrinks to a handful of steps.

use std::collections::BTreeSet;

use iox2_gauntlet::{
    actor::{
        iox,
        sabotage::{Sabotage, Saboteur},
    },
    campaign, lockstep,
    model::{Promise, Switch},
    sandbox::Sandbox,
    scenario::{Scenario, generate::scenario_of_run, shrink::shrink},
};

/// Scenarios within which a saboteur has to be caught.
const PATIENCE: u64 = 150;

/// Promises no saboteur of observations can break, and what shows their teeth instead.
const ELSEWHERE: [(Promise, &str); 11] = [
    (Promise::VariantsAgree, "trial: the first observation that differs breaks the promise there"),
    (
        Promise::NeverCrashes,
        "interrupted: a child that ends is a crash with its signal or exit code",
    ),
    (Promise::NeverHangs, "interrupted: a child that does not answer is hung and killed"),
    (Promise::NothingIsLeftBehind, "sandbox: what a sandbox holds is seen by the census"),
    (Promise::StrategiesAgree, "compares two runs, not one observation; no teeth yet"),
    (
        Promise::ImpossibleLoanIsOutOfMemory,
        "steered around where quirks forbid it; quirk impossible-loan-is-internal-failure",
    ),
    (Promise::GrowthEndsInOutOfMemory, "many_growths; on iceoryx2 0.9.3 it crashes there"),
    (Promise::ResponseReachesOnlyItsRequest, "quirk response-reaches-another-client"),
    (Promise::LateServerGetsNoOldRequest, "no teeth yet: needs a server that remembers"),
    (Promise::FireAndForgetDelivers, "quirk gone-client-loses-slice-requests"),
    (Promise::NoFireAndForgetDiscards, "no teeth yet: needs a server that remembers"),
];

/// Promises whose breach is a refinement of a loss or a wrong order.
const REFINEMENTS: [Promise; 3] = [
    Promise::RequestOverflowEvictsOldest,
    Promise::ResponseOverflowEvictsOldest,
    Promise::DiscardKeepsBuffered,
];

struct Bench {
    sandbox: Sandbox,
    quirks: BTreeSet<Switch>,
    runs: usize,
}

impl Bench {
    fn new() -> Self {
        iox::silence();
        let quirks = campaign::switches(&campaign::active_quirks().unwrap());
        Self { sandbox: Sandbox::new().unwrap(), quirks, runs: 0 }
    }

    /// The promise the sabotaged run breaks.
    fn judge(&mut self, scenario: &Scenario, sabotage: Sabotage) -> Option<Promise> {
        self.runs += 1;
        let mut service = scenario.service.clone();
        service.via = iox2_gauntlet::scenario::SettingsVia::Builder;
        let name = format!("teeth/{}", self.runs);
        let scenario = Scenario { service: service.clone(), ..scenario.clone() };
        let host = iox::Ipc::new(&self.sandbox.config_path(), &name, service).unwrap();
        let mut saboteur = Saboteur::new(host, sabotage);
        let outcome = lockstep::run(&scenario, &self.quirks, &mut saboteur, &mut lockstep::Silent);
        outcome.end.promise()
    }
}

#[test]
fn every_saboteur_is_caught_by_the_promise_it_breaks_and_its_case_shrinks() {
    let mut bench = Bench::new();
    let mut failures = Vec::new();
    for &sabotage in Sabotage::ALL {
        let promise = sabotage.breaks();
        let caught = (0..PATIENCE)
            // Long runs of growths show no more than the others here.
            .filter(|index| index % 64 != 7)
            .find_map(|index| {
                let scenario = scenario_of_run(3, index);
                (bench.judge(&scenario, sabotage) == Some(promise)).then_some((index, scenario))
            });
        let Some((index, scenario)) = caught else {
            failures
                .push(format!("{sabotage:?} was not caught as {promise} in {PATIENCE} scenarios"));
            continue;
        };
        let small =
            shrink(&scenario, 300, |candidate| bench.judge(candidate, sabotage) == Some(promise));
        println!(
            "{sabotage:?}: {promise} after {} scenarios, {} steps",
            index + 1,
            small.steps.len()
        );
        if small.steps.len() > 15 {
            failures.push(format!("{sabotage:?} shrank to {} steps only", small.steps.len()));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_promise_has_teeth_or_a_reason() {
    let bitten: BTreeSet<_> = Sabotage::ALL.iter().map(|sabotage| sabotage.breaks()).collect();
    let excused: BTreeSet<_> =
        ELSEWHERE.iter().map(|(promise, _)| *promise).chain(REFINEMENTS).collect();
    for promise in Promise::ALL {
        assert_ne!(
            bitten.contains(promise),
            excused.contains(promise),
            "{promise} needs a saboteur or a reason, not both"
        );
    }
}
