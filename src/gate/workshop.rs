//! Compiles this suite against any release of iceoryx2, each in a directory of its own
//! with its own lock file and target directory, which are used again the next time.

use std::{
    env, fs, io,
    io::BufReader,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use cargo_lock::Lockfile;
use cargo_metadata::{Message, diagnostic::DiagnosticLevel};
use semver::Version;
use toml_edit::{DocumentMut, Item, Table};

use super::Release;

/// Where suites are built.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// The sources of the suite.
    pub suite: PathBuf,
    /// One directory per release is made here.
    pub dir: PathBuf,
}

/// A suite compiled against a release.
#[derive(Debug, Clone)]
pub struct Build {
    /// What was asked for.
    pub release: Release,
    /// What that is: the version of the package.
    pub version: Version,
    /// The `gauntlet` executable.
    pub executable: PathBuf,
    /// Seconds it took; near zero if nothing had changed.
    pub seconds: f64,
}

/// Why there is no build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The sources are not where they were when this was compiled.
    #[error("the sources of the suite are not in {}; name their directory with --suite", .0.display())]
    NoSuite(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A manifest or lock file could not be read.
    #[error("{}: {message}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// There is no such release, or its dependencies cannot be had.
    #[error("iceoryx2 {release}: cargo cannot resolve it: {message}")]
    Resolve {
        /// What was asked for.
        release: String,
        /// What cargo said.
        message: String,
    },
    /// The suite does not compile with it.
    #[error("iceoryx2 {release} does not build; all of it in {}\n{first_error}", log.display())]
    Compile {
        /// What was asked for.
        release: String,
        /// Its first error, and what to do about it where that is known.
        first_error: String,
        /// What cargo printed.
        log: PathBuf,
    },
    /// Whoever runs the gauntlet wants it to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What of the suite a build needs; linked, not copied.
const LINKED: [&str; 3] = ["build.rs", "fixtures", "src"];

/// Told what was compiled, how much of it there is by now, and how much in all.
pub type Progress<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);

impl Workshop {
    /// Compiles the suite against a release, or finds that nothing has changed.
    ///
    /// # Errors
    /// If the release does not exist or does not compile.
    pub fn build(
        &self,
        release: &Release,
        interrupted: &AtomicBool,
        progress: Progress<'_>,
    ) -> Result<Build, BuildError> {
        let started = Instant::now();
        let dir = self.dir.join(release.slug());
        self.prepare(release, &dir)?;
        let lock = read_lock(&dir.join("Cargo.lock"))?;
        let version = lock
            .packages
            .iter()
            .find(|package| package.name.as_str() == "iceoryx2")
            .map(|package| package.version.clone())
            .ok_or_else(|| BuildError::Resolve {
                release: release.to_string(),
                message: "it is not in the lock file".to_owned(),
            })?;
        let version = Version::parse(&version.to_string()).map_err(|error| BuildError::Parse {
            path: dir.join("Cargo.lock"),
            message: error.to_string(),
        })?;
        let executable = compile(release, &dir, lock.packages.len(), interrupted, progress)?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Build { release: release.clone(), version, executable, seconds })
    }

    /// Writes the manifest and resolves it, unless that is done already.
    fn prepare(&self, release: &Release, dir: &Path) -> Result<(), BuildError> {
        let manifest = self.manifest(release)?;
        let suite_lock = read(&self.suite.join("Cargo.lock"))?;
        fs::create_dir_all(dir).map_err(at(dir))?;
        for name in LINKED {
            link(&self.suite.join(name), &dir.join(name))?;
        }
        let (manifest_path, resolved_from) = (dir.join("Cargo.toml"), dir.join("resolved-from"));
        let inputs = format!("{manifest}\n{suite_lock}");
        let is_resolved = fs::read_to_string(&resolved_from).is_ok_and(|text| text == inputs)
            && dir.join("Cargo.lock").is_file();
        // A branch or a directory may have moved on.
        if is_resolved && matches!(release, Release::Published(_)) {
            return Ok(());
        }
        write(&manifest_path, &manifest)?;
        if !is_resolved {
            write(&dir.join("Cargo.lock"), &suite_lock)?;
        }
        let arguments: &[&str] = match release {
            Release::Git { .. } => &["update", "--package", "iceoryx2"],
            _ => &["update", "--workspace"],
        };
        cargo_succeeds(dir, arguments)
            .map_err(|message| BuildError::Resolve { release: release.to_string(), message })?;
        if let Release::Published(version) = release {
            pin_siblings(dir, version)?;
        }
        write(&resolved_from, &inputs)
    }

    /// The manifest of the suite with another iceoryx2, and without its tests.
    fn manifest(&self, release: &Release) -> Result<String, BuildError> {
        let path = self.suite.join("Cargo.toml");
        if !path.is_file() {
            return Err(BuildError::NoSuite(self.suite.clone()));
        }
        let mut manifest = read(&path)?
            .parse::<DocumentMut>()
            .map_err(|error| BuildError::Parse { path, message: error.to_string() })?;
        for of_tests in ["test", "bench", "dev-dependencies"] {
            manifest.remove(of_tests);
        }
        manifest["dependencies"]["iceoryx2"] = Item::Value(release.to_dependency());
        // Whatever lies above the directory is none of its business.
        manifest.insert("workspace", Item::Table(Table::new()));
        Ok(manifest.to_string())
    }
}

/// All crates of iceoryx2 in the versions that were released together: their requirements
/// admit later ones, which would mend what the release has broken.
pub(super) fn pin_siblings(dir: &Path, version: &Version) -> Result<(), BuildError> {
    let lock_path = dir.join("Cargo.lock");
    let is_of_another_release = |package: &&cargo_lock::Package| {
        package.name.as_str().starts_with("iceoryx2")
            && package.version.to_string() != version.to_string()
    };
    loop {
        let lock = read_lock(&lock_path)?;
        let others: Vec<_> = lock.packages.iter().filter(is_of_another_release).collect();
        // Those that others still need in the later version follow in the next round. One
        // that was not released with the others never does.
        let moved = others.iter().any(|package| {
            let name = format!("{}@{}", package.name, package.version);
            let to = version.to_string();
            cargo_succeeds(dir, &["update", "--package", &name, "--precise", &to]).is_ok()
        });
        if !moved {
            return Ok(());
        }
    }
}

fn compile(
    release: &Release,
    dir: &Path,
    packages: usize,
    interrupted: &AtomicBool,
    progress: Progress<'_>,
) -> Result<PathBuf, BuildError> {
    let log = dir.join("build.log");
    let failed = |first_error: Option<String>| {
        let printed = fs::read_to_string(&log).unwrap_or_default();
        let first_error = first_error.unwrap_or_else(|| explain(&printed));
        BuildError::Compile { release: release.to_string(), first_error, log: log.clone() }
    };
    // What nobody has released may not even compile by itself, which shows at once.
    if !matches!(release, Release::Published(_)) {
        let alone = ["build", "--release", "--locked", "--package", "iceoryx2"];
        if let Err(printed) = cargo_succeeds(dir, &alone) {
            write(&log, &printed)?;
            return Err(failed(None));
        }
    }
    let log_file = fs::File::create(&log).map_err(at(&log))?;
    let mut cargo = cargo(dir)
        .args(["build", "--release", "--locked", "--bin", "gauntlet"])
        .args(["--message-format", "json-render-diagnostics"])
        .stdout(Stdio::piped())
        .stderr(log_file)
        // An interruption is for this process, which ends what it started.
        .process_group(0)
        .spawn()
        .map_err(at(Path::new("cargo")))?;
    let mut executable = None;
    let mut first_error = None;
    let mut compiled = 0;
    if let Some(stdout) = cargo.stdout.take() {
        for message in Message::parse_stream(BufReader::new(stdout)) {
            if interrupted.load(Ordering::Relaxed) {
                end_group(&mut cargo);
                return Err(BuildError::Interrupted);
            }
            match message.map_err(at(&log))? {
                Message::CompilerArtifact(artifact) => {
                    compiled += 1;
                    progress(&artifact.target.name, compiled, packages);
                    if artifact.target.name == "gauntlet" {
                        executable = artifact.executable.map(PathBuf::from).or(executable);
                    }
                }
                Message::CompilerMessage(message)
                    if message.message.level == DiagnosticLevel::Error =>
                {
                    first_error = first_error.or(message.message.rendered);
                }
                _ => {}
            }
        }
    }
    let status = cargo.wait().map_err(at(Path::new("cargo")))?;
    match executable {
        Some(executable) if status.success() => Ok(executable),
        _ => Err(failed(first_error)),
    }
}

/// The first error of what cargo printed, and what to install where something is missing.
fn explain(printed: &str) -> String {
    if printed.contains("libclang") {
        return "libclang is missing, which releases up to 0.8.1 generate their bindings with: \
                apt-get install libclang-dev clang"
            .to_owned();
    }
    let first = printed.lines().skip_while(|line| !line.starts_with("error"));
    first.take_while(|line| !line.is_empty()).take(20).collect::<Vec<_>>().join("\n")
}

fn end_group(cargo: &mut std::process::Child) {
    let group = i32::try_from(cargo.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // Nobody is left to end if this fails.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
    }
    let _ = cargo.wait();
}

pub(super) fn cargo(dir: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dir).arg("--color=never").env("CARGO_TARGET_DIR", dir.join("target"));
    cargo
}

/// Runs cargo to its end.
pub(super) fn cargo_succeeds(dir: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = cargo(dir)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Makes `link` lead to `target`.
fn link(target: &Path, link: &Path) -> Result<(), BuildError> {
    let target = target.canonicalize().map_err(at(target))?;
    if fs::read_link(link).is_ok_and(|there| there == target) {
        return Ok(());
    }
    if link.is_symlink() {
        fs::remove_file(link).map_err(at(link))?;
    }
    std::os::unix::fs::symlink(&target, link).map_err(at(link))
}

pub(super) fn read_lock(path: &Path) -> Result<Lockfile, BuildError> {
    Lockfile::load(path)
        .map_err(|error| BuildError::Parse { path: path.to_owned(), message: error.to_string() })
}

fn read(path: &Path) -> Result<String, BuildError> {
    fs::read_to_string(path).map_err(at(path))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    fs::write(path, text).map_err(at(path))
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |source| BuildError::Io { path, source }
}
