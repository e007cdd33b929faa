//! `gauntlet clean`.

use iox2_gauntlet::{exit::Exit, sandbox::clean::clean_dead_runs};

use super::print::say;

pub(super) fn clean() -> anyhow::Result<Exit> {
    let cleaned = clean_dead_runs()?;
    for name in &cleaned.shared_memory {
        say!("removed shared memory {name}");
    }
    for path in &cleaned.directories {
        say!("removed {}", path.display());
    }
    if cleaned.shared_memory.is_empty() && cleaned.directories.is_empty() {
        say!("dead runs left nothing");
    }
    Ok(Exit::Green)
}
