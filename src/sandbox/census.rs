//! What a domain holds: files, shared memory, and this process' descriptors and
//! mappings into them.

use std::{collections::BTreeSet, fmt, fs, io, path::Path};

use procfs::process::{FDTarget, MMapPath, MemoryMap, Process};
use serde::{Deserialize, Serialize};

use super::{SHM_DIR, SandboxError};

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
        leftovers.extend(descriptors(&this, belongs)?);
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

/// The listings of shared memory that are open in this process.
pub(super) fn open_listings() -> Result<Vec<Leftover>, SandboxError> {
    descriptors(&Process::myself()?, |path| path == Path::new(SHM_DIR))
}

fn descriptors(
    process: &Process,
    are_counted: impl Fn(&Path) -> bool,
) -> Result<Vec<Leftover>, SandboxError> {
    let paths = process.fd()?.flatten().filter_map(|fd| match fd.target {
        FDTarget::Path(path) if are_counted(&path) => Some(path),
        _ => None,
    });
    Ok(paths.map(|path| Leftover::Descriptor(path.display().to_string())).collect())
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

/// Names of the shared-memory objects that this process has mapped.
pub(super) fn mapped_names() -> Result<BTreeSet<String>, SandboxError> {
    Ok(shared_mappings()?.into_iter().map(|(name, _)| name).collect())
}

/// What this process has mapped of shared-memory objects, with their names.
pub(super) fn shared_mappings() -> Result<Vec<(String, MemoryMap)>, SandboxError> {
    let maps = Process::myself()?.maps()?.into_iter().filter_map(|map| {
        let MMapPath::Path(path) = &map.pathname else { return None };
        let name = path.strip_prefix(SHM_DIR).ok()?.display().to_string();
        Some((name, map))
    });
    Ok(maps.collect())
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
