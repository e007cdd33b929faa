//! Who may write what: memory of messages that is mapped to be written, and files everybody may
//! write.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use procfs::process::{MMPermissions, MMapPath, Process};
use serde::{Deserialize, Serialize};

use super::{
    SHM_DIR, SandboxError,
    census::shared_memory_names,
    strangers::{SHARED_BY_ALL_NODES, files_below},
};

/// The bit of a file's mode that lets everybody write.
const WRITABLE_BY_ALL: u32 = 0o002;

/// What can be written in a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exposure {
    /// Data segments that are mapped to be written, by name, each as often as it is.
    pub written: Vec<String>,
    /// Paths of files that everybody may write, without the one that all nodes share by design.
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
        let is_segment = |name: &String| name.starts_with(prefix) && name.ends_with(suffix);
        let mut written = Vec::new();
        for map in Process::myself()?.maps()? {
            if let MMapPath::Path(path) = map.pathname
                && map.perms.contains(MMPermissions::WRITE)
                && let Ok(name) = path.strip_prefix(SHM_DIR)
            {
                written.extend(Some(name.display().to_string()).filter(is_segment));
            }
        }
        let writable_by_all = files.into_iter().filter(|path| is_writable_by_all(path));
        let writable_by_all = writable_by_all.map(|path| path.display().to_string()).collect();
        Ok(Some(Self { written, writable_by_all }))
    }

    /// Adds what another process of the same domain sees.
    pub fn extend(&mut self, other: Self) {
        self.written.extend(other.written);
        self.writable_by_all.extend(other.writable_by_all);
        self.writable_by_all.sort();
        self.writable_by_all.dedup();
    }

    /// Data segments that are mapped to be written more than once.
    #[must_use]
    pub fn written_by_others(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.written.iter().map(String::as_str).collect();
        names.sort_unstable();
        let mut again: Vec<&str> =
            names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        again.dedup();
        again
    }
}

/// Whether everybody may write a file; who is gone by now was nobody's.
fn is_writable_by_all(path: &Path) -> bool {
    let is_shared =
        path.file_name().is_some_and(|name| name.to_string_lossy().contains(SHARED_BY_ALL_NODES));
    !is_shared
        && fs::metadata(path)
            .is_ok_and(|metadata| metadata.permissions().mode() & WRITABLE_BY_ALL != 0)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_two_map_to_be_written_is_named_once() {
        let of = |names: &[&str]| Exposure {
            written: names.iter().map(ToString::to_string).collect(),
            ..Exposure::default()
        };
        let mut exposure = of(&["1.data", "2.data"]);
        assert!(exposure.written_by_others().is_empty());
        exposure.extend(of(&["2.data", "3.data"]));
        assert_eq!(exposure.written_by_others(), ["2.data"]);
        exposure.extend(of(&["2.data", "1.data"]));
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
        let all = below.join("all").display().to_string();
        assert_eq!(look(), Some(Exposure { written: Vec::new(), writable_by_all: vec![all] }));
    }
}
