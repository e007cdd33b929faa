//! Many releases: every promise and every known quirk by release.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Instant,
};

use semver::Version;
use serde::{Deserialize, Serialize};

use super::{
    Build, GateError, Plan,
    conformance::Conformance,
    judge::{self, Case, Standing},
    report::{SCHEMA, Side},
};
use crate::{
    campaign,
    model::{Promise, quirk::Quirk},
    report::{Finding, Verdict},
};

/// Repetitions of a proof on each release.
const REPETITIONS: usize = 2;

/// A quirk on every release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QuirkRow {
    /// Its file's name.
    pub id: String,
    /// The promise it breaks.
    pub promise: Promise,
    /// The upstream issue, if there is one.
    pub upstream: Option<String>,
    /// Whether its file says that it affects the release, and how its proof does, by release.
    pub cells: Vec<(bool, Standing)>,
}

impl QuirkRow {
    /// The releases on which it does not do as its file says, as indices.
    pub fn misjudged(&self) -> impl Iterator<Item = usize> {
        self.cells.iter().enumerate().filter_map(|(i, (expected, standing))| {
            // Of what could not be put to the test nothing is known.
            let shows = match standing {
                Standing::Unsupported(_) | Standing::Masked(_) => *expected,
                Standing::Flaky(..) => !*expected,
                Standing::Kept => false,
                _ => true,
            };
            (shows != *expected).then_some(i)
        })
    }
}

/// Promises and quirks by release.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MatrixReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The releases, in the order they were given.
    pub releases: Vec<Side>,
    /// What became of every promise, by release.
    pub promises: BTreeMap<Promise, Vec<Verdict>>,
    /// Every known quirk.
    pub quirks: Vec<QuirkRow>,
    /// What the runs found that no quirk explains, by release.
    pub findings: Vec<Vec<Finding>>,
    /// The vendor's own tests, by release, if asked for.
    #[serde(default)]
    pub conformance: Vec<Conformance>,
    /// Seed of the generated scenarios.
    pub seed: u64,
    /// Seconds it took, builds not counted.
    pub seconds: f64,
}

impl MatrixReport {
    /// Whether every quirk shows where its file says, and nowhere else.
    #[must_use]
    pub fn is_as_stated(&self) -> bool {
        self.quirks.iter().all(|quirk| quirk.misjudged().next().is_none())
    }
}

/// Runs the suite and every proof on each of the builds.
///
/// # Errors
/// If the harness fails; what a release does is in the report.
pub fn matrix(
    builds: &[Build],
    plan: &Plan,
    interrupted: &AtomicBool,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<MatrixReport, GateError> {
    let started = Instant::now();
    let known = Quirk::known()?;
    let mut releases = Vec::new();
    let mut promises = BTreeMap::<Promise, Vec<Verdict>>::new();
    let mut findings = Vec::new();
    let row = |quirk: &Quirk| QuirkRow {
        id: quirk.id.clone(),
        promise: quirk.promise,
        upstream: quirk.upstream.clone(),
        cells: Vec::new(),
    };
    let mut quirks: Vec<_> = known.iter().map(row).collect();
    for build in builds {
        tell(&format!("trying the proofs of all quirks on iceoryx2 {}", build.release));
        for (row, standing) in quirks.iter_mut().zip(standings(build, &known, interrupted)?) {
            row.cells.push(standing);
        }
        let report = super::run(build, plan, &build.release.slug(), tell)?;
        for &promise in Promise::ALL {
            promises.entry(promise).or_default().push(report.verdict(promise));
        }
        releases.push(Side::new(build, &report));
        findings.push(report.findings);
    }
    Ok(MatrixReport {
        schema: SCHEMA,
        releases,
        promises,
        quirks,
        findings,
        conformance: Vec::new(),
        seed: plan.seed,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// How each proof does, and whether that was to be expected.
fn standings(
    build: &Build,
    known: &[Quirk],
    interrupted: &AtomicBool,
) -> Result<Vec<(bool, Standing)>, GateError> {
    // Those of other releases would only take away what this one can do.
    let of_release: Vec<_> =
        known.iter().filter(|quirk| quirk.affects(&build.version)).cloned().collect();
    let all = campaign::switches(&of_release);
    let cases: Vec<_> = known.iter().map(|quirk| Case::of_quirk(quirk, &all)).collect();
    let standings = judge::standings(build, &cases, REPETITIONS, interrupted)?;
    Ok(known.iter().map(|quirk| quirk.affects(&build.version)).zip(standings).collect())
}

/// The text of a quirk file with the releases its proof was run on, as the matrix saw them.
///
/// # Errors
/// If the text is no TOML.
pub fn with_ran(text: &str, ran: &[Version]) -> Result<String, toml_edit::TomlError> {
    let mut document = text.parse::<toml_edit::DocumentMut>()?;
    let mut all = toml_edit::Array::new();
    ran.iter().for_each(|version| all.push(version.to_string()));
    document["ran"] = toml_edit::value(all);
    Ok(document.to_string())
}

/// Writes to the quirk files of a directory on which releases their proofs were run.
///
/// # Errors
/// If a file cannot be read or written.
pub fn note_releases(report: &MatrixReport, dir: &Path) -> Result<(), GateError> {
    let at = |path: &Path| {
        let path: PathBuf = path.to_owned();
        move |source| GateError::Io { path, source }
    };
    for quirk in &report.quirks {
        let path = dir.join(format!("{}.toml", quirk.id));
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
        let mut ran: Vec<_> = report
            .releases
            .iter()
            .zip(&quirk.cells)
            .filter(|(_, (_, standing))| {
                !matches!(standing, Standing::Unsupported(_) | Standing::Masked(_))
            })
            .filter_map(|(release, _)| Version::parse(&release.version).ok())
            .collect();
        ran.sort();
        let text = with_ran(&text, &ran)
            .map_err(|error| at(&path)(std::io::Error::other(error.to_string())))?;
        std::fs::write(&path, text).map_err(at(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: Vec<(bool, Standing)>) -> QuirkRow {
        QuirkRow { id: "x".to_owned(), promise: Promise::NeverCrashes, upstream: None, cells }
    }

    #[test]
    fn a_proof_has_to_do_as_its_file_says() {
        let broken = || Standing::Broken("x".to_owned());
        let right = row(vec![
            (true, broken()),
            (false, Standing::Kept),
            (true, Standing::Unsupported("an API".to_owned())),
            (false, Standing::Unsupported("an API".to_owned())),
        ]);
        assert_eq!(right.misjudged().count(), 0);
        let wrong = row(vec![
            (true, Standing::Kept),
            (false, broken()),
            (true, Standing::Flaky(1, 2)),
            (false, Standing::Flaky(1, 2)),
        ]);
        assert_eq!(wrong.misjudged().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn only_the_releases_of_a_quirk_file_are_rewritten() {
        let text = "# why\nran = [\"0.9.3\"]\nsentence = \"\"\"\nx\"\"\"\n";
        let ran = [Version::new(0, 8, 0), Version::new(0, 10, 0)];
        assert_eq!(
            with_ran(text, &ran).expect("TOML"),
            "# why\nran = [\"0.8.0\", \"0.10.0\"]\nsentence = \"\"\"\nx\"\"\"\n"
        );
    }
}
