//! A hunt judges a scenario once more without a quirk only where that one mattered: it has to find
//! what judging all of them without it finds, and as soon.

use std::{collections::BTreeSet, time::Duration};

use iox2_gauntlet::{
    actor::child::Executable,
    campaign::{
        active_quirks,
        hunt::{HuntPlan, hunt},
        switches,
    },
    runner::{Runner, Venue},
    scenario::generate::scenario_of_run,
};

const SEED: u64 = 1;

/// Scenarios per quirk.
const SCENARIOS: u64 = 40;

/// Whether quirks whose ids contain this were hunted, and each was found as soon as it can be.
fn is_found_as_soon_as_without_it(filter: &str) -> bool {
    let executable = Executable::gauntlet(env!("CARGO_BIN_EXE_gauntlet"));
    let plan = HuntPlan {
        executable: executable.clone(),
        seeds: SEED,
        scenarios: SCENARIOS,
        time: Duration::from_secs(60),
        jobs: 1,
        filter: filter.to_owned(),
    };
    let quarries = hunt(&plan, &Default::default(), &|_, _, _| ()).unwrap();
    let quirks = active_quirks().unwrap();
    let mut runner = Runner::new(executable);
    for quarry in &quarries {
        let quirk = quirks.iter().find(|quirk| quirk.id == quarry.quirks[0]).unwrap();
        let others: BTreeSet<_> =
            switches(&quirks).into_iter().filter(|other| Some(*other) != quirk.switch).collect();
        runner.live_with(others);
        let shows = |index: &u64| {
            let scenario = scenario_of_run(SEED, *index);
            let venue = Venue::suited_to(&scenario, quirk.variant);
            let end = runner.judge(&scenario, venue, false).unwrap().outcome.end;
            end.promise() == Some(quirk.promise)
        };
        let first = (0..SCENARIOS).find(shows).map(|index| index + 1);
        let found = quarry.found[0].map(|effort| effort.scenarios);
        assert_eq!(found, first, "{:?}", quarry.quirks);
    }
    !quarries.is_empty()
}

#[test]
fn what_is_tolerated_is_found_as_soon_as_it_shows() {
    assert!(is_found_as_soon_as_without_it("gone-client-loses-slice-requests"));
    assert!(is_found_as_soon_as_without_it("failed-request-growth-leaves-segment"));
}

/// Both kinds: a step that is left out, and a setting that is another one.
#[cfg(iox2_at_least_0_10)]
#[test]
fn what_is_steered_around_is_found_as_soon_as_it_shows() {
    assert!(is_found_as_soon_as_without_it("reduced-client-preallocation-crashes"));
    assert!(is_found_as_soon_as_without_it("zero-limit-of-created-service"));
}

#[test]
fn what_only_local_services_have_is_found_as_soon_as_it_shows() {
    assert!(is_found_as_soon_as_without_it("impossible-local-loan-panics"));
}
