//! What changes between two releases, as data; the views are with the other
//! [views](crate::report).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{
    Build,
    facts::{Facts, Timings},
    judge::Standing,
};
use crate::{
    model::Promise,
    report::{RunReport, Verdict},
    trial::Trial,
};

/// Version of the JSON report.
pub const SCHEMA: u32 = 1;

/// A ratio of times beyond this, in every single pair of measurements, is called a change.
const NOTABLE_RATIO: f64 = 1.3;

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

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A key of the config file and its default.
    Default,
    /// A key of the baseline's config that has no effect any more.
    IgnoredKey,
    /// Bytes of shared memory.
    Memory,
    /// How ports grow.
    Growth,
}

/// A fact that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Delta {
    /// What it is about.
    pub topic: Topic,
    /// Which fact.
    pub name: String,
    /// In the baseline.
    pub baseline: Option<String>,
    /// In the candidate.
    pub candidate: Option<String>,
}

/// What something takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timing {
    /// What.
    pub name: String,
    /// Nanoseconds in the baseline, the median.
    pub baseline: u64,
    /// Nanoseconds in the candidate, the median.
    pub candidate: u64,
    /// Candidate by baseline in each pair of measurements: least, median, most.
    pub ratio: [f64; 3],
    /// `changed` if every pair says so.
    pub word: Word,
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

/// The facts that differ.
#[must_use]
pub fn deltas(baseline: &Facts, candidate: &Facts) -> Vec<Delta> {
    let mut deltas = Vec::new();
    let mut add = |topic, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let (baseline, candidate) = (a.get(name).cloned(), b.get(name).cloned());
            if baseline != candidate {
                deltas.push(Delta { topic, name: name.clone(), baseline, candidate });
            }
        }
    };
    let mut defaults = baseline.defaults.clone();
    // Said more clearly below.
    defaults.retain(|key, _| !candidate.ignored.contains_key(key));
    add(Topic::Default, &defaults, &candidate.defaults);
    let has_effect = |key: &String| (key.clone(), "has an effect".to_owned());
    add(Topic::IgnoredKey, &candidate.ignored.keys().map(has_effect).collect(), &candidate.ignored);
    let bytes = |memory: &BTreeMap<String, [u64; 2]>| {
        let text = |[size, backed]: &[u64; 2]| format!("{size} bytes, {backed} backed by memory");
        memory.iter().map(|(name, sizes)| (name.clone(), text(sizes))).collect()
    };
    add(Topic::Memory, &bytes(&baseline.memory), &bytes(&candidate.memory));
    add(Topic::Growth, &baseline.growth, &candidate.growth);
    if let Some(reason) = &candidate.refused {
        deltas.push(Delta {
            topic: Topic::IgnoredKey,
            name: "the config file of the baseline".to_owned(),
            baseline: Some("is taken".to_owned()),
            candidate: Some(reason.clone()),
        });
    }
    deltas
}

/// The times of pairs of measurements.
#[must_use]
pub fn timings(samples: &[Vec<Timings>; 2]) -> Vec<Timing> {
    let [baseline, candidate] = samples;
    let names = baseline.first().into_iter().flat_map(BTreeMap::keys);
    names
        .map(|name| {
            let of = |samples: &[Timings]| -> Vec<u64> {
                samples.iter().filter_map(|sample| sample.get(name)).copied().collect()
            };
            let (a, b) = (of(baseline), of(candidate));
            #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a few seconds")]
            let mut ratios: Vec<f64> =
                a.iter().zip(&b).map(|(&a, &b)| b as f64 / a.max(1) as f64).collect();
            ratios.sort_by(f64::total_cmp);
            let ratio = [0, ratios.len() / 2, ratios.len().saturating_sub(1)]
                .map(|i| ratios.get(i).copied().unwrap_or(1.0));
            let is_notable = ratio[0] > NOTABLE_RATIO || ratio[2] < 1.0 / NOTABLE_RATIO;
            Timing {
                name: name.clone(),
                baseline: median(a),
                candidate: median(b),
                ratio,
                word: if is_notable { Word::Changed } else { Word::Same },
            }
        })
        .collect()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// A config file with these dotted keys.
#[must_use]
pub fn to_config(keys: &BTreeMap<String, String>) -> String {
    let mut root = toml::Table::new();
    for (key, value) in keys {
        let parsed = format!("value = {value}").parse::<toml::Table>();
        if let Some(value) = parsed.ok().and_then(|mut table| table.remove("value")) {
            insert(&mut root, key, value);
        }
    }
    root.to_string()
}

fn insert(table: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let empty = || toml::Value::Table(toml::Table::new());
            let section = table.entry(section).or_insert_with(empty);
            if let Some(section) = section.as_table_mut() {
                insert(section, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn an_ignored_key_is_named_with_its_successor_and_not_as_a_default() {
        let key = |key: &str| BTreeMap::from([(key.to_owned(), "1".to_owned())]);
        let baseline = Facts { defaults: key("a.old"), ..Facts::default() };
        let mut candidate = Facts { defaults: key("a.new"), ..Facts::default() };
        candidate.ignored.insert("a.old".to_owned(), "renamed to `a.new`".to_owned());
        let deltas = deltas(&baseline, &candidate);
        let found: Vec<_> = deltas.iter().map(|d| (d.topic, d.name.as_str())).collect();
        assert_eq!(found, [(Topic::Default, "a.new"), (Topic::IgnoredKey, "a.old")]);
    }

    #[test]
    fn a_time_has_changed_if_every_pair_says_so() {
        let sample = |ns: u64| Timings::from([("x".to_owned(), ns)]);
        let word = |a: [u64; 3], b: [u64; 3]| {
            timings(&[a.map(sample).to_vec(), b.map(sample).to_vec()])[0].word
        };
        assert_eq!(word([100, 100, 100], [200, 210, 190]), Word::Changed);
        assert_eq!(word([100, 100, 200], [200, 210, 190]), Word::Same);
        assert_eq!(word([200, 210, 190], [100, 100, 100]), Word::Changed);
    }

    #[test]
    fn dotted_keys_become_a_config_file() {
        let keys = BTreeMap::from([
            ("a.b.c".to_owned(), "\"x\"".to_owned()),
            ("a.d".to_owned(), "{ secs = 1, nanos = 0 }".to_owned()),
        ]);
        let expected: toml::Table = "[a.b]\nc = 'x'\n[a.d]\nsecs = 1\nnanos = 0".parse().unwrap();
        assert_eq!(to_config(&keys).parse::<toml::Table>().unwrap(), expected);
    }
}
