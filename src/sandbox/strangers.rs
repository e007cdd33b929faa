//! Files that a domain must not have: of another name, or elsewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use procfs::process::{FDTarget, Process};

use super::{Owner, SHM_DIR, SandboxError, census::mapped_names};

/// In the name of the file by which all nodes of a prefix and a release know each other. Its suffix
/// is no service's (`global.node.global-mgmt-suffix`), and no scenario sets it.
pub(super) const SHARED_BY_ALL_NODES: &str = "global_mgmt";

/// What the config says of the names of all files of a domain.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// How they begin.
    pub prefix: &'a str,
    /// How their suffixes begin; `None` where the config leaves iceoryx2's own.
    pub suffix: Option<&'a str>,
}

impl Names<'_> {
    fn include(&self, name: &str) -> bool {
        let has_suffix = self.suffix.is_none_or(|suffix| name.contains(suffix));
        name.starts_with(self.prefix) && (has_suffix || name.contains(SHARED_BY_ALL_NODES))
    }
}

/// Paths of files that the domain with these names and this root must not have: those below the
/// root with another name, and those this process has open or mapped that are shared memory of
/// another name or lie below `elsewhere`; `None` if there is none to look at. What other sandboxes
/// of this very process have is theirs.
///
/// # Errors
/// If `/proc/self/maps` or `/proc/self/fd` cannot be read.
pub fn strange_files(
    names: Names<'_>,
    root: &Path,
    elsewhere: &Path,
) -> Result<Option<Vec<String>>, SandboxError> {
    let me = Owner::this_process()?;
    let open = Process::myself()?.fd()?.flatten().filter_map(|fd| match fd.target {
        FDTarget::Path(path) if !path.is_dir() => Some(path),
        _ => None,
    });
    let mapped = mapped_names()?.into_iter().map(|name| Path::new(SHM_DIR).join(name));
    let mut there = Vec::new();
    files_below(root, &mut there);
    let kinds = open.chain(mapped).chain(there).map(|path| {
        let kind = Kind::of(&path, names, root, elsewhere, me);
        (kind, path.display().to_string())
    });
    let kinds: BTreeSet<_> = kinds.filter(|(kind, _)| *kind != Kind::NotOurs).collect();
    let is_strange = |(kind, path): (Kind, String)| (kind == Kind::Strange).then_some(path);
    let is_none = kinds.is_empty();
    Ok(Some(kinds.into_iter().filter_map(is_strange).collect()).filter(|_| !is_none))
}

/// All files below a directory, as far as they are not gone by the time they are looked at.
pub(super) fn files_below(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// What a file is to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Something else.
    NotOurs,
    /// It has its place there.
    Proper,
    /// It must not be there, or not be called so.
    Strange,
}

impl Kind {
    fn of(path: &Path, names: Names<'_>, root: &Path, elsewhere: &Path, me: Owner) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let by_name = if names.include(&name) { Self::Proper } else { Self::Strange };
        if path.starts_with(root) {
            by_name
        } else if root.parent().is_some_and(|sandbox| path.starts_with(sandbox)) {
            Self::NotOurs
        } else if path.parent() == Some(Path::new(SHM_DIR)) {
            let is_of_another =
                !name.starts_with(names.prefix) && Owner::of_file_name(&name) == Some(me);
            if is_of_another { Self::NotOurs } else { by_name }
        } else if path.starts_with(elsewhere) {
            Self::Strange
        } else {
            Self::NotOurs
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_file_outside_of_the_domain_is_strange_and_so_is_one_without_its_prefix() {
        let me = Owner::this_process().unwrap();
        for root in ["/tmp/mine/root", "/dev/shm/gnt-1-2-3-x/root", "/tmp/iceoryx2/mine/root"] {
            let kind = |path: &str| {
                let (root, elsewhere) = (root.as_ref(), "/tmp/iceoryx2/".as_ref());
                let names = Names { prefix: "gnt-1-2-3_", suffix: None };
                Kind::of(path.as_ref(), names, root, elsewhere, me)
            };
            let at = |below: &str| kind(&format!("{root}/{below}"));
            for proper in [kind("/dev/shm/gnt-1-2-3_1.data"), at("nodes/1/gnt-1-2-3_node.details")]
            {
                assert_eq!(proper, Kind::Proper, "{root}");
            }
            let beside = root.replace("/root", "/flight-recorder");
            for other in [
                kind(&beside),
                kind(&format!("/dev/shm/{me}-0_1.data")),
                kind("/dev/shm/target/debug/gauntlet"),
                kind("/tmp/notes"),
            ] {
                assert_eq!(other, Kind::NotOurs, "{root}");
            }
            for strange in [
                kind("/dev/shm/iox2_1.connection"),
                kind("/dev/shm/gnt-1-2-4_1.data"),
                at("nodes/1/iox2_node.details"),
                kind("/tmp/iceoryx2/services/gnt-1-2-3_1.service"),
            ] {
                assert_eq!(strange, Kind::Strange, "{root}");
            }
        }
    }

    #[test]
    fn where_suffixes_are_set_a_file_with_another_one_is_strange() {
        let names = Names { prefix: "mine_", suffix: Some(".own-") };
        let included = ["mine_1.own-data", "mine_2__17.own-data", "mine_0_10_0.global_mgmt"];
        assert!(included.iter().all(|name| names.include(name)));
        assert!(!names.include("mine_2__17.data") && !names.include("other_1.own-data"));
        assert!(Names { suffix: None, ..names }.include("mine_2__17.data"));
    }

    #[test]
    fn what_is_open_elsewhere_and_what_lies_below_the_root_is_looked_at() {
        let [dir, other] = [(); 2].map(|()| TempDir::new().unwrap());
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("nodes")).unwrap();
        let names = Names { prefix: "mine_", suffix: None };
        let look = || strange_files(names, &root, other.path()).unwrap();
        assert_eq!(look(), None);
        fs::write(root.join("nodes/mine_1"), b"").unwrap();
        assert_eq!(look(), Some(Vec::new()));
        let [wrong, away] = [root.join("nodes/iox2_1"), other.path().join("mine_2")];
        fs::write(&wrong, b"").unwrap();
        let _open = fs::File::create(&away).unwrap();
        let both = BTreeSet::from([wrong, away].map(|path| path.display().to_string()));
        assert_eq!(look().map(BTreeSet::from_iter), Some(both));
    }
}
