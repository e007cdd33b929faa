//! Room in shared memory: whoever writes to what there is none for dies of it, and that is not
//! iceoryx2's fault.

use std::path::{Path, PathBuf};

use super::{SHM_DIR, SandboxError};

/// Bytes of shared memory a sandbox may need: a few ports with a few messages of some hundred
/// kilobytes each.
const NEEDED_BY_ONE: u64 = 16 << 20;

/// The same of whatever a run may come to, hundreds of ports among it: as much as a container has
/// unless it is given more.
const NEEDED_BY_ANY: u64 = 64 << 20;

/// With less than this there is none to speak of.
const NEXT_TO_NOTHING: u64 = 1 << 20;

/// Whether so many scenarios at a time, whatever is generated, have room in shared memory: that of
/// one more is for files that are replayed, several at a time.
///
/// # Errors
/// If they have not, or if it cannot be said.
pub fn check(scenarios: usize) -> Result<(), SandboxError> {
    check_free(NEEDED_BY_ANY.saturating_mul(scenarios as u64 + 1))
}

/// The same of a sandbox.
pub(super) fn for_a_sandbox() -> Result<(), SandboxError> {
    check_free(NEEDED_BY_ONE)
}

/// How many scenarios at a time, whatever is generated, have room in shared memory.
///
/// # Errors
/// If it cannot be said.
pub fn scenarios() -> Result<usize, SandboxError> {
    let scenarios = (free_memory()? / NEEDED_BY_ANY).saturating_sub(1);
    Ok(usize::try_from(scenarios).unwrap_or(usize::MAX))
}

/// Why touching shared memory may have ended a process, if there is none left.
#[must_use]
pub fn exhausted() -> Option<SandboxError> {
    check_free(NEXT_TO_NOTHING).err()
}

fn check_free(needed: u64) -> Result<(), SandboxError> {
    let free = free_memory()?;
    if free < needed {
        return Err(SandboxError::NoSpace { path: PathBuf::from(SHM_DIR), free, needed });
    }
    Ok(())
}

/// In bytes.
fn free_memory() -> Result<u64, SandboxError> {
    let path = Path::new(SHM_DIR);
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| SandboxError::io("inspect", path)(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_said_with_what_to_do_about_it() {
        let error = check(1 << 32).unwrap_err().to_string();
        assert!(error.starts_with("/dev/shm has only "), "{error}");
        assert!(error.contains("and 274877907008 MiB may be needed"), "{error}");
        assert!(error.contains("remount,size=1g /dev/shm`"), "{error}");
        assert!(exhausted().is_none(), "there is room for a test");
    }
}
