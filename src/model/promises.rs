//! Several promises at once.

use super::Promise;

/// A set of promises.
///
/// ```
/// use iox2_gauntlet::model::{Promise, Promises};
///
/// let promises = Promises::of(&[Promise::NeverHangs, Promise::NeverCrashes]);
/// assert!(promises.with(&[Promise::NeverHangs]).iter().eq([
///     Promise::NeverCrashes,
///     Promise::NeverHangs,
/// ]));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Promises(u64);

const _: () = assert!(Promise::ALL.len() <= u64::BITS as usize, "one bit for each promise");

impl Promises {
    /// These.
    #[must_use]
    pub const fn of(promises: &[Promise]) -> Self {
        Self(0).with(promises)
    }

    /// These as well.
    #[must_use]
    pub const fn with(mut self, promises: &[Promise]) -> Self {
        // A `for` is no constant expression.
        let mut rest = promises;
        while let [promise, others @ ..] = rest {
            self.0 |= 1 << *promise as u64;
            rest = others;
        }
        self
    }

    /// Those of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In the order of [`Promise::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Promise> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let promise = *Promise::ALL.get(bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(promise)
        })
    }
}
