//! Counts the checks of one run as it goes.

use smallvec::SmallVec;
use strum::EnumCount as _;

use super::{Cell, Coverage, InFlight, Occasion, Whole};
use crate::{actor::ActionKind, model::Promises, scenario::Strategy};

/// What the promises that are checked at one moment have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Situation {
    pub(crate) step: Occasion,
    pub(crate) strategy: Option<Strategy>,
    pub(crate) in_flight: InFlight,
}

impl Situation {
    /// Below [`SITUATIONS`], another for each.
    fn index(self) -> usize {
        let Self { step, strategy, in_flight } = self;
        let step = match step {
            Occasion::Step(kind) => kind as usize,
            Occasion::Whole(whole) => ActionKind::COUNT + whole as usize,
        };
        let strategy = strategy.map_or(0, |strategy| 1 + strategy as usize);
        (step * (1 + Strategy::ALL.len()) + strategy) * InFlight::COUNT + in_flight as usize
    }
}

const SITUATIONS: usize =
    (ActionKind::COUNT + Whole::COUNT) * (1 + Strategy::ALL.len()) * InFlight::COUNT;

/// How often which promises were checked in one situation: mostly the same few sets.
type Row = (Situation, SmallVec<[(Promises, u64); 2]>);

/// The checks of a run so far: a table, because every step adds several.
#[derive(Debug)]
pub(crate) struct Checks(Vec<Option<Box<Row>>>);

impl Checks {
    pub(crate) fn new() -> Self {
        Self(vec![None; SITUATIONS])
    }

    pub(crate) fn note(&mut self, situation: Situation, promises: Promises) {
        let row =
            self.0[situation.index()].get_or_insert_with(|| Box::new((situation, SmallVec::new())));
        match row.1.iter_mut().find(|(set, _)| *set == promises) {
            Some((_, count)) => *count += 1,
            None => row.1.push((promises, 1)),
        }
    }

    /// The same, cell by cell.
    pub(crate) fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        for (Situation { step, strategy, in_flight }, counts) in
            self.0.iter().flatten().map(|row| &**row)
        {
            let (step, strategy, in_flight) = (*step, *strategy, *in_flight);
            for (promises, count) in counts {
                for promise in promises.iter() {
                    let cell = Cell { promise, step, strategy, in_flight };
                    *coverage.0.entry(cell).or_default() += count;
                }
            }
        }
        coverage
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use strum::IntoEnumIterator as _;

    use super::*;
    use crate::model::Promise;

    #[test]
    fn every_check_is_counted_under_its_own_promise_and_situation() {
        let situation = |in_flight| Situation {
            step: Occasion::Whole(Whole::MappedMemory),
            strategy: Some(Strategy::BestFit),
            in_flight,
        };
        let mut checks = Checks::new();
        checks.note(situation(InFlight::Many), Promises::of(Promise::ALL));
        checks.note(situation(InFlight::One), Promises::of(&[Promise::LoanLimit]));
        checks.note(situation(InFlight::One), Promises::of(&[Promise::LoanLimit]));
        let mut expected = Coverage::default();
        for (in_flight, promise) in Promise::ALL
            .iter()
            .map(|promise| (InFlight::Many, *promise))
            .chain([(InFlight::One, Promise::LoanLimit); 2])
        {
            let Situation { step, strategy, in_flight } = situation(in_flight);
            expected.note(Cell { promise, step, strategy, in_flight });
        }
        assert_eq!(checks.coverage(), expected);
    }

    #[test]
    fn no_two_situations_share_a_row() {
        let steps = ActionKind::iter().map(Occasion::Step);
        let steps = steps.chain(Whole::iter().map(Occasion::Whole));
        let strategies = || Strategy::ALL.map(Some).into_iter().chain([None]);
        let mut rows = BTreeSet::new();
        for step in steps {
            for strategy in strategies() {
                for in_flight in InFlight::iter() {
                    assert!(rows.insert(Situation { step, strategy, in_flight }.index()));
                }
            }
        }
        assert_eq!((rows.len(), rows.last()), (SITUATIONS, Some(&(SITUATIONS - 1))));
    }
}
