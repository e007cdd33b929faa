//! One scenario under two strategies that promise to differ in memory only.

use crate::{
    actor::HostError,
    coverage::Whole,
    lockstep::End,
    model::{Promise, judge::Breach},
    runner::{Judgement, Layout, Runner},
    scenario::{Scenario, Step, Strategy},
};

/// Runs a scenario as it is and with `BestFit` and `PowerOfTwo` exchanged; both must
/// observe the same.
///
/// # Errors
/// If the harness fails.
pub fn judge_with_exchanged_strategies(
    runner: &mut Runner,
    scenario: &Scenario,
) -> Result<Judgement, HostError> {
    let mut first = runner.judge(scenario, Layout::Together, true)?;
    let second = runner.judge(&exchange_strategies(scenario), Layout::Together, true)?;
    if !first.outcome.end.is_kept() || !second.outcome.end.is_kept() {
        // Reported for itself; what follows a breach cannot be compared.
        return Ok(if first.outcome.end.is_kept() { second } else { first });
    }
    first.outcome.note_of_the_whole(Promise::StrategiesAgree, Whole::Comparison);
    let differing = first.trace.iter().zip(&second.trace).find(|(a, b)| {
        // The strategies of ports stand in the action, nowhere else.
        a.observed != b.observed
    });
    if let Some((a, b)) = differing {
        first.outcome.end = End::Broken {
            position: a.position,
            action: a.action.clone(),
            breach: Breach {
                promise: Promise::StrategiesAgree,
                expected: a.observed.clone(),
                observed: format!("{} with BestFit and PowerOfTwo exchanged", b.observed),
            },
        };
    }
    Ok(first)
}

/// The scenario with `BestFit` for `PowerOfTwo` and the other way round.
#[must_use]
pub fn exchange_strategies(scenario: &Scenario) -> Scenario {
    let mut exchanged = scenario.clone();
    let repeated = exchanged.repeat.iter_mut().flat_map(|repeat| &mut repeat.steps);
    for step in exchanged.steps.iter_mut().chain(repeated) {
        if let Step::CreateClient { strategy, .. } | Step::CreateServer { strategy, .. } = step {
            *strategy = match *strategy {
                Strategy::Static => Strategy::Static,
                Strategy::BestFit => Strategy::PowerOfTwo,
                Strategy::PowerOfTwo => Strategy::BestFit,
            };
        }
    }
    exchanged
}
