//! Which message has how many bytes.

use std::str::FromStr;

/// The largest payload of the default schedule, as in iceoryx2's example.
const GROWTH_LIMIT: usize = 1_000_000;

/// Bytes of the first, second, third ... message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SizeSchedule {
    /// Message `n` (from 1) has `n * n` bytes, at most a million.
    #[default]
    Growing,
    /// These sizes, again from the beginning after the last.
    Cycle(Vec<usize>),
}

impl SizeSchedule {
    /// Bytes of the message at `index`, counted from 0.
    ///
    /// ```
    /// use iox2_gauntlet::example::sizes::SizeSchedule;
    ///
    /// assert_eq!(SizeSchedule::Growing.len_at(6), 49);
    /// assert_eq!("1,17".parse::<SizeSchedule>()?.len_at(3), 17);
    /// # Ok::<(), iox2_gauntlet::example::sizes::SizesError>(())
    /// ```
    #[must_use]
    pub fn len_at(&self, index: u64) -> usize {
        match self {
            Self::Growing => {
                let n = usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1);
                n.saturating_mul(n).min(GROWTH_LIMIT)
            }
            Self::Cycle(sizes) => sizes[(index % sizes.len() as u64) as usize],
        }
    }
}

/// Why a list of sizes is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizesError {
    /// One element is no number of bytes.
    #[error("element {nth} of {of}, `{text}`, is no number of bytes: {reason}")]
    Element {
        /// Which one, counted from 1.
        nth: usize,
        /// How many there are.
        of: usize,
        /// What stands there.
        text: String,
        /// Why it is no number of bytes.
        reason: String,
    },
}

impl FromStr for SizeSchedule {
    type Err = SizesError;

    /// Reads sizes that are separated by commas.
    fn from_str(list: &str) -> Result<Self, SizesError> {
        let elements: Vec<&str> = list.split(',').collect();
        elements
            .iter()
            .enumerate()
            .map(|(index, element)| {
                element.trim().parse().map_err(|e: std::num::ParseIntError| SizesError::Element {
                    nth: index + 1,
                    of: elements.len(),
                    text: (*element).to_owned(),
                    reason: e.to_string(),
                })
            })
            .collect::<Result<_, _>>()
            .map(Self::Cycle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_grows_by_squares_up_to_a_million() {
        let sizes: Vec<_> = [0, 1, 6, 999, 1000, u64::MAX]
            .map(|index| SizeSchedule::Growing.len_at(index))
            .to_vec();
        assert_eq!(sizes, [1, 4, 49, 1_000_000, 1_000_000, 1_000_000]);
    }

    #[test]
    fn a_malformed_element_is_named() {
        let error = "1,17,4k,8".parse::<SizeSchedule>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "element 3 of 4, `4k`, is no number of bytes: invalid digit found in string"
        );
        assert!("".parse::<SizeSchedule>().unwrap_err().to_string().contains("element 1 of 1, ``"));
    }
}
