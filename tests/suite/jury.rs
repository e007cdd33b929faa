//! Properties of scenarios: generated, judged in child processes, and saved when they
//! fail.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use iox2_gauntlet::{
    actor::{child::Executable, serve::TracedStep},
    campaign,
    lockstep::{Outcome, Position},
    model::Promise,
    report::{describe_end, replay_command},
    runner::{Judgement, Layout, Runner},
    scenario::{Scenario, shrink},
    trial::Trial,
};
use proptest::{
    prelude::*,
    test_runner::{RngSeed, TestCaseError, TestError, TestRunner},
};

/// Scenarios tried at most to shrink one that fails.
const SHRINK_BUDGET: usize = 500;

/// A property judges a scenario; it fails if the outcome breaks a promise.
pub(crate) type Property = fn(&mut Runner, &Scenario, Trial) -> Outcome;

/// Observations held against each promise, over all scenarios of a property.
pub(crate) struct Checks(BTreeMap<Promise, u64>);

impl Checks {
    /// A property that exercised nothing proves nothing.
    #[track_caller]
    pub(crate) fn assert_exercised(&self, promises: &[Promise]) {
        for promise in promises {
            assert!(self.count(*promise) > 0, "{promise} was never at stake: {:?}", self.0);
        }
    }

    pub(crate) fn count(&self, promise: Promise) -> u64 {
        self.0.get(&promise).copied().unwrap_or(0)
    }
}

/// A runner that breaks off at every broken promise, known or not.
pub(crate) fn strict_runner() -> Runner {
    Runner::new(Executable::gauntlet(env!("CARGO_BIN_EXE_gauntlet")))
}

/// A runner that lives with what is known of the release under test.
pub(crate) fn runner() -> Runner {
    let mut runner = strict_runner();
    runner.live_with(campaign::switches(&campaign::active_quirks().unwrap()));
    runner
}

/// The plainest property: every promise is kept.
pub(crate) fn keeps_its_promises(
    runner: &mut Runner,
    scenario: &Scenario,
    trial: Trial,
) -> Outcome {
    trial.judge(runner, scenario, false).unwrap().outcome
}

/// Mostly all in one process, which is ten times faster, and sometimes each in its own.
pub(crate) fn layouts() -> impl Strategy<Value = Trial> {
    prop_oneof![9 => Just(Layout::Together.into()), 1 => Just(Layout::Apart.into())]
}

/// Checks a property of `cases` scenarios, or of as many as `PROPTEST_CASES` says. They
/// are the same in every run unless `PROPTEST_RNG_SEED` is set.
#[track_caller]
pub(crate) fn for_all(
    cases: u32,
    scenarios: impl Strategy<Value = (Scenario, Trial)>,
    property: Property,
) -> Checks {
    let from_environment = ProptestConfig::default();
    let mut tests = TestRunner::new(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(cases, |_| from_environment.cases),
        rng_seed: match from_environment.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            fixed @ RngSeed::Fixed(_) => fixed,
        },
        failure_persistence: None,
        // A scenario has a shrinker of its own, which knows what its steps mean.
        max_shrink_iters: 0,
        ..from_environment
    });
    let runner = RefCell::new(runner());
    let checks = RefCell::new(BTreeMap::new());
    let result = tests.run(&scenarios.prop_map(Rc::new), |case| {
        let (scenario, trial) = &*case;
        let outcome = property(&mut runner.borrow_mut(), scenario, *trial);
        for (promise, count) in &outcome.checks {
            *checks.borrow_mut().entry(*promise).or_default() += count;
        }
        if outcome.end.is_kept() {
            return Ok(());
        }
        Err(TestCaseError::fail(describe_end(&outcome.end)))
    });
    match result {
        Ok(()) => Checks(checks.into_inner()),
        Err(TestError::Fail(_, case)) => {
            let (scenario, trial) = &*case;
            panic!("{}", shrunk_and_saved(&mut runner.borrow_mut(), scenario, *trial, property));
        }
        Err(TestError::Abort(why)) => panic!("no scenario could be generated: {why}"),
    }
}

/// What is broken, by how few steps, and how to see it again.
pub(crate) fn shrunk_and_saved(
    runner: &mut Runner,
    scenario: &Scenario,
    trial: impl Into<Trial>,
    property: Property,
) -> String {
    let trial = trial.into();
    let first = property(runner, scenario, trial).end;
    let Some(promise) = first.promise() else {
        return format!("a scenario failed once and not again:\n{}", toml(scenario));
    };
    let small = shrink::shrink(scenario, SHRINK_BUDGET, |candidate| {
        property(runner, candidate, trial).end.promise() == Some(promise)
    });
    let end = property(runner, &small, trial).end;
    let path = case_path(promise);
    let lenient = campaign::save_case(&path, &small, &end, runner, trial).unwrap();
    format!(
        "{promise} is broken: {}\n{}\n({}, {} steps instead of {})\nsaved, replay with: {}",
        promise.sentence(),
        describe_end(&end),
        trial.venue(),
        small.steps.len(),
        scenario.steps.len(),
        replay_command(&path, trial, lenient),
    )
}

fn case_path(promise: Promise) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cases");
    fs::create_dir_all(&dir).unwrap();
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test").replace("::", "-");
    dir.join(format!("{test}-{promise}.toml"))
}

fn toml(scenario: &Scenario) -> String {
    scenario.to_toml("", |_| None)
}

/// Runs a scenario with all participants in one process and returns its outcome and
/// what each of its steps gave, in the words of a trace.
#[track_caller]
pub(crate) fn traced(runner: &mut Runner, scenario: &Scenario) -> Vec<TracedStep> {
    let Judgement { outcome, trace } = runner.judge(scenario, Layout::Together, true).unwrap();
    if !outcome.end.is_kept() {
        panic!("{}", shrunk_and_saved(runner, scenario, Layout::Together, keeps_its_promises));
    }
    trace
}

/// What the steps for which `which` holds gave, in order; a skipped step gave `skipped`.
pub(crate) fn observed<'a>(
    scenario: &Scenario,
    trace: &'a [TracedStep],
    which: impl Fn(&iox2_gauntlet::scenario::Step) -> bool,
) -> Vec<&'a str> {
    let steps = scenario.steps.iter().enumerate().filter(|(_, step)| which(step));
    steps
        .map(|(i, _)| {
            let step = trace.iter().find(|traced| traced.position == Position::Step(i));
            step.map_or("skipped", |step| step.observed.as_str())
        })
        .collect()
}

/// The proof of a quirk among steps that have nothing to do with it, judged strictly.
#[cfg(iox2_at_least_0_10)]
#[test]
fn a_property_that_fails_says_what_is_broken_by_how_few_steps_and_how_to_see_it() {
    use iox2_gauntlet::{model::quirk::Quirk, scenario::Step};

    let known = Quirk::known().unwrap();
    let quirk = known.iter().find(|quirk| quirk.id == "gone-server-stays-connected").unwrap();
    let mut scenario = quirk.scenario.clone();
    for _ in 0..20 {
        scenario.steps.push(Step::InspectService { participant: 0 });
        scenario.steps.insert(1, Step::InspectService { participant: 0 });
    }
    let strictly: Property = |runner, scenario, trial| {
        runner.live_with(std::collections::BTreeSet::new());
        keeps_its_promises(runner, scenario, trial)
    };
    let failed = std::panic::catch_unwind(|| {
        for_all(1, Just((scenario, Layout::Together.into())), strictly);
    });
    let message = failed.unwrap_err().downcast::<String>().unwrap();
    let (what, replay) = message.split_once("\nsaved, replay with: ").unwrap();
    assert!(what.starts_with("pending-response-connection is broken: "), "{message}");
    assert!(what.contains("\n  observed: connected true"), "{message}");
    let steps = quirk.scenario.steps.len();
    assert!(what.ends_with(&format!("(together, ipc, {steps} steps instead of {})", steps + 40)));
    let path = replay.split_once(" -- replay ").unwrap().1;
    assert_eq!(Scenario::load(Path::new(path)).unwrap().steps.len(), steps);
}
