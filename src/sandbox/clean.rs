//! Removes what runs left behind that are no longer alive, and only that.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Owner, SHM_DIR, SandboxError, census, parent_dir};

/// What [`clean_dead_runs`] removed.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// Objects removed from `/dev/shm`.
    pub shared_memory: Vec<String>,
    /// Directories of sandboxes that were removed.
    pub directories: Vec<PathBuf>,
}

/// Removes shared memory and sandbox directories of gauntlet processes that no
/// longer run. Names of other programs and of living runs are left alone.
///
/// # Errors
/// If `/dev/shm` or [`parent_dir`] cannot be listed.
pub fn clean_dead_runs() -> Result<Cleaned, SandboxError> {
    let dead = |name: &str| Owner::of_file_name(name).is_some_and(|owner| !owner.is_alive());
    let mut cleaned = Cleaned { shared_memory: remove_shared_memory(dead), ..Cleaned::default() };
    let parent = parent_dir();
    let entries = fs::read_dir(&parent).map_err(SandboxError::io("list", &parent))?;
    for entry in entries.flatten() {
        if dead(&entry.file_name().to_string_lossy()) && fs::remove_dir_all(entry.path()).is_ok() {
            cleaned.directories.push(entry.path());
        }
    }
    Ok(cleaned)
}

/// Unlinks every shared-memory object whose name satisfies `which`.
pub(super) fn remove_shared_memory(which: impl Fn(&str) -> bool) -> Vec<String> {
    census::shared_memory_names()
        .unwrap_or_default()
        .into_iter()
        .filter(|name| which(name) && fs::remove_file(Path::new(SHM_DIR).join(name)).is_ok())
        .collect()
}
