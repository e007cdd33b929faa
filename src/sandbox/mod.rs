//! An isolated iceoryx2 domain: own prefix, own root directory, own config file,
//! and a census of what it left behind.
//!
//! iceoryx2 separates files by `global.root-path` and shared-memory objects by
//! `global.prefix` only, so a sandbox has both for itself. Every name it uses
//! begins with [`Owner`], the process that made it, so that [`clean`] can tell what
//! dead runs left from what a living one still needs.
//!
//! ```
//! use iox2_gauntlet::sandbox::Sandbox;
//!
//! let sandbox = Sandbox::new()?;
//! let config = sandbox.write_config("small", "[defaults.request-response]\nmax-clients = 1\n")?;
//! assert!(std::fs::read_to_string(config)?.contains(sandbox.prefix()));
//! assert!(sandbox.census()?.is_clean());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod census;
pub mod clean;
pub mod exposure;
pub mod room;
pub mod strangers;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use crate::scenario::Settings;

pub use census::{Census, Leftover};

/// Where Linux keeps POSIX shared-memory objects.
pub const SHM_DIR: &str = "/dev/shm";

/// Every name the gauntlet makes outside its working directory begins with this.
const FAMILY: &str = "gnt";

/// Why a sandbox could not be made or inspected.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A file or directory of the sandbox could not be used.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was attempted, e.g. `write`.
        action: &'static str,
        /// The file or directory it was attempted on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `/dev/shm` is nearly full: iceoryx2 would fault, and it would not be its fault.
    #[error(
        "{} has only {} MiB free, and {} MiB may be needed: make room, or enlarge it with `mount -o \
         remount,size=1g {0}`, that of a container with `docker run --shm-size=1g`",
        path.display(), free >> 20, needed >> 20
    )]
    NoSpace {
        /// `/dev/shm`.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes that may be needed.
        needed: u64,
    },
    /// A config fragment that is not TOML or sets what the sandbox owns.
    #[error("config fragment: {0}")]
    Fragment(String),
    /// The own process could not be inspected.
    #[error("read /proc/self: {0}")]
    Proc(#[from] procfs::ProcError),
}

impl SandboxError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// The process that owns a sandbox, as it stands in the names of its files:
/// `gnt-<pid>-<start time in clock ticks since boot>`.
///
/// The start time makes a recycled pid recognisable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pid: i32,
    start_time: u64,
}

impl Owner {
    /// The calling process.
    ///
    /// # Errors
    /// If `/proc/self/stat` cannot be read.
    pub fn this_process() -> Result<Self, SandboxError> {
        let stat = procfs::process::Process::myself()?.stat()?;
        Ok(Self { pid: stat.pid, start_time: stat.starttime })
    }

    /// Whether that very process still runs (a zombie does not).
    #[must_use]
    pub fn is_alive(self) -> bool {
        procfs::process::Process::new(self.pid)
            .and_then(|process| process.stat())
            .is_ok_and(|stat| stat.starttime == self.start_time && stat.state != 'Z')
    }

    /// The owner of a file with this name, `None` if the gauntlet did not make it.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        if parts.next()? != FAMILY {
            return None;
        }
        let pid = parts.next()?.parse().ok()?;
        let start_time = parts.next()?.parse().ok()?;
        parts.next()?;
        Some(Self { pid, start_time })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FAMILY}-{}-{}", self.pid, self.start_time)
    }
}

/// An isolated iceoryx2 domain; everything it left is removed on drop.
#[derive(Debug)]
pub struct Sandbox {
    dir: TempDir,
    prefix: String,
}

impl Sandbox {
    /// Makes an empty domain with a default config file, in a directory below
    /// [`parent_dir`].
    ///
    /// # Errors
    /// If the directory or the config file cannot be written.
    pub fn new() -> Result<Self, SandboxError> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        room::for_a_sandbox()?;
        let owner = Owner::this_process()?;
        let name = format!("{owner}-{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let base = parent_dir();
        let dir = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(&base)
            .map_err(SandboxError::io("create a directory in", &base))?;
        let sandbox = Self { dir, prefix: format!("{name}_") };
        fs::create_dir(sandbox.root()).map_err(SandboxError::io("create", &sandbox.root()))?;
        sandbox.write_config("iceoryx2", "")?;
        Ok(sandbox)
    }

    /// `global.prefix` of the domain.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `global.root-path` of the domain.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The directory that holds the root, the config files and whatever a test
    /// wants to put there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The config file every sandbox has: iceoryx2's defaults, isolated, automatic
    /// clean-up of dead nodes off.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("iceoryx2.toml")
    }

    /// Writes `<name>.toml`: the TOML `fragment` with this domain's isolation added.
    /// A process that loads the file joins the domain.
    ///
    /// The clean-up flags are off unless the fragment sets them, so that one
    /// participant's death is not hidden by another's arrival.
    ///
    /// # Errors
    /// If the fragment is not TOML, sets `root-path` or `prefix` itself, or the file
    /// cannot be written.
    pub fn write_config(&self, name: &str, fragment: &str) -> Result<PathBuf, SandboxError> {
        let mut config: toml::Table =
            fragment.parse().map_err(|e: toml::de::Error| SandboxError::Fragment(e.to_string()))?;
        let global = subtable(&mut config, "global")?;
        for (key, value) in
            [("root-path", format!("{}/", self.root().display())), ("prefix", self.prefix.clone())]
        {
            if global.insert(key.to_owned(), toml::Value::String(value)).is_some() {
                return Err(SandboxError::Fragment(format!(
                    "`global.{key}` belongs to the sandbox"
                )));
            }
        }
        for (section, key) in [
            ("node", "cleanup-dead-nodes-on-creation"),
            ("node", "cleanup-dead-nodes-on-destruction"),
            ("service", "cleanup-dead-nodes-on-open"),
        ] {
            subtable(global, section)?.entry(key).or_insert(toml::Value::Boolean(false));
        }
        let path = self.dir.path().join(format!("{name}.toml"));
        fs::write(&path, config.to_string()).map_err(SandboxError::io("write", &path))?;
        Ok(path)
    }

    /// The config file that a service with these settings needs: the one every sandbox has,
    /// or `<name>.toml` if the settings are to come from a config file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn config_for(&self, name: &str, settings: &Settings) -> Result<PathBuf, SandboxError> {
        match settings.to_config_fragment() {
            None => Ok(self.config_path()),
            Some(keys) => self.write_config(name, &keys),
        }
    }

    /// What the domain holds beyond what iceoryx2 leaves by design.
    ///
    /// # Errors
    /// If `/dev/shm`, the root or `/proc/self` cannot be read.
    pub fn census(&self) -> Result<Census, SandboxError> {
        Census::take(&self.prefix, &self.root())
    }
}

/// The directory in which sandboxes are made: `TMPDIR` if it is set, else [`SHM_DIR`].
///
/// iceoryx2 syncs the files it writes below its root path. On a disk that takes about as
/// long as everything else a short scenario does.
#[must_use]
pub fn parent_dir() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| SHM_DIR.into(), PathBuf::from)
}

fn subtable<'a>(
    table: &'a mut toml::Table,
    key: &str,
) -> Result<&'a mut toml::Table, SandboxError> {
    table
        .entry(key)
        .or_insert_with(|| toml::Value::Table(toml::Table::new()))
        .as_table_mut()
        .ok_or_else(|| SandboxError::Fragment(format!("`{key}` is not a table")))
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The directory goes with `dir`; an error here would hide the test's own.
        clean::remove_shared_memory(|name| name.starts_with(&self.prefix));
    }
}

/// Joins the domain of a config file written by [`Sandbox::write_config`], without
/// owning it: what another process needs to take a census.
#[derive(Debug, Clone)]
pub struct Domain {
    prefix: String,
    root: PathBuf,
}

impl FromStr for Domain {
    type Err = SandboxError;

    fn from_str(config: &str) -> Result<Self, SandboxError> {
        let table: toml::Table =
            config.parse().map_err(|e: toml::de::Error| SandboxError::Fragment(e.to_string()))?;
        let key = |key: &str| {
            table
                .get("global")
                .and_then(|global| global.get(key)?.as_str())
                .map(str::to_owned)
                .ok_or_else(|| SandboxError::Fragment(format!("`global.{key}` is missing")))
        };
        Ok(Self { prefix: key("prefix")?, root: PathBuf::from(key("root-path")?) })
    }
}

impl Domain {
    /// Reads the domain out of a config file.
    ///
    /// # Errors
    /// If the file cannot be read or has no `global.prefix` and `global.root-path`.
    pub fn of_config(path: &Path) -> Result<Self, SandboxError> {
        fs::read_to_string(path).map_err(SandboxError::io("read", path))?.parse()
    }

    /// `global.prefix` of the domain.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `global.root-path` of the domain.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// See [`Sandbox::census`].
    ///
    /// # Errors
    /// If `/dev/shm`, the root or `/proc/self` cannot be read.
    pub fn census(&self) -> Result<Census, SandboxError> {
        Census::take(&self.prefix, &self.root)
    }

    /// The census of a process that does nothing else meanwhile: nor does it list shared memory.
    ///
    /// # Errors
    /// As [`Self::census`].
    pub fn census_alone(&self) -> Result<Census, SandboxError> {
        let mut census = self.census()?;
        census.leftovers.extend(census::open_listings()?);
        Ok(census)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sandboxes_share_neither_prefix_nor_root() {
        let (a, b) = (Sandbox::new().unwrap(), Sandbox::new().unwrap());
        assert!(!a.prefix().starts_with(b.prefix()) && !b.prefix().starts_with(a.prefix()));
        assert_ne!(a.root(), b.root());
    }

    #[test]
    fn whoever_is_alone_has_no_listing_of_shared_memory_open() {
        let sandbox = Sandbox::new().unwrap();
        let domain = Domain::of_config(&sandbox.config_path()).unwrap();
        let listing = fs::File::open(SHM_DIR).unwrap();
        let census = domain.census_alone().unwrap();
        assert!(census.leftovers.contains(&Leftover::Descriptor(SHM_DIR.to_owned())), "{census}");
        assert!(domain.census().unwrap().is_clean(), "it may be somebody else's");
        drop(listing);
    }

    #[test]
    fn a_fragment_cannot_leave_the_sandbox() {
        let sandbox = Sandbox::new().unwrap();
        let error = sandbox.write_config("x", "[global]\nprefix = 'iox2_'").unwrap_err();
        assert!(error.to_string().contains("`global.prefix` belongs to the sandbox"), "{error}");
    }

    #[test]
    fn a_file_name_tells_its_owner_and_whether_it_lives() {
        let me = Owner::this_process().unwrap();
        assert_eq!(Owner::of_file_name(&format!("{me}-0_abc.data")), Some(me));
        assert!(me.is_alive());
        assert!(!Owner { start_time: me.start_time + 1, ..me }.is_alive());
        assert_eq!(Owner::of_file_name("iox2_abc.data"), None);
        assert_eq!(Owner::of_file_name("gnt-notes"), None);
    }

    #[test]
    fn what_a_sandbox_holds_is_seen_by_the_census_and_gone_after_drop() {
        let sandbox = Sandbox::new().unwrap();
        let shm = Path::new(SHM_DIR).join(format!("{}stray.data", sandbox.prefix()));
        fs::write(&shm, b"x").unwrap();
        fs::write(sandbox.root().join("stray"), b"x").unwrap();
        let census = sandbox.census().unwrap();
        assert_eq!(census.leftovers.len(), 2, "{census}");
        let dir = sandbox.dir().to_owned();
        drop(sandbox);
        assert!(!shm.exists() && !dir.exists());
    }
}
