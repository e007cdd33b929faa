//! The vendor's own conformance tests of the same release, where they are published: the
//! request-response part, on shared memory.

use std::{fs, path::Path, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    Release,
    workshop::{BuildError, Workshop, at, cargo, cargo_succeeds, read_lock, write},
};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conformance {
    /// The tests ran.
    Ran {
        /// How many passed.
        passed: usize,
        /// How many failed.
        failed: usize,
        /// Seconds they took, the build not counted.
        seconds: f64,
    },
    /// There are none for this release, or they do not build; why.
    Unsupported(String),
}

impl std::fmt::Display for Conformance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ran { passed, failed, seconds } => {
                write!(f, "{passed} passed, {failed} failed, {seconds:.1} s")
            }
            Self::Unsupported(_) => f.write_str("n/a"),
        }
    }
}

/// The modules of the conformance tests that are about this pattern.
const MODULES: [&str; 6] = [
    "client",
    "server",
    "pending_response",
    "active_request",
    "service_request_response",
    "service_request_response_builder",
];

impl Workshop {
    /// Builds and runs the conformance tests of a published release.
    ///
    /// # Errors
    /// If a file cannot be written or cargo cannot be started.
    pub fn conformance(&self, release: &Release) -> Result<Conformance, BuildError> {
        let Release::Published(version) = release else {
            let why = "only published releases have their tests in the registry";
            return Ok(Conformance::Unsupported(why.to_owned()));
        };
        let dir = self.dir.join(release.slug()).join("conformance");
        fs::create_dir_all(dir.join("tests")).map_err(at(&dir))?;
        write_if_new(&dir.join("Cargo.toml"), &manifest(&version.to_string()))?;
        write_if_new(&dir.join("lib.rs"), "")?;
        write_if_new(&dir.join("tests/conformance.rs"), &source())?;
        if let Err(printed) = cargo_succeeds(&dir, &["update", "--workspace"]) {
            return Ok(Conformance::Unsupported(last_line(&printed)));
        }
        // Releases of one minor version admit each other's crates.
        super::workshop::pin_siblings(&dir, version)?;
        read_lock(&dir.join("Cargo.lock"))?;
        if let Err(printed) = cargo_succeeds(&dir, &["test", "--release", "--no-run"]) {
            let error = printed.lines().find(|line| line.starts_with("error"));
            let error = error.map_or_else(|| last_line(&printed), str::to_owned);
            return Ok(Conformance::Unsupported(error));
        }
        let started = Instant::now();
        let output = cargo(&dir)
            .args(["test", "--release", "--test", "conformance"])
            .output()
            .map_err(at(Path::new("cargo")))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        Ok(match counts(&printed) {
            Some((passed, failed)) => {
                Conformance::Ran { passed, failed, seconds: started.elapsed().as_secs_f64() }
            }
            None => Conformance::Unsupported(last_line(&String::from_utf8_lossy(&output.stderr))),
        })
    }
}

fn manifest(version: &str) -> String {
    format!(
        "[package]\nname = \"conformance\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [workspace]\n\n\
         [dependencies]\n\
         iceoryx2 = \"={version}\"\n\
         iceoryx2-conformance-tests = \"={version}\"\n\
         iceoryx2-bb-testing = {{ version = \"={version}\", features = [\"std\"] }}\n\
         iceoryx2-bb-testing-macros = \"={version}\"\n\n\
         [lib]\npath = \"lib.rs\"\ntest = false\ndoctest = false\n\n\
         [[test]]\nname = \"conformance\"\nharness = false\n"
    )
}

fn source() -> String {
    let mut source = "mod ipc {\n    use iceoryx2::service::ipc::Service;\n    \
                      use iceoryx2_bb_testing::instantiate_conformance_tests_with_module as suite;\n"
        .to_owned();
    for module in MODULES {
        source += &format!(
            "    suite!({module}, iceoryx2_conformance_tests::{module}, super::Service);\n"
        );
    }
    source + "}\n\niceoryx2_bb_testing::test_harness!();\n"
}

/// What is written anew is built anew.
fn write_if_new(path: &Path, text: &str) -> Result<(), BuildError> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    write(path, text)
}

fn last_line(printed: &str) -> String {
    printed.lines().last().unwrap_or("cargo said nothing").trim().to_owned()
}

/// Passed and failed, as the last line of a test harness has them.
fn counts(printed: &str) -> Option<(usize, usize)> {
    let line = printed.lines().rfind(|line| line.starts_with("test result: "))?;
    let number = |what: &str| {
        let before = line.split(what).next()?;
        before.trim_end().rsplit(' ').next()?.parse().ok()
    };
    Some((number(" passed")?, number(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_a_test_harness_is_read() {
        let line = "test result: FAILED. 201 passed; 2 failed; 0 ignored; finished in 2.35s";
        assert_eq!(counts(&format!("test x ... ok\n\n{line}\n")), Some((201, 2)));
        assert_eq!(counts("error: could not compile"), None);
    }

    #[test]
    fn what_is_in_no_registry_has_no_conformance_tests() {
        let dir = tempfile::tempdir().expect("a directory");
        let workshop = Workshop { suite: dir.path().to_owned(), dir: dir.path().to_owned() };
        let local = Release::Local(dir.path().to_owned());
        let found = workshop.conformance(&local).expect("an answer");
        assert!(matches!(found, Conformance::Unsupported(_)), "{found:?}");
    }
}
