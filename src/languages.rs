//! Participants in other languages: the same scenarios, judged by the same model, with every
//! other participant in Python.
//!
//! Clients and servers of a participant live in its process, so requests, responses, growth
//! and held data cross the border between the languages in both directions. What the Python
//! package does not offer is left out of the scenarios ([`speakable`]).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    actor::{HostError, child::Executable, version::IOX2_VERSION},
    campaign::{self, CampaignError},
    lockstep::End,
    model::Promise,
    report::{describe_end, environment_of_python},
    runner::{Layout, Runner},
    scenario::{
        LoanForm, Payloads, Requirement, Scenario, Step,
        generate::{Family, scenario_of_run},
        shrink,
    },
};

/// The participant in Python, as it is written to a run's directory.
const HOST: &str = include_str!("../fixtures/python/host.py");

/// Longest payload in bytes: Python fills and checks byte by byte.
const LONGEST: usize = 1 << 16;

/// Scenarios tried at most to shrink a case, and the time for it.
const SHRINK_BUDGET: usize = 200;
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// Time for one action: an interpreter has to start.
const DEADLINE: Duration = Duration::from_secs(10);

/// What to judge.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `gauntlet` executable, for the participants in Rust.
    pub executable: Executable,
    /// A Python interpreter that has the package `iceoryx2`.
    pub python: PathBuf,
    /// Seed of the generated scenarios.
    pub seed: u64,
    /// For so long scenarios are generated.
    pub time: Duration,
    /// No more than these.
    pub scenarios: u64,
    /// Where cases go.
    pub out: PathBuf,
}

/// A promise that is broken between the languages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Case {
    /// Which promise.
    pub promise: Promise,
    /// How the scenario ends.
    pub end: String,
    /// The scenario.
    pub case: PathBuf,
    /// Scenarios that broke this promise.
    pub times: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LanguagesReport {
    /// The version of the Python package, or why there is none.
    pub python: String,
    /// Whether anything could be judged.
    pub supported: bool,
    /// Scenarios with participants in both languages.
    pub scenarios: usize,
    /// Their steps.
    pub steps: usize,
    /// Observations held against each promise.
    pub checks: BTreeMap<Promise, u64>,
    /// Broken promises.
    pub cases: Vec<Case>,
}

/// The scenario without what the Python package does not offer; `None` if nothing is left for
/// two participants to do.
///
/// ```
/// use iox2_gauntlet::{languages::speakable, scenario::{Scenario, Step, Strategy}};
///
/// let alone = Scenario::of_steps(vec![Step::create_client(0, Strategy::BestFit, 8)]);
/// assert!(speakable(&alone).is_none());
/// ```
#[must_use]
pub fn speakable(scenario: &Scenario) -> Option<Scenario> {
    if scenario.service.payload != Payloads::Bytes || scenario.repeat.is_some() {
        return None;
    }
    let mut spoken = scenario.clone();
    // There are no handlers.
    let service = &mut spoken.service;
    service.client_backpressure = service.client_backpressure.strategy();
    service.server_backpressure = service.server_backpressure.strategy();
    spoken.steps.retain_mut(|step| match step {
        // No such methods.
        Step::UpdateClient { .. } | Step::UpdateServer { .. } => false,
        Step::Join {
            require: Some(Requirement::RequestPayload(_) | Requirement::ResponsePayload(_)),
            ..
        } => false,
        Step::CreateClient { hint, preallocate, .. }
        | Step::CreateServer { hint, preallocate, .. } => {
            *preallocate = None;
            *hint <= LONGEST
        }
        Step::LoanRequest { len, form, .. } | Step::LoanResponse { len, form, .. } => {
            // There is `loan_slice_uninit` only.
            *form = LoanForm::WriteFromSlice;
            *len <= LONGEST
        }
        _ => true,
    });
    let joins = spoken.steps.iter().filter(|step| matches!(step, Step::Join { .. })).count();
    (joins >= 2).then_some(spoken)
}

/// Judges fixtures and generated scenarios. Without the Python package nothing is judged, and
/// the report says why.
///
/// # Errors
/// If the harness fails.
pub fn run(
    plan: &Plan,
    interrupted: &Arc<AtomicBool>,
    progress: &dyn Fn(usize),
) -> Result<LanguagesReport, CampaignError> {
    let mut report = LanguagesReport::default();
    match environment_of_python(&plan.python) {
        // Releases do not talk to each other.
        Ok(version) if version != IOX2_VERSION => {
            report.python = format!("it has {version}, this is compiled against {IOX2_VERSION}");
            return Ok(report);
        }
        Ok(version) => report.python = version,
        Err(reason) => {
            report.python = reason;
            return Ok(report);
        }
    }
    report.supported = true;
    let host = write_host(&plan.out)?;
    let python = Executable { path: plan.python.clone(), arguments: vec![host.into()] };
    let mut runner = Runner::new(plan.executable.clone())
        .with_every_other_from(python)
        .with_deadline(DEADLINE)
        .interrupted_by(Arc::clone(interrupted));
    runner.live_with(campaign::switches(&campaign::active_quirks()?));
    let until = Instant::now() + plan.time;
    let fixtures = campaign::fixtures()?.into_iter().map(|(_, scenario)| scenario);
    let generated = (0..plan.scenarios)
        .filter(|&index| !matches!(Family::of_turn(index), Family::Turnover | Family::ManyGrowths))
        .map(|index| scenario_of_run(plan.seed, index));
    for scenario in fixtures.chain(generated).filter_map(|scenario| speakable(&scenario)) {
        if Instant::now() >= until || interrupted.load(Ordering::Relaxed) {
            break;
        }
        judge(&mut runner, &scenario, plan, &mut report)?;
        progress(report.scenarios);
    }
    Ok(report)
}

fn judge(
    runner: &mut Runner,
    scenario: &Scenario,
    plan: &Plan,
    report: &mut LanguagesReport,
) -> Result<(), CampaignError> {
    let outcome = runner.judge(scenario, Layout::Apart, false)?.outcome;
    report.scenarios += 1;
    report.steps += outcome.performed;
    for (promise, count) in outcome.checks {
        *report.checks.entry(promise).or_default() += count;
    }
    let Some(promise) = outcome.end.promise() else { return Ok(()) };
    if let Some(known) = report.cases.iter_mut().find(|case| case.promise == promise) {
        known.times += 1;
        return Ok(());
    }
    let until = Instant::now() + SHRINK_TIME;
    let small = shrink::shrink(scenario, SHRINK_BUDGET, |candidate| {
        Instant::now() < until
            && runner
                .judge(candidate, Layout::Apart, false)
                .is_ok_and(|judged| judged.outcome.end.promise() == Some(promise))
    });
    let end: End = runner.judge(&small, Layout::Apart, false)?.outcome.end;
    let end = if end.promise() == Some(promise) { end } else { outcome.end };
    let case = plan.out.join("cases").join(format!("python-{promise}.toml"));
    let header = format!("broken between Rust and Python: {promise}\n{}", describe_end(&end));
    std::fs::write(&case, small.to_toml(&header, |_| None))
        .map_err(|source| CampaignError::Save { path: case.clone(), source })?;
    report.cases.push(Case { promise, end: describe_end(&end), case, times: 1 });
    Ok(())
}

/// Judges one scenario with every other participant in Python.
///
/// # Errors
/// If the harness fails or the scenario needs what Python does not offer.
pub fn replay(plan: &Plan, scenario: &Scenario) -> Result<End, CampaignError> {
    let host = write_host(&plan.out)?;
    let python = Executable { path: plan.python.clone(), arguments: vec![host.into()] };
    let mut runner =
        Runner::new(plan.executable.clone()).with_every_other_from(python).with_deadline(DEADLINE);
    let spoken = speakable(scenario).ok_or_else(|| {
        HostError::Harness("this scenario has nothing to do for a participant in Python".to_owned())
    })?;
    Ok(runner.judge(&spoken, Layout::Apart, false)?.outcome.end)
}

fn write_host(dir: &Path) -> Result<PathBuf, CampaignError> {
    let path = dir.join("host.py");
    std::fs::write(&path, HOST)
        .map_err(|source| CampaignError::Save { path: path.clone(), source })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Backpressure, OpenMode, Settings, Strategy};

    fn join() -> Step {
        Step::Join { how: OpenMode::default(), require: None }
    }

    #[test]
    fn what_python_cannot_do_is_left_out_and_the_rest_stays() {
        let long = |len| Step::LoanRequest { client: 0, len, form: LoanForm::Default };
        let kept = [join(), join(), Step::create_client(0, Strategy::BestFit, 8)];
        let steps = [&kept[..], &[Step::UpdateClient { client: 0 }, long(1 << 20), long(9)]];
        let fails = Backpressure::DiscardDataAndFail;
        let service = Settings { client_backpressure: fails, ..Settings::default() };
        let scenario = Scenario { service, ..Scenario::of_steps(steps.concat()) };
        let spoken = speakable(&scenario).expect("it has two joins");
        assert_eq!(spoken.service.client_backpressure, Backpressure::DiscardData);
        let written = Step::LoanRequest { client: 0, len: 9, form: LoanForm::WriteFromSlice };
        assert_eq!(spoken.steps, [&kept[..], &[written]].concat());
    }

    #[test]
    fn whoever_is_alone_speaks_to_nobody() {
        assert_eq!(speakable(&Scenario::of_steps(vec![join()])), None);
        let words = Settings { payload: Payloads::Words, ..Default::default() };
        let scenario = Scenario { service: words, ..Scenario::of_steps(vec![join(), join()]) };
        assert_eq!(speakable(&scenario), None);
    }
}
