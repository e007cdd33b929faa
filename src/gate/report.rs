//! What changes between two releases, as data; the views are with the other
//! [views](crate::report).

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Build,
    deltas::{Delta, Timing},
    judge::Standing,
};
use crate::{
    model::Promise,
    report::{RunReport, Verdict},
    trial::Trial,
};

/// Version of the JSON report.
pub const SCHEMA: u32 = 1;

/// What became of something from the baseline to the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// As before.
    Same,
    /// One of the two has no such API.
    Unsupported,
    /// One of the two breaks something else before.
    Unclear,
    /// It did not show every time.
    Spurious,
    /// Otherwise than before, and neither better nor worse.
    Changed,
    /// A promise that was broken is kept.
    Fixed,
    /// A promise that was kept is broken, or what was broken crashes now.
    Regressed,
}

impl Word {
    /// What became of a promise.
    #[must_use]
    pub fn of(baseline: &Standing, candidate: &Standing) -> Self {
        let either = |is: fn(&Standing) -> bool| is(baseline) || is(candidate);
        if either(|standing| matches!(standing, Standing::Flaky(..))) {
            return Self::Spurious;
        }
        if either(|standing| matches!(standing, Standing::Masked(_))) {
            return Self::Unclear;
        }
        match (baseline.badness(), candidate.badness()) {
            (Some(before), Some(now)) if before == now => Self::Same,
            (Some(before), Some(now)) if now > before => Self::Regressed,
            (Some(_), Some(0)) => Self::Fixed,
            (Some(_), Some(_)) => Self::Changed,
            _ => Self::Unsupported,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "same",
            Self::Unsupported => "unsupported",
            Self::Unclear => "unclear",
            Self::Spurious => "spurious",
            Self::Changed => "changed",
            Self::Fixed => "fixed",
            Self::Regressed => "REGRESSED",
        })
    }
}

/// Where a case comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The proof of a known quirk.
    Quirk,
    /// Found by the run on the baseline.
    Baseline,
    /// Found by the run on the candidate.
    Candidate,
    /// Found where generated scenarios differ.
    Compared,
}

/// A scenario and what the two releases make of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// What became of it.
    pub word: Word,
    /// A quirk's id, the origin of a finding, or the kind of step that differs.
    pub name: String,
    /// The promise at stake, if one is.
    pub promise: Option<Promise>,
    /// Where it comes from.
    pub origin: Origin,
    /// How baseline and candidate do.
    pub standings: [Standing; 2],
    /// The scenario.
    pub file: PathBuf,
    /// How it was judged.
    pub trial: Trial,
    /// Of a quirk: whether its file says that it affects baseline and candidate.
    #[serde(default)]
    pub expected: Option<[bool; 2]>,
    /// What happens.
    #[serde(default)]
    pub sentence: Option<String>,
    /// How many generated scenarios showed it.
    pub times: usize,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Side {
    /// What was asked for: a version, a directory, a git revision.
    pub release: String,
    /// The version that is.
    pub version: String,
    /// Seconds to build the suite.
    pub build_seconds: f64,
    /// Scenarios its run judged.
    pub scenarios: usize,
    /// Steps its run judged.
    pub steps: usize,
    /// Promises by verdict.
    pub verdicts: BTreeMap<Verdict, usize>,
}

impl Side {
    /// From its build and run.
    #[must_use]
    pub fn new(build: &Build, run: &RunReport) -> Self {
        let mut verdicts = BTreeMap::new();
        for &promise in Promise::ALL {
            *verdicts.entry(run.verdict(promise)).or_default() += 1;
        }
        Self {
            release: build.release.to_string(),
            version: build.version.to_string(),
            build_seconds: build.seconds,
            scenarios: run.scenarios.values().sum(),
            steps: run.steps,
            verdicts,
        }
    }
}

/// What changes between two releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The release in use.
    pub baseline: Side,
    /// The one to move to.
    pub candidate: Side,
    /// Every promise in the two runs.
    pub promises: BTreeMap<Promise, [Verdict; 2]>,
    /// Every known case, tried on both.
    pub changes: Vec<Change>,
    /// Where generated scenarios differ.
    pub differences: Vec<Change>,
    /// Generated scenarios that were compared.
    pub compared_scenarios: u64,
    /// Their steps.
    pub compared_steps: usize,
    /// Defaults, keys, memory and growth that differ.
    pub facts: Vec<Delta>,
    /// What things take.
    pub timings: Vec<Timing>,
    /// Seed of the generated scenarios.
    pub seed: u64,
    /// Seconds it took, builds not counted.
    pub seconds: f64,
}

/// What fails the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Any regression.
    Regressions,
    /// Only a crash or a hang where there was none.
    Crashes,
    /// Anything that is not the same, time excepted.
    Changes,
    /// Nothing.
    Never,
}

impl GateReport {
    /// Known cases and differences.
    pub fn all(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().chain(&self.differences)
    }

    /// How many of them there are of each word.
    #[must_use]
    pub fn count(&self, word: Word) -> usize {
        self.all().filter(|change| change.word == word).count()
    }

    /// The worst of all.
    #[must_use]
    pub fn word(&self) -> Word {
        let facts = if self.facts.is_empty() { Word::Same } else { Word::Changed };
        // What one of the two lacks, or does not show every time, says nothing of a change; what
        // hides something else is a case of its own.
        let counts =
            |word: &Word| !matches!(word, Word::Unsupported | Word::Unclear | Word::Spurious);
        self.all().map(|change| change.word).filter(counts).max().unwrap_or(Word::Same).max(facts)
    }

    /// Quirks of which the file says something else than what was seen.
    pub fn misjudged(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| {
            change.expected.is_some_and(|expected| {
                change.standings.iter().zip(expected).any(|(standing, expected)| {
                    standing.badness().is_some_and(|badness| (badness > 0) != expected)
                })
            })
        })
    }

    /// Whether the policy lets the candidate pass.
    #[must_use]
    pub fn passes(&self, policy: Policy) -> bool {
        let is_new_crash = |change: &Change| {
            let crashes =
                |standing: &Standing| matches!(standing, Standing::Crashed(_) | Standing::Hung(_));
            crashes(&change.standings[1]) && !crashes(&change.standings[0])
        };
        match policy {
            Policy::Never => true,
            Policy::Crashes => !self.all().any(is_new_crash),
            Policy::Regressions => self.word() != Word::Regressed,
            Policy::Changes => self.word() == Word::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::deltas::Topic;

    fn broken() -> Standing {
        Standing::Broken("something".to_owned())
    }

    fn crashed() -> Standing {
        Standing::Crashed("something".to_owned())
    }

    #[test]
    fn every_pair_of_standings_has_its_word() {
        let missing = Standing::Unsupported("an API".to_owned());
        for (baseline, candidate, word) in [
            (Standing::Kept, Standing::Kept, Word::Same),
            (broken(), broken(), Word::Same),
            (Standing::Kept, broken(), Word::Regressed),
            (broken(), crashed(), Word::Regressed),
            (broken(), Standing::Kept, Word::Fixed),
            (crashed(), Standing::Kept, Word::Fixed),
            (crashed(), broken(), Word::Changed),
            (missing.clone(), broken(), Word::Unsupported),
            (Standing::Kept, missing, Word::Unsupported),
            (Standing::Flaky(1, 3), broken(), Word::Spurious),
            (Standing::Kept, Standing::Flaky(1, 3), Word::Spurious),
            (broken(), Standing::Masked(Promise::NeverCrashes), Word::Unclear),
        ] {
            assert_eq!(Word::of(&baseline, &candidate), word, "{baseline:?} {candidate:?}");
        }
    }

    fn report(changes: Vec<Change>, facts: Vec<Delta>) -> GateReport {
        let side = Side {
            release: "0.10.0".to_owned(),
            version: "0.10.0".to_owned(),
            build_seconds: 0.0,
            scenarios: 1,
            steps: 1,
            verdicts: BTreeMap::new(),
        };
        GateReport {
            schema: SCHEMA,
            baseline: side.clone(),
            candidate: side,
            promises: BTreeMap::new(),
            changes,
            differences: Vec::new(),
            compared_scenarios: 1,
            compared_steps: 1,
            facts,
            timings: Vec::new(),
            seed: 1,
            seconds: 1.0,
        }
    }

    fn change(baseline: Standing, candidate: Standing) -> Change {
        Change {
            word: Word::of(&baseline, &candidate),
            name: "x".to_owned(),
            promise: Some(Promise::NeverCrashes),
            origin: Origin::Quirk,
            standings: [baseline, candidate],
            file: PathBuf::from("x.toml"),
            trial: crate::runner::Layout::Together.into(),
            expected: None,
            sentence: None,
            times: 1,
        }
    }

    #[test]
    fn each_policy_fails_what_it_says() {
        let passes = |changes: Vec<Change>, facts: Vec<Delta>| {
            let report = report(changes, facts);
            [Policy::Never, Policy::Crashes, Policy::Regressions, Policy::Changes]
                .map(|policy| report.passes(policy))
        };
        let fact = Delta {
            topic: Topic::Memory,
            name: "x".to_owned(),
            baseline: None,
            candidate: Some("1".to_owned()),
        };
        let same = || change(Standing::Kept, Standing::Kept);
        assert_eq!(passes(vec![same()], Vec::new()), [true, true, true, true]);
        assert_eq!(passes(vec![same()], vec![fact]), [true, true, true, false]);
        let fixed = change(broken(), Standing::Kept);
        assert_eq!(passes(vec![fixed, same()], Vec::new()), [true, true, true, false]);
        let regressed = change(Standing::Kept, broken());
        assert_eq!(passes(vec![regressed], Vec::new()), [true, true, false, false]);
        let crash = change(Standing::Kept, crashed());
        assert_eq!(passes(vec![crash], Vec::new()), [true, false, false, false]);
    }

    #[test]
    fn what_one_of_them_lacks_is_no_change() {
        let missing = Standing::Unsupported("an API".to_owned());
        let report = report(vec![change(missing, broken())], Vec::new());
        assert_eq!((report.word(), report.passes(Policy::Changes)), (Word::Same, true));
    }

    #[test]
    fn a_quirk_that_shows_elsewhere_than_its_file_says_is_named() {
        let mut right = change(Standing::Kept, broken());
        right.expected = Some([false, true]);
        let mut wrong = right.clone();
        wrong.expected = Some([true, true]);
        assert_eq!(
            report(vec![right, wrong.clone()], Vec::new()).misjudged().collect::<Vec<_>>(),
            [&wrong]
        );
    }
}
