//! How a scenario is judged: by itself at one venue, or against a second run that must
//! observe the same.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    actor::{HostError, variant::Variant},
    coverage::Whole,
    lockstep::End,
    model::{Promise, judge::Breach},
    runner::{Judgement, Layout, Runner, Venue},
    scenario::{Scenario, Step, Strategy, is_reduced},
};

/// How a scenario is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trial {
    /// By itself.
    At(Venue),
    /// Against the same with `BestFit` and `PowerOfTwo` exchanged.
    AgainstOtherStrategies,
    /// Against the same on another service variant.
    AgainstVariant(Variant),
}

impl From<Layout> for Trial {
    fn from(layout: Layout) -> Self {
        Self::At(layout.into())
    }
}

/// As arguments of `gauntlet replay`, each with a blank in front.
impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AgainstOtherStrategies => f.write_str(" --against strategies"),
            Self::AgainstVariant(variant) => write!(f, " --against {variant}"),
            Self::At(Venue { layout, variant }) => {
                if layout == Layout::Apart {
                    f.write_str(" --apart")?;
                }
                if variant != Variant::Ipc {
                    write!(f, " --variant {variant}")?;
                }
                Ok(())
            }
        }
    }
}

impl Trial {
    /// Where it takes place, of two runs the first.
    #[must_use]
    pub fn venue(self) -> Venue {
        match self {
            Self::At(venue) => venue,
            Self::AgainstOtherStrategies | Self::AgainstVariant(_) => Layout::Together.into(),
        }
    }

    /// Judges a scenario; a comparison is always traced.
    ///
    /// # Errors
    /// If the harness fails or the venue is impossible.
    pub fn judge(
        self,
        runner: &mut Runner,
        scenario: &Scenario,
        trace: bool,
    ) -> Result<Judgement, HostError> {
        let (second, promise, what_differs) = match self {
            Self::At(venue) => return runner.judge(scenario, venue, trace),
            Self::AgainstOtherStrategies => (
                Self::At(Layout::Together.into()),
                Promise::StrategiesAgree,
                "with BestFit and PowerOfTwo exchanged".to_owned(),
            ),
            Self::AgainstVariant(variant) => (
                Self::At(Venue::together_on(variant)),
                Promise::VariantsAgree,
                format!("on {variant}"),
            ),
        };
        let first = runner.judge(scenario, Layout::Together, true)?;
        let changed = self.changed(scenario);
        let second = second.judge(runner, &changed, true)?;
        Ok(if self == Self::AgainstOtherStrategies && has_reduced_ports(scenario) {
            // When such a port runs out of memory depends on how it grows.
            if first.outcome.end.is_kept() { second } else { first }
        } else {
            compare(first, second, promise, &what_differs)
        })
    }

    /// The scenario of the second run.
    fn changed(self, scenario: &Scenario) -> Cow<'_, Scenario> {
        match self {
            Self::AgainstOtherStrategies => Cow::Owned(exchange_strategies(scenario)),
            Self::At(_) | Self::AgainstVariant(_) => Cow::Borrowed(scenario),
        }
    }

    /// The ways in which either run can be had alone.
    #[must_use]
    pub fn halves(self, scenario: &Scenario) -> Vec<(Self, Scenario)> {
        let first = (Layout::Together.into(), scenario.clone());
        match self {
            Self::At(_) => Vec::new(),
            Self::AgainstOtherStrategies => {
                vec![first, (Layout::Together.into(), exchange_strategies(scenario))]
            }
            Self::AgainstVariant(variant) => {
                vec![first, (Self::At(Venue::together_on(variant)), scenario.clone())]
            }
        }
    }
}

/// The first of two judgements, broken if the second observed something else.
fn compare(first: Judgement, second: Judgement, promise: Promise, what_differs: &str) -> Judgement {
    let ran_out_early =
        |judged: &Judgement| judged.outcome.sightings.keys().any(|quirk| quirk.depends_on_memory());
    if !first.outcome.end.is_kept() {
        // Reported for itself; what follows a breach cannot be compared.
        return first;
    }
    if !second.outcome.end.is_kept() {
        return second;
    }
    if ran_out_early(&first) || ran_out_early(&second) {
        // When memory runs out that should not, it does so earlier or later.
        return first;
    }
    let mut judged = first;
    judged.outcome.note_of_the_whole(promise, Whole::Comparison);
    // What is meant to differ stands in the action, nowhere else. Where only one of the two
    // takes a step, a quirk of the other is steered around, and they part there; so they do
    // where only one loses what may be lost, as it was in another segment.
    let together = judged.trace.iter().zip(&second.trace);
    let differing = together
        .take_while(|(a, b)| a.position == b.position)
        .find(|(a, b)| a.observed != b.observed);
    if let Some((a, b)) = differing.filter(|(a, b)| !(a.may_lose_a_message && b.may_lose_a_message))
    {
        judged.outcome.end = End::Broken {
            position: a.position,
            action: a.action.clone(),
            breach: Breach {
                promise,
                expected: a.observed.clone(),
                observed: format!("{} {what_differs}", b.observed),
            },
        };
    }
    judged
}

/// Whether some port has fewer chunks than it may need.
fn has_reduced_ports(scenario: &Scenario) -> bool {
    let repeated = scenario.repeat.iter().flat_map(|repeat| &repeat.steps);
    scenario.steps.iter().chain(repeated).any(|step| {
        matches!(
            step,
            Step::CreateClient { preallocate, .. } | Step::CreateServer { preallocate, .. }
                if is_reduced(*preallocate)
        )
    })
}

/// The scenario with `BestFit` for `PowerOfTwo` and the other way round.
#[must_use]
pub fn exchange_strategies(scenario: &Scenario) -> Scenario {
    let mut exchanged = scenario.clone();
    let repeated = exchanged.repeat.iter_mut().flat_map(|repeat| &mut repeat.steps);
    let of_ports = exchanged.steps.iter_mut().chain(repeated).filter_map(|step| match step {
        Step::CreateClient { strategy, .. } | Step::CreateServer { strategy, .. } => Some(strategy),
        _ => None,
    });
    let service = &mut exchanged.service;
    let by_key = [&mut service.client_allocation_strategy, &mut service.server_allocation_strategy];
    for strategy in of_ports.chain(by_key.into_iter().flatten()) {
        *strategy = match *strategy {
            Strategy::Static => Strategy::Static,
            Strategy::BestFit => Strategy::PowerOfTwo,
            Strategy::PowerOfTwo => Strategy::BestFit,
        };
    }
    exchanged
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        actor::{ActionKind, serve::TracedStep},
        coverage::Coverage,
        lockstep::{Outcome, Position},
        model::Switch,
    };

    fn judgement(observed: &[&str]) -> Judgement {
        let step = |(i, observed): (usize, &&str)| TracedStep {
            position: Position::Step(i),
            kind: ActionKind::Join,
            action: "an action".to_owned(),
            expected: String::new(),
            observed: (*observed).to_owned(),
            may_lose_a_message: false,
        };
        Judgement {
            outcome: Outcome {
                checks: BTreeMap::new(),
                coverage: Coverage::default(),
                sightings: BTreeMap::new(),
                steered: Default::default(),
                known_leftovers: Default::default(),
                performed: observed.len(),
                skipped: 0,
                is_adrift: false,
                end: End::Kept,
            },
            trace: observed.iter().enumerate().map(step).collect(),
        }
    }

    fn compared(first: Judgement, second: Judgement) -> Outcome {
        compare(first, second, Promise::VariantsAgree, "on local").outcome
    }

    #[test]
    fn the_first_observation_that_differs_breaks_the_promise_there() {
        let outcome = compared(judgement(&["ok", "1", "2"]), judgement(&["ok", "3", "4"]));
        let End::Broken { position, breach, .. } = outcome.end else { panic!("kept") };
        assert_eq!(position, Position::Step(1));
        assert_eq!(breach.promise, Promise::VariantsAgree);
        assert_eq!((breach.expected.as_str(), breach.observed.as_str()), ("1", "3 on local"));
    }

    #[test]
    fn equal_observations_keep_the_promise() {
        let outcome = compared(judgement(&["ok", "1"]), judgement(&["ok", "1"]));
        assert_eq!((outcome.end, outcome.checks[&Promise::VariantsAgree]), (End::Kept, 1));
    }

    #[test]
    fn runs_are_compared_up_to_the_step_only_one_of_them_takes() {
        let mut second = judgement(&["ok", "1", "2"]);
        second.trace.remove(1);
        assert_eq!(compared(judgement(&["ok", "1", "2"]), second.clone()).end, End::Kept);
        let outcome = compared(judgement(&["no", "1", "2"]), second);
        assert_eq!(outcome.end.promise(), Some(Promise::VariantsAgree));
    }

    #[test]
    fn runs_that_ran_out_of_memory_they_should_have_are_not_compared() {
        let mut first = judgement(&["1"]);
        first.outcome.sightings.insert(Switch::FailedGrowthSticks, 1);
        let outcome = compared(first, judgement(&["2"]));
        assert_eq!(outcome.end, End::Kept);
        assert!(!outcome.checks.contains_key(&Promise::VariantsAgree));
    }

    #[test]
    fn a_message_that_may_be_lost_may_be_lost_in_one_of_the_runs() {
        let losing = |observed: &[&str]| {
            let mut judged = judgement(observed);
            judged.trace[1].may_lose_a_message = true;
            judged
        };
        assert_eq!(compared(losing(&["ok", "1", "2"]), losing(&["ok", "-", "-"])).end, End::Kept);
        let outcome = compared(losing(&["ok", "1"]), judgement(&["ok", "-"]));
        assert_eq!(outcome.end.promise(), Some(Promise::VariantsAgree));
    }

    #[test]
    fn runs_that_met_another_quirk_are_compared() {
        let mut first = judgement(&["1"]);
        first.outcome.sightings.insert(Switch::OldResponsesAreAnnounced, 1);
        let outcome = compared(first, judgement(&["2"]));
        assert_eq!(outcome.end.promise(), Some(Promise::VariantsAgree));
    }
}
