//! What a domain holds: files, shared memory, and this process' descriptors and
//! mappings into them.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use procfs::process::{FDTarget, MMapPath, Process};
use serde::{Deserialize, Serialize};

use super::{Owner, SHM_DIR, SandboxError};

/// Something that is still there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "name")]
pub enum Leftover {
    /// An object in `/dev/shm`, by file name.
    SharedMemory(String),
    /// A file or directory below the root, by path relative to it.
    File(String),
    /// A file descriptor of this process into the domain.
    Descriptor(String),
    /// A mapping of this process into the domain.
    Mapping(String),
}

impl Leftover {
    /// Whether it is a file, which is there for all processes, and not something of one of them.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self, Self::SharedMemory(_) | Self::File(_))
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedMemory(name) => write!(f, "shared memory {name}"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Descriptor(name) => write!(f, "open descriptor to {name}"),
            Self::Mapping(name) => write!(f, "mapping of {name}"),
        }
    }
}

/// What a domain holds beyond what iceoryx2 leaves by design.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Sorted, one entry per object.
    pub leftovers: Vec<Leftover>,
}

/// Left by design: a 16-byte `global_mgmt` object per prefix and version, which
/// iceoryx2 0.9 and newer keep (and keep mapped) for the next process.
fn is_by_design(name: &str) -> bool {
    name.ends_with(".global_mgmt")
}

/// Directories iceoryx2 creates below the root and keeps.
const DIRECTORIES_BY_DESIGN: [&str; 2] = ["nodes", "services"];

impl Census {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.leftovers.is_empty()
    }

    pub(super) fn take(prefix: &str, root: &Path) -> Result<Self, SandboxError> {
        let mut leftovers = Vec::new();
        for name in shared_memory_names()? {
            if name.starts_with(prefix) && !is_by_design(&name) {
                leftovers.push(Leftover::SharedMemory(name));
            }
        }
        if root.exists() {
            collect_files(root, root, &mut leftovers).map_err(SandboxError::io("list", root))?;
        }
        let shm_prefix = format!("{SHM_DIR}/{prefix}");
        let belongs = |path: &Path| {
            let text = path.to_string_lossy();
            let name = text.strip_suffix(" (deleted)").unwrap_or(&text);
            (name.starts_with(&shm_prefix) || path.starts_with(root)) && !is_by_design(name)
        };
        let this = Process::myself()?;
        for fd in this.fd()?.flatten() {
            if let FDTarget::Path(path) = fd.target
                && belongs(&path)
            {
                leftovers.push(Leftover::Descriptor(path.display().to_string()));
            }
        }
        for map in this.maps()? {
            if let MMapPath::Path(path) = map.pathname
                && belongs(&path)
            {
                leftovers.push(Leftover::Mapping(path.display().to_string()));
            }
        }
        leftovers.sort();
        Ok(Self { leftovers })
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("nothing");
        }
        for (i, leftover) in self.leftovers.iter().enumerate() {
            write!(f, "{}{leftover}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Number of shared-memory objects with this prefix that this process has mapped.
///
/// # Errors
/// If `/proc/self/maps` cannot be read.
pub fn mapped_objects(prefix: &str) -> Result<usize, SandboxError> {
    Ok(mapped_names()?.iter().filter(|name| name.starts_with(prefix)).count())
}

/// Paths of files that the domain with this prefix and root must not have: those below the root
/// without the prefix, and those this process has open or mapped that are shared memory of another
/// name or lie below `elsewhere`; `None` if there is none to look at. What other sandboxes of this
/// very process have is theirs.
///
/// # Errors
/// If `/proc/self/maps` or `/proc/self/fd` cannot be read.
pub fn strange_files(
    prefix: &str,
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
        let kind = Kind::of(&path, prefix, root, elsewhere, me);
        (kind, path.display().to_string())
    });
    let kinds: BTreeSet<_> = kinds.filter(|(kind, _)| *kind != Kind::NotOurs).collect();
    let is_strange = |(kind, path): (Kind, String)| (kind == Kind::Strange).then_some(path);
    let is_none = kinds.is_empty();
    Ok(Some(kinds.into_iter().filter_map(is_strange).collect()).filter(|_| !is_none))
}

/// All files below a directory, as far as they are not gone by the time they are looked at.
fn files_below(dir: &Path, files: &mut Vec<PathBuf>) {
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
    fn of(path: &Path, prefix: &str, root: &Path, elsewhere: &Path, me: Owner) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let by_prefix = if name.starts_with(prefix) { Self::Proper } else { Self::Strange };
        if path.starts_with(root) {
            by_prefix
        } else if root.parent().is_some_and(|sandbox| path.starts_with(sandbox)) {
            Self::NotOurs
        } else if path.parent() == Some(Path::new(SHM_DIR)) {
            let is_of_another =
                by_prefix == Self::Strange && Owner::of_file_name(&name) == Some(me);
            if is_of_another { Self::NotOurs } else { by_prefix }
        } else if path.starts_with(elsewhere) {
            Self::Strange
        } else {
            Self::NotOurs
        }
    }
}

/// Names of the shared-memory objects that this process has mapped.
fn mapped_names() -> Result<BTreeSet<String>, SandboxError> {
    let mut names = BTreeSet::new();
    for map in Process::myself()?.maps()? {
        if let MMapPath::Path(path) = map.pathname
            && let Ok(name) = path.strip_prefix(SHM_DIR)
        {
            names.insert(name.display().to_string());
        }
    }
    Ok(names)
}

/// Names of all objects in `/dev/shm`.
pub(super) fn shared_memory_names() -> Result<Vec<String>, SandboxError> {
    let dir = Path::new(SHM_DIR);
    let entries = fs::read_dir(dir).map_err(SandboxError::io("list", dir))?;
    Ok(entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
}

fn collect_files(dir: &Path, root: &Path, leftovers: &mut Vec<Leftover>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let relative = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if DIRECTORIES_BY_DESIGN.contains(&relative.as_str()) {
            collect_files(&path, root, leftovers)?;
        } else {
            leftovers.push(Leftover::File(relative));
        }
    }
    Ok(())
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
                Kind::of(path.as_ref(), "gnt-1-2-3_", root, elsewhere, me)
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
    fn what_is_open_elsewhere_and_what_lies_below_the_root_is_looked_at() {
        let [dir, other] = [(); 2].map(|()| TempDir::new().unwrap());
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("nodes")).unwrap();
        let look = || strange_files("mine_", &root, other.path()).unwrap();
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
