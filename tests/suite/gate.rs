//! The upgrade gate, on this build: against itself, and against itself with something
//! broken on purpose. What other releases do is no matter for a quick test.

use std::{
    collections::BTreeSet,
    fs,
    num::NonZeroUsize,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use assert_cmd::Command;
use iox2_gauntlet::{
    actor::version,
    gate::{
        self, Build, Plan, Release,
        judge::{Case, standings},
        matrix::matrix,
        mixed::{Reception, mixed},
        report::{GateReport, Policy, Word},
    },
    model::{Promise, quirk::Quirk},
    report,
    scenario::Scenario,
};
use predicates::{prelude::PredicateBooleanExt as _, str::contains};

const GAUNTLET: &str = env!("CARGO_BIN_EXE_gauntlet");

fn build(executable: &Path) -> Build {
    let version = version::iceoryx2_version();
    Build {
        release: Release::Published(version.clone()),
        version,
        executable: executable.to_owned(),
        seconds: 0.0,
    }
}

/// A build of which the judge lets everything be sabotaged.
fn sabotaged(dir: &Path, sabotage: &str) -> Build {
    let script = dir.join("sabotaged");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = judge ] && set -- judge --sabotage {sabotage}\nexec '{GAUNTLET}' \"$@\"\n"
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    build(&script)
}

fn plan(out: &Path, scenarios: u64) -> Plan {
    Plan { time: Duration::from_secs(4), scenarios, seed: 1, out: out.to_owned() }
}

fn gate_of(baseline: Build, candidate: Build, plan: &Plan) -> GateReport {
    gate::gate(&[baseline, candidate], plan, &AtomicBool::new(false), &|_| {}).unwrap()
}

#[test]
fn a_release_against_itself_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let this = || build(Path::new(GAUNTLET));
    let report = gate_of(this(), this(), &plan(dir.path(), 60));
    assert_eq!(report.word(), Word::Same, "{}", report::gate::render(&report));
    assert_eq!(report.count(Word::Spurious), 0, "{}", report::gate::render(&report));
    assert_eq!(report.misjudged().count(), 0, "{}", report::gate::render(&report));
    assert!(report.passes(Policy::Changes));
    assert!(report.compared_steps > 500, "{}", report.compared_steps);
    assert!(report.timings.iter().all(|timing| timing.baseline > 0), "{:?}", report.timings);
    assert_eq!(report.timings.len(), 4);
    assert!(!report.changes.is_empty());
    let again: GateReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again.changes, report.changes);
}

#[test]
fn what_only_the_candidate_breaks_is_a_regression_with_a_small_case() {
    let dir = tempfile::tempdir().unwrap();
    let broken = sabotaged(dir.path(), "request-last-byte-flipped");
    let report = gate_of(build(Path::new(GAUNTLET)), broken, &plan(dir.path(), 4));
    assert_eq!(report.word(), Word::Regressed);
    assert!(!report.passes(Policy::Regressions) && report.passes(Policy::Crashes));
    let regressed = report.differences.iter().find(|change| change.word == Word::Regressed);
    let regressed = regressed.unwrap_or_else(|| panic!("{:?}", report.differences));
    assert_eq!(regressed.promise, Some(Promise::RequestBytesArrive));
    // The case is there, and small.
    let case = iox2_gauntlet::scenario::Scenario::load(&regressed.file).unwrap();
    assert!(case.written_steps() <= 8, "{case:?}");
}

#[test]
fn a_matrix_shows_the_known_quirks_where_their_files_say() {
    let dir = tempfile::tempdir().unwrap();
    let calm = AtomicBool::new(false);
    let builds = [build(Path::new(GAUNTLET))];
    let report = matrix(&builds, &plan(dir.path(), 1), &calm, &|_| {});
    let report = report.unwrap();
    assert!(report.is_as_stated(), "{}", report::matrix::render(&report));
    let shows = |id: &str| {
        let row = report.quirks.iter().find(|row| row.id == id).unwrap();
        row.cells[0].1.is_broken()
    };
    assert!(shows("response-reaches-another-client") || version::IOX2_VERSION != "0.10.0");
    let markdown = report::matrix::markdown(&report);
    assert!(markdown.contains("| response-reaches-another-client"), "{markdown}");
}

/// What only shows when threads meet may not show at once.
#[test]
fn a_case_that_may_take_several_tries_is_judged_until_it_shows_and_no_more_often() {
    let dir = tempfile::tempdir().unwrap();
    let (script, log) = (dir.path().join("counted"), dir.path().join("log"));
    // Every line is a scenario to be judged.
    let text = format!("#!/bin/sh\ntee -a '{}' | '{GAUNTLET}' \"$@\"\n", log.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (calm, no_switches) = (AtomicBool::new(false), BTreeSet::new());
    let times = |quirk: &Quirk| {
        fs::write(&log, "").unwrap();
        let case = [Case::of_quirk(quirk, &no_switches)];
        let standing = standings(&build(&script), &case, 2, &calm).unwrap().remove(0);
        (standing.is_broken(), fs::read_to_string(&log).unwrap().lines().count())
    };
    let known = Quirk::known().unwrap();
    let quirk = known.iter().find(|quirk| quirk.id == "failed-response-loan-keeps-count").unwrap();
    let shows = Quirk { tries: NonZeroUsize::new(5).unwrap(), ..quirk.clone() };
    let kept = Quirk { scenario: Scenario::of_steps(Vec::new()), ..shows.clone() };
    assert_eq!(times(&kept), (false, 5));
    if quirk.affects(&version::iceoryx2_version()) {
        assert_eq!(times(&shows), (true, 1));
    }
}

#[test]
fn two_processes_of_one_release_share_a_domain_and_take_it_over() {
    let calm = AtomicBool::new(false);
    let this = || build(Path::new(GAUNTLET));
    let pairs = mixed(&[this()], &calm, &|_| {}).unwrap();
    let [pair] = &pairs[..] else { panic!("{pairs:?}") };
    assert!(pair.is_orderly(), "{pair:?}");
    assert_eq!((&pair.after, &pair.at_once), (&Reception::Works, &Reception::Works));
    assert!(report::mixed::render(&pairs).contains("1 of 1 pairs in order"));
}

/// A newcomer that makes room for itself.
#[test]
fn a_newcomer_that_removes_what_the_incumbent_has_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("rude");
    let text = [
        "#!/bin/sh",
        "read -r line",
        r#"config=$(echo "$line" | sed 's/.*"config":"\([^"]*\)".*/\1/')"#,
        r#"prefix=$(sed -n 's/^prefix = "\(.*\)"$/\1/p' "$config")"#,
        r#"rm -f /dev/shm/"$prefix"*.dynamic"#,
        &format!("(echo \"$line\"; cat) | '{GAUNTLET}' \"$@\""),
    ];
    fs::write(&script, text.join("\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let calm = AtomicBool::new(false);
    let builds = [build(Path::new(GAUNTLET)), build(&script)];
    let pairs = mixed(&builds, &calm, &|_| {}).unwrap();
    let harm = pairs[1].harm.as_deref().unwrap_or_else(|| panic!("{pairs:?}"));
    assert!(harm.contains(".dynamic is gone"), "{harm}");
    assert!(pairs[0].is_orderly() && !pairs[1].is_orderly());
}

fn gauntlet(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(GAUNTLET).args(arguments).timeout(Duration::from_secs(120)).assert()
}

#[test]
fn what_is_no_release_is_bad_usage() {
    gauntlet(&["gate", "--baseline", "latest", "--candidate", "0.10.0"])
        .code(2)
        .stderr(contains("`latest` is no release of iceoryx2: give a version such as"));
    gauntlet(&["matrix", "0.10.0", "git+x?commit=1"])
        .code(2)
        .stderr(contains("after `?` there has to be branch=, tag= or rev="));
}

#[test]
fn a_suite_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let arguments = ["--suite", &at("nowhere"), "--builds", &at("builds")];
    gauntlet(&[&["matrix", "0.10.0"], &arguments[..]].concat())
        .code(2)
        .stderr(contains("are not in").and(contains("--suite")));
}

/// An iceoryx2 that does not even compile by itself, which cargo finds out at once.
#[test]
fn a_candidate_that_does_not_compile_ends_with_the_first_error_of_the_compiler() {
    let dir = tempfile::tempdir().unwrap();
    let candidate: PathBuf = dir.path().join("iceoryx2");
    fs::create_dir_all(candidate.join("src")).unwrap();
    fs::write(
        candidate.join("Cargo.toml"),
        "[package]\nname = 'iceoryx2'\nversion = '0.10.99'\nedition = '2021'\n[workspace]\n",
    )
    .unwrap();
    fs::write(candidate.join("src/lib.rs"), "pub fn broken( {}\n").unwrap();
    let (candidate, builds) =
        (candidate.display().to_string(), dir.path().join("builds").display().to_string());
    gauntlet(&["matrix", &candidate, "--builds", &builds]).code(4).stderr(
        contains("does not build")
            .and(contains("mismatched closing delimiter"))
            .or(contains("does not build").and(contains("unclosed delimiter"))),
    );
}

/// A report of the first schema: whoever keeps old ones can still read them.
#[test]
fn an_old_report_is_still_read_and_shown_in_all_views() {
    let text = include_str!("../../fixtures/reports/gate-schema-1.json");
    let old: GateReport = serde_json::from_str(text).unwrap();
    assert_eq!((old.schema, old.baseline.version.as_str()), (1, "0.9.3"));
    assert_eq!((old.word(), old.count(Word::Fixed)), (Word::Regressed, 3));

    let shown = report::gate::render(&old);
    assert!(shown.contains("0.9.3 -> 0.10.0: REGRESSED; 2 regressed, 3 fixed"), "{shown}");
    assert!(shown.contains("growths of a client"), "{shown}");

    let markdown = report::markdown::of_gate(&old);
    assert!(markdown.starts_with("### iceoryx2 0.9.3 to 0.10.0: REGRESSED\n"), "{markdown}");
    // Every row of a table has as many cells as its header.
    for table in markdown.split("\n\n").filter(|part| part.starts_with('|')) {
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let header = table.lines().next().map(cells).unwrap();
        assert!(table.lines().all(|line| cells(line) == header), "{table}");
    }

    let junit = quick_junit::Report::deserialize_from_str(&report::junit::of_gate(&old).unwrap());
    let junit = junit.unwrap();
    assert_eq!((junit.tests, junit.failures), (8, 2));
}
