//! The same generated scenarios on two releases, step by step: where they first observe
//! something else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::judge::{Brief, Judge, Matter, Ruling};
use crate::{
    actor::{ActionKind, HostError},
    lockstep::{End, Position},
    model::{Promise, Switch},
    runner::Layout,
    scenario::{Scenario, generate::scenario_of_run, shrink},
    trial::Trial,
};

/// Scenarios both judges get before their rulings are compared.
const BATCH: u64 = 16;

/// Scenarios tried at most to shrink one difference, and the time for it. All differences
/// together get as much time as the comparison.
const SHRINK_BUDGET: usize = 400;
const SHRINK_TIME: Duration = Duration::from_secs(5);

/// Time for one scenario.
const DEADLINE: Duration = Duration::from_secs(5);

/// What differs, with everything left out that varies from scenario to scenario: two
/// differences with the same key are taken for the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What was done; `None` for what is counted after the last step.
    pub step: Option<ActionKind>,
    /// What the baseline observed, digits replaced by `#`.
    pub baseline: String,
    /// What the candidate observed, digits replaced by `#`.
    pub candidate: String,
}

/// A step at which two releases differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The same for all scenarios that show it.
    pub key: Key,
    /// Where.
    pub position: Position,
    /// What was done.
    pub action: String,
    /// What each of the two observed.
    pub observed: [String; 2],
}

/// A difference and the smallest scenario that shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// As the scenario shows it.
    pub difference: Difference,
    /// The scenario.
    pub scenario: Scenario,
    /// How many generated scenarios showed it first.
    pub times: usize,
}

/// What a comparison did.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// Scenarios that ran on both.
    pub scenarios: u64,
    /// Steps that were compared.
    pub steps: usize,
    /// What differs, most frequent first.
    pub shown: Vec<Shown>,
}

/// Compares for so long, or so many scenarios.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Seed of the generated scenarios.
    pub seed: u64,
    /// For so long.
    pub time: Duration,
    /// No more than these.
    pub scenarios: u64,
}

/// Runs the generated scenarios on both and collects what differs.
///
/// # Errors
/// If the harness fails.
pub fn compare(
    judges: &mut [Judge<'_>; 2],
    extent: Extent,
    live_with: &BTreeSet<Switch>,
    interrupted: &AtomicBool,
    progress: &dyn Fn(u64),
) -> Result<Compared, HostError> {
    let until = Instant::now() + extent.time;
    let mut compared = Compared::default();
    let mut found: BTreeMap<Key, (usize, u64, Difference)> = BTreeMap::new();
    while compared.scenarios < extent.scenarios
        && Instant::now() < until
        && !interrupted.load(Ordering::Relaxed)
    {
        let first = compared.scenarios;
        let batch = first..(first + BATCH).min(extent.scenarios);
        let [a, b] = on_both(judges, |judge| {
            batch
                .clone()
                .map(|index| {
                    judge.rule(&brief(Matter::Generated { seed: extent.seed, index }, live_with))
                })
                .collect::<Result<Vec<_>, _>>()
        })?;
        for ((index, a), b) in batch.clone().zip(a).zip(b) {
            // What one of them lacks it leaves out, and everything after is another scenario.
            if a.lacks.is_some() || b.lacks.is_some() {
                continue;
            }
            compared.steps += a.performed.min(b.performed);
            if let Some(difference) = difference(&a, &b) {
                let key = difference.key.clone();
                found.entry(key).or_insert((0, index, difference)).0 += 1;
            }
        }
        compared.scenarios = batch.end;
        progress(compared.scenarios);
    }
    // What shows most often first, in case time runs short.
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, (times, ..))| std::cmp::Reverse(*times));
    let end = Instant::now() + extent.time;
    for (key, (times, index, difference)) in found {
        let scenario = scenario_of_run(extent.seed, index);
        let until = end.min(Instant::now() + SHRINK_TIME);
        let shown = smallest(judges, &key, scenario, live_with, (until, interrupted))?;
        let (scenario, difference) =
            shown.unwrap_or_else(|| (scenario_of_run(extent.seed, index), difference));
        compared.shown.push(Shown { difference, scenario, times });
    }
    Ok(compared)
}

/// Shrinks the scenario as long as the two releases differ in the same way.
fn smallest(
    judges: &mut [Judge<'_>; 2],
    key: &Key,
    scenario: Scenario,
    live_with: &BTreeSet<Switch>,
    (until, interrupted): (Instant, &AtomicBool),
) -> Result<Option<(Scenario, Difference)>, HostError> {
    let mut last = None;
    let mut error = None;
    let small = shrink::shrink(&scenario, SHRINK_BUDGET, |candidate| {
        if error.is_some() || Instant::now() >= until || interrupted.load(Ordering::Relaxed) {
            return false;
        }
        match differ(judges, candidate, live_with) {
            Ok(Some(difference)) if difference.key == *key => {
                last = Some(difference);
                true
            }
            Ok(_) => false,
            Err(failed) => {
                error = Some(failed);
                false
            }
        }
    });
    match error {
        Some(error) => Err(error),
        None => Ok(last.map(|difference| (small, difference))),
    }
}

/// Where the two releases first differ in a scenario.
///
/// # Errors
/// If the harness fails.
pub fn differ(
    judges: &mut [Judge<'_>; 2],
    scenario: &Scenario,
    live_with: &BTreeSet<Switch>,
) -> Result<Option<Difference>, HostError> {
    let brief = brief(Matter::Stated(Box::new(scenario.clone())), live_with);
    let [a, b] = on_both(judges, |judge| judge.rule(&brief))?;
    Ok(difference(&a, &b))
}

fn brief(matter: Matter, live_with: &BTreeSet<Switch>) -> Brief {
    Brief {
        matter,
        trial: Trial::At(Layout::Together.into()),
        live_with: live_with.clone(),
        trace: true,
        deadline: DEADLINE,
    }
}

/// Lets both judges do the same at the same time.
fn on_both<T: Send>(
    judges: &mut [Judge<'_>; 2],
    work: impl Fn(&mut Judge<'_>) -> Result<T, HostError> + Sync,
) -> Result<[T; 2], HostError> {
    let [a, b] = judges;
    let (a, b) = thread::scope(|scope| {
        let other = scope.spawn(|| work(b));
        let a = work(a);
        (a, other.join())
    });
    let b = b.unwrap_or_else(|_| Err(HostError::Harness("a comparison panicked".to_owned())));
    Ok([a?, b?])
}

/// Where two rulings on the same scenario first differ. Where only one release takes a step,
/// as the other lacks the API or is steered around a quirk, they cannot be compared further.
#[must_use]
pub fn difference(baseline: &Ruling, candidate: &Ruling) -> Option<Difference> {
    let stops = [stop(baseline), stop(candidate)];
    let found = |position, step, action: &str, observed: [String; 2]| {
        let [a, b] = observed.each_ref().map(|text| without_digits(text));
        let key = Key { step, baseline: a, candidate: b };
        Some(Difference { key, position, action: action.to_owned(), observed })
    };
    // A process that died has no trace, only a last position.
    if stops != [None, None] {
        let [a, b] = &stops;
        if let (Some((_, _, one)), Some((_, _, other))) = (a, b)
            && without_digits(one) == without_digits(other)
        {
            return None;
        }
        let (position, action, _) = a.as_ref().or(b.as_ref())?;
        let observed = |ruling: &Ruling, stop: &Option<(Position, String, String)>| match stop {
            Some((_, _, what)) => what.clone(),
            None => ruling
                .trace
                .iter()
                .find(|step| step.position == *position)
                .map_or_else(|| "does not come to this step".to_owned(), |s| s.observed.clone()),
        };
        let traced = [baseline, candidate]
            .into_iter()
            .flat_map(|ruling| &ruling.trace)
            .find(|step| step.position == *position);
        let observed = [observed(baseline, a), observed(candidate, b)];
        return found(*position, traced.map(|step| step.kind), action, observed);
    }
    let both = baseline.trace.iter().zip(&candidate.trace);
    let differing = both
        .take_while(|(a, b)| a.position == b.position && a.kind == b.kind)
        .find(|(a, b)| a.observed != b.observed);
    if let Some((a, b)) = differing {
        let observed = [a.observed.clone(), b.observed.clone()];
        return found(a.position, Some(a.kind), &a.action, observed);
    }
    // The same was observed, as far as a line can tell, and judged otherwise: by the bytes, or
    // by what is found by looking at the whole.
    let (a, b) = (Breached::of(baseline), Breached::of(candidate));
    if a.as_ref().map(|a| (a.position, a.promise)) == b.as_ref().map(|b| (b.position, b.promise)) {
        return None;
    }
    let of = a.as_ref().or(b.as_ref())?;
    let traced = baseline.trace.iter().find(|step| step.position == of.position);
    let broken = |breached: &Option<Breached>| {
        breached.as_ref().map_or_else(|| "kept".to_owned(), |b| b.promise.to_string())
    };
    let observed = |breached: &Option<Breached>| {
        breached.as_ref().map_or_else(|| "nothing of it".to_owned(), |b| b.observed.clone())
    };
    let step = traced.map(|step| step.kind);
    let key = Key { step, baseline: broken(&a), candidate: broken(&b) };
    let (position, action) = (of.position, of.action.clone());
    Some(Difference { key, position, action, observed: [observed(&a), observed(&b)] })
}

/// How a ruling ends that found a promise broken.
struct Breached {
    position: Position,
    action: String,
    promise: Promise,
    observed: String,
}

impl Breached {
    fn of(ruling: &Ruling) -> Option<Self> {
        match &ruling.end {
            End::Broken { position, action, breach } => Some(Self {
                position: *position,
                action: action.clone(),
                promise: breach.promise,
                observed: breach.observed.clone(),
            }),
            _ => None,
        }
    }
}

fn stop(ruling: &Ruling) -> Option<(Position, String, String)> {
    match &ruling.end {
        End::Stopped { position, action, error } => {
            let what = match error {
                HostError::Crashed(message) => format!("crash: {}", first_words(message)),
                HostError::Hung(_) => "does not return".to_owned(),
                other => other.to_string(),
            };
            Some((*position, action.clone(), what))
        }
        _ => None,
    }
}

/// Enough of a panic's message to tell it from another.
fn first_words(message: &str) -> String {
    message.chars().take(100).collect()
}

/// The text with every number as `#`.
fn without_digits(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{actor::serve::TracedStep, model::judge::Breach};

    fn ruling(observed: &[&str]) -> Ruling {
        let step = |(i, observed): (usize, &&str)| TracedStep {
            position: Position::Step(i),
            kind: ActionKind::LoanRequest,
            action: format!("action {i}"),
            expected: String::new(),
            observed: (*observed).to_owned(),
            may_lose_a_message: false,
        };
        Ruling {
            end: End::Kept,
            trace: observed.iter().enumerate().map(step).collect(),
            performed: observed.len(),
            lacks: None,
        }
    }

    fn crashed(at: usize) -> Ruling {
        let end = End::Stopped {
            position: Position::Step(at),
            action: format!("action {at}"),
            error: HostError::Crashed("panicked at x.rs:12: no".to_owned()),
        };
        Ruling { end, ..ruling(&[]) }
    }

    #[test]
    fn equal_rulings_do_not_differ() {
        assert_eq!(difference(&ruling(&["ok", "1"]), &ruling(&["ok", "1"])), None);
        assert_eq!(difference(&crashed(1), &crashed(1)), None);
    }

    #[test]
    fn the_first_differing_step_counts_and_numbers_do_not_make_two_of_it() {
        let found = |a, b| difference(&ruling(&["ok", a, "x"]), &ruling(&["ok", b, "y"]));
        let first = found("a loan of 12", "OutOfMemory").expect("they differ");
        assert_eq!((first.position, first.action.as_str()), (Position::Step(1), "action 1"));
        assert_eq!(first.observed, ["a loan of 12", "OutOfMemory"]);
        let second = found("a loan of 7", "OutOfMemory").expect("they differ");
        assert_eq!(first.key, second.key);
        assert_ne!(found("OutOfMemory", "a loan of 7").expect("they differ").key, first.key);
    }

    #[test]
    fn a_crash_differs_from_whatever_the_other_observed_there() {
        let found = difference(&crashed(1), &ruling(&["ok", "OutOfMemory"])).expect("they differ");
        assert_eq!(found.key.step, Some(ActionKind::LoanRequest));
        assert_eq!(found.observed, ["crash: panicked at x.rs:12: no", "OutOfMemory"]);
    }

    #[test]
    fn what_is_left_behind_is_a_difference_without_a_step() {
        let left = Ruling {
            end: End::Broken {
                position: Position::Census,
                action: "count".to_owned(),
                breach: Breach {
                    promise: Promise::NothingIsLeftBehind,
                    expected: "nothing".to_owned(),
                    observed: "1 file".to_owned(),
                },
            },
            ..ruling(&["ok"])
        };
        let found = difference(&ruling(&["ok"]), &left).expect("they differ");
        assert_eq!((found.key.step, found.position), (None, Position::Census));
        assert_eq!(difference(&left, &left), None);
    }

    #[test]
    fn a_step_only_one_of_them_takes_ends_the_comparison() {
        let mut other = ruling(&["ok", "1", "2"]);
        other.trace.remove(1);
        assert_eq!(difference(&ruling(&["ok", "1", "3"]), &other), None);
    }
}
