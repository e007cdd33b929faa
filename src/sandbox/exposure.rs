//! Who may write what: memory of messages that is mapped writable, and files that everybody may
//! write.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use procfs::process::MMPermissions;
use serde::{Deserialize, Serialize};

use super::{
    SHM_DIR, SandboxError,
    census::{shared_mappings, shared_memory_names},
    strangers::{SHARED_BY_ALL_NODES, files_below},
};

/// The bit of a file's mode that lets everybody write.
const WRITABLE_BY_ALL: u32 = 0o002;

/// What can be written in a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exposure {
    /// Names of data segments, once per mapping that may only be read.
    pub read: Vec<String>,
    /// Names of data segments, once per writable mapping.
    pub written: Vec<String>,
    /// Paths of files that everybody may write, except the one that all nodes share by design.
    pub writable_by_all: Vec<String>,
}

impl Exposure {
    /// Looks at what this process has mapped and at the files of the domain with this prefix and
    /// root, whose data segments end with `suffix`; `None` if it has no files.
    ///
    /// # Errors
    /// If `/proc/self/maps` or `/dev/shm` cannot be read.
    pub fn of_domain(
        prefix: &str,
        root: &Path,
        suffix: &str,
    ) -> Result<Option<Self>, SandboxError> {
        let mut files = Vec::new();
        files_below(root, &mut files);
        let objects = shared_memory_names()?.into_iter();
        let objects = objects.filter(|name| name.starts_with(prefix));
        files.extend(objects.map(|name| Path::new(SHM_DIR).join(name)));
        if files.is_empty() {
            return Ok(None);
        }
        let mut exposure = Self::default();
        let is_segment = |name: &str| name.starts_with(prefix) && name.ends_with(suffix);
        for (name, map) in shared_mappings()? {
            // Should the system ever split one, its first part stands for it.
            if is_segment(&name) && map.offset == 0 {
                let is_writable = map.perms.contains(MMPermissions::WRITE);
                if is_writable { &mut exposure.written } else { &mut exposure.read }.push(name);
            }
        }
        let writable_by_all = files.iter().filter(|path| is_writable_by_all(path));
        exposure.writable_by_all = writable_by_all.map(|path| path.display().to_string()).collect();
        Ok(Some(exposure))
    }

    /// Adds what another process of the same domain sees.
    pub fn extend(&mut self, other: Self) {
        self.read.extend(other.read);
        self.written.extend(other.written);
        self.writable_by_all.extend(other.writable_by_all);
        self.writable_by_all.sort();
        self.writable_by_all.dedup();
    }

    /// Data segments that are mapped writable more than once.
    #[must_use]
    pub fn written_by_others(&self) -> Vec<&str> {
        repeated(self.written.iter())
    }

    /// Whether there is a segment that more than one port has mapped.
    #[must_use]
    pub fn has_readers(&self) -> bool {
        !repeated(self.read.iter().chain(&self.written)).is_empty()
    }
}

/// Names that come more than once, each once.
fn repeated<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.map(String::as_str).collect();
    names.sort_unstable();
    let pairs = names.windows(2).filter(|pair| pair[0] == pair[1]);
    let mut repeated: Vec<&str> = pairs.map(|pair| pair[0]).collect();
    repeated.dedup();
    repeated
}

/// Whether everybody may write a file; one that is gone by now counts as not writable.
fn is_writable_by_all(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mode = || fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    !name.contains(SHARED_BY_ALL_NODES) && mode() & WRITABLE_BY_ALL != 0
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_two_have_mapped_writable_is_named_once() {
        let of = |written: &[&str], read: &[&str]| Exposure {
            written: written.iter().map(ToString::to_string).collect(),
            read: read.iter().map(ToString::to_string).collect(),
            ..Exposure::default()
        };
        let mut exposure = of(&["1.data", "2.data"], &[]);
        assert!(exposure.written_by_others().is_empty() && !exposure.has_readers());
        exposure.extend(of(&[], &["2.data", "3.data"]));
        assert!(exposure.written_by_others().is_empty() && exposure.has_readers());
        exposure.extend(of(&["2.data", "3.data"], &[]));
        assert_eq!(exposure.written_by_others(), ["2.data"]);
        exposure.extend(of(&["2.data", "1.data"], &[]));
        assert_eq!(exposure.written_by_others(), ["1.data", "2.data"]);
    }

    #[test]
    fn a_file_that_everybody_may_write_is_told_but_not_the_one_of_all_nodes() {
        let dir = TempDir::new().unwrap();
        let look = || Exposure::of_domain("no-such-prefix_", dir.path(), ".data").unwrap();
        assert_eq!(look(), None);
        let below = dir.path().join("nodes");
        fs::create_dir(&below).unwrap();
        for (name, mode) in [("own", 0o600), ("all", 0o602), ("1.global_mgmt", 0o666)] {
            fs::write(below.join(name), "").unwrap();
            fs::set_permissions(below.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let writable_by_all = vec![below.join("all").display().to_string()];
        assert_eq!(look(), Some(Exposure { writable_by_all, ..Exposure::default() }));
    }
}
