//! What is left when everything is dropped, and the known quirks that leave it.

use std::collections::BTreeSet;

use crate::{
    model::{LeftBehind, Switch},
    sandbox::{Census, Leftover},
};

/// The known quirks that explain what is left, none if they do not explain everything.
pub(super) fn explain(known: &LeftBehind, census: &Census) -> BTreeSet<Switch> {
    let mut more = known.most.clone();
    let explained: Option<BTreeSet<Switch>> = census
        .leftovers
        .iter()
        .map(|left| {
            let (Leftover::SharedMemory(name) | Leftover::File(name)) = left else { return None };
            if let Some((_, switch)) = known.named.iter().find(|(part, _)| name.contains(*part)) {
                return Some(*switch);
            }
            let (&switch, more) =
                more.iter_mut().find(|(switch, more)| **more > 0 && leaves(**switch, left))?;
            *more -= 1;
            Some(switch)
        })
        .collect();
    explained.unwrap_or_default()
}

/// Whether a quirk leaves this, of which it is only known how many there may be.
fn leaves(switch: Switch, left: &Leftover) -> bool {
    match (switch, left) {
        (Switch::HalfMadeNodeStays | Switch::ShortNodeStays, Leftover::File(path)) => {
            path.starts_with("nodes/")
        }
        (Switch::NodeDirectoryStays, Leftover::File(path)) => {
            path.strip_prefix("nodes/").is_some_and(|node| !node.contains('/'))
        }
        (Switch::ShortCleanUpStops, Leftover::File(_)) => true,
        (Switch::FailedGrowthSticks | Switch::ShortCleanUpStops, Leftover::SharedMemory(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Leftover {
        Leftover::File(name.to_owned())
    }

    /// What explains these, of which the quirks leave so many at most.
    fn explained(left: &[Leftover], known: &[(Switch, usize)]) -> Vec<Switch> {
        let known = LeftBehind { most: known.iter().copied().collect(), ..LeftBehind::default() };
        explain(&known, &Census { leftovers: left.to_vec() }).into_iter().collect()
    }

    #[test]
    fn all_that_is_left_is_explained_or_nothing_is() {
        let (directory, half_made) = (Switch::NodeDirectoryStays, Switch::HalfMadeNodeStays);
        let one = ["nodes/1"].map(file);
        let files = ["nodes/1", "nodes/2", "nodes/2/monitor"].map(file);
        let other = ["nodes/1", "services/1"].map(file);
        assert_eq!(explained(&one, &[]), []);
        assert_eq!(explained(&one, &[(directory, 1)]), [directory]);
        assert_eq!(explained(&files[1..], &[(directory, 5)]), [], "no file stays but by the other");
        assert_eq!(explained(&files, &[(directory, 1), (half_made, 2)]), [directory, half_made]);
        assert_eq!(explained(&files, &[(directory, 1), (half_made, 1)]), [], "one too many");
        assert_eq!(explained(&other, &[(directory, 2), (half_made, 5)]), []);
    }

    #[test]
    fn what_is_known_by_name_excuses_nothing_else() {
        let quirk = Switch::ShortCreationLeavesMemory;
        let named = [("_17.data".to_owned(), quirk)].into();
        let known = LeftBehind { named, ..LeftBehind::default() };
        let of = |names: &[&str]| {
            let leftovers = names.iter().map(|&name| Leftover::SharedMemory(name.to_owned()));
            explain(&known, &Census { leftovers: leftovers.collect() })
        };
        assert_eq!(of(&["gnt_17.data"]), [quirk].into());
        assert_eq!(of(&["gnt_18.data"]), [].into());
        assert_eq!(of(&["gnt_17.data", "gnt_18.data"]), [].into());
    }
}
