//! Facts and times that are not the same in two releases.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    facts::{Facts, Timings},
    report::Word,
};

/// A ratio of times beyond this, in every single pair of measurements, is called a change.
const NOTABLE_RATIO: f64 = 1.3;

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
