//! The `gauntlet` command as a person and a CI job meet it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{self, Stdio},
};

use assert_cmd::Command;
use iox2_gauntlet::{
    coverage::{LONG_RUN, situations},
    report::RunReport,
    scenario::generate::{Family, scenario_of_run},
};
use predicates::{
    prelude::*,
    str::{contains, is_match},
};
use tempfile::TempDir;

/// `gauntlet`, in the directory of the manifest: replay commands name paths from there.
fn gauntlet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).timeout(std::time::Duration::from_secs(60));
    command
}

/// A directory for what a test writes.
fn scratch() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn scenario_file(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("scenario.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn whoever_reads_no_further_has_read_enough() {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    command.args(["list", "--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_kept_scenario_is_one_line_and_no_error() {
    gauntlet()
        .args(["replay", "fixtures/scenarios/round-trip.toml"])
        .assert()
        .code(0)
        .stdout("KEPT fixtures/scenarios/round-trip.toml (13 steps)\n")
        .stderr("");
    gauntlet()
        .args(["replay", "--apart", "fixtures/scenarios/round-trip.toml"])
        .assert()
        .code(0)
        .stdout("KEPT fixtures/scenarios/round-trip.toml (13 steps)\n");
}

#[test]
fn a_scenario_that_kills_gives_each_participant_a_process_and_tells_of_every_step() {
    gauntlet()
        .args(["replay", "--lenient", "--trace", "fixtures/scenarios/killed-participants.toml"])
        .assert()
        .code(0)
        .stdout(predicate::str::contains(
            ": participant @1 is killed, @3 cleans up\n  \
             expected: 1 dead node(s), cleaned up\n  \
             observed: 1 dead node(s), 1 cleaned up, 0 not, 0 left\n",
        ))
        .stdout(predicate::str::contains("KEPT fixtures/scenarios/killed-participants.toml"));
}

#[cfg(iox2_at_least_0_10)]
#[test]
fn a_broken_promise_is_told_with_what_was_expected_and_observed() {
    gauntlet()
        .args(["replay", "fixtures/quirks/gone-server-stays-connected.toml"])
        .assert()
        .code(1)
        .stdout(
            "BROKEN fixtures/quirks/gone-server-stays-connected.toml pending-response-connection: a pending \
             response is connected exactly as long as some server may still answer it\n  \
             step 7: inspect pending @5\n    \
             expected: connected false, has_response false, 1 server(s)\n    \
             observed: connected true, has_response false, 1 server(s)\n",
        )
        .stderr("");
    // Its length is beyond `i64::MAX`, which not every TOML reader takes.
    gauntlet()
        .args(["replay", "fixtures/quirks/impossible-request-loan-overflows.toml"])
        .assert()
        .code(1)
        .stdout(contains("BROKEN").and(contains("never-crashes")).and(contains("step 3")));
}

#[test]
fn one_broken_file_among_kept_ones_decides_the_exit_code() {
    gauntlet()
        .args(["replay", "--lenient", "fixtures/scenarios/round-trip.toml"])
        .args(["fixtures/scenarios/limit-of-clients.toml"])
        .assert()
        .code(0)
        .stdout(predicate::function(|out: &str| out.lines().count() == 2));
    // Nothing runs before every file is known to be good.
    gauntlet()
        .args(["replay", "fixtures/scenarios/round-trip.toml", "nowhere.toml"])
        .assert()
        .code(2)
        .stdout("")
        .stderr("gauntlet: read nowhere.toml: No such file or directory (os error 2)\n");
}

#[test]
fn a_bad_scenario_file_is_refused_with_place_and_expectation() {
    const SYNTAX: &str = "schema = 1\nsteps = [\n    { join = {} },\n    { join = {} \n]\n";
    const STEP: &str = "schema = 1\nsteps = [\n    { create-cleint = { participant = 0 } },\n]\n";
    const TYPE: &str = "schema = 1\nsteps = [{ drop-client = { client = \"0\" } }]\n";
    const NEGATIVE: &str = "schema = 1\nsteps = [{ loan-request = { client = 0, len = -1 } }]\n";
    const MISSING: &str = "schema = 1\nsteps = [{ loan-request = { client = 0 } }]\n";
    const STRATEGY: &str = "schema = 1\nsteps = [\n  { create-client = { participant = 0, strategy = \"bestfit\", hint = 8 } },\n]\n";
    const SETTING: &str = "schema = 1\nsteps = []\n[service]\nmax-client = 3\n";
    const SCHEMA: &str = "# from the future\nschema = 9\nsteps = [{ teleport = { client = 0 } }]\n";
    for (text, place, explanation) in [
        (SYNTAX, "5:1", "invalid inline table element, expected `,`"),
        (STEP, "3:7", "did you mean `create-client`?"),
        (TYPE, "2:37", "invalid type: string \"0\", expected i32"),
        (NEGATIVE, "2:47", "invalid value: integer `-1`, expected usize"),
        (MISSING, "2:27", "missing field `len`"),
        (
            STRATEGY,
            "3:51",
            "unknown variant `bestfit`, expected one of `static`, `best-fit`, `power-of-two`; did you mean `best-fit`?",
        ),
        (SETTING, "4:1", "did you mean `max-clients`?"),
        (SCHEMA, "2:10", "schema 9 is not supported, this gauntlet reads schema 1"),
        ("", "1:1", "missing field `schema`"),
    ] {
        let dir = scratch();
        let file = scenario_file(&dir, text);
        for command in ["replay", "shrink"] {
            gauntlet()
                .arg(command)
                .arg(&file)
                .assert()
                .code(2)
                .stdout("")
                .stderr(contains(format!("gauntlet: {}:{place}: ", file.display())))
                .stderr(contains(explanation));
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = scratch();
    let directory = dir.path().display().to_string();
    gauntlet()
        .args(["replay", &directory])
        .assert()
        .code(2)
        .stderr(format!("gauntlet: read {directory}: Is a directory (os error 21)\n"));
    let binary = dir.path().join("binary.toml");
    fs::write(&binary, b"schema = 1\xff\n").unwrap();
    gauntlet().arg("replay").arg(&binary).assert().code(2).stderr(format!(
        "gauntlet: read {}: stream did not contain valid UTF-8\n",
        binary.display()
    ));
}

#[test]
fn bad_usage_is_told_apart() {
    for (arguments, explanation) in [
        ("replay", "the following required arguments were not provided"),
        ("run --for 5", "invalid value '5' for '--for <DURATION>': time unit needed"),
        ("run --scenarios=-1", "invalid value '-1' for '--scenarios <N>'"),
        ("run --sceanrios 3", "a similar argument exists: '--scenarios'"),
        ("rum", "unrecognized subcommand 'rum'"),
        ("list --format xml", "[possible values: text, json]"),
        ("hunt no-such-quirk", "has `no-such-quirk` in its name"),
    ] {
        gauntlet()
            .args(arguments.split(' '))
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(explanation));
    }
}

#[test]
fn list_shows_promises_quirks_and_fixtures_to_people_and_machines() {
    gauntlet().arg("list").assert().code(0).stdout(
        contains("hint-is-only-a-hint").and(contains("limit-of-clients")).and(contains("severity")),
    );
    let out = gauntlet().args(["list", "--format", "json"]).assert().code(0);
    let list: serde_json::Value = serde_json::from_slice(&out.get_output().stdout).unwrap();
    let promises = list["promises"].as_array().unwrap();
    assert_eq!(promises.len(), iox2_gauntlet::model::Promise::ALL.len());
    assert_eq!(promises[0]["id"], "never-crashes");
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/quirks")).unwrap();
    assert_eq!(list["quirks"].as_array().unwrap().len(), files.count());
    let fixtures = list["fixtures"].as_array().unwrap();
    assert!(fixtures.contains(&"fixtures/scenarios/round-trip.toml".into()), "{fixtures:?}");
}

/// The report of a run of 20 scenarios on one worker.
fn report_of_run(out: &Path, seed: &str) -> serde_json::Value {
    gauntlet()
        .args(["run", "--scenarios", "20", "--jobs", "1", "--seed", seed, "--out"])
        .arg(out)
        .assert()
        .code(0)
        .stdout(contains(" promises kept, ").and(contains(format!("seed {seed}\n"))))
        .stderr(contains("judging iceoryx2 "));
    let report = fs::read_to_string(out.join("latest/report.json")).unwrap();
    let mut report: serde_json::Value = serde_json::from_str(&report).unwrap();
    // How long it took is another matter.
    for quirk in report["quirks"].as_array_mut().unwrap() {
        if let Some(first_met) = quirk["first-met"].as_object_mut() {
            assert!(first_met["seconds"].as_f64().unwrap() > 0.0);
            first_met["seconds"] = 0.0.into();
        }
    }
    report
}

#[test]
fn a_run_leaves_its_report_where_latest_points_and_repeats_itself_by_seed() {
    let dir = scratch();
    let first = report_of_run(dir.path(), "7");
    assert!(fs::symlink_metadata(dir.path().join("latest")).unwrap().is_symlink());
    assert_eq!(first["seed"], 7);
    assert_eq!(first["interrupted"], false);
    assert_eq!(first["findings"], serde_json::json!([]));
    let view = |name: &str| fs::read_to_string(dir.path().join("latest").join(name)).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&view("junit.xml")).unwrap();
    assert_eq!((junit.tests, junit.failures), (2 * iox2_gauntlet::model::Promise::ALL.len(), 0));
    assert!(view("report.md").contains("all promises kept or broken as known"));
    let generated = Family::ALL.map(Family::id);
    let generated = generated.map(|family| first["scenarios"][family].as_u64().unwrap_or(0));
    assert_eq!(generated.iter().sum::<u64>(), 20, "{}", first["scenarios"]);

    let second = report_of_run(dir.path(), "7");
    for what in ["checks", "coverage", "unreached", "scenarios", "steps", "skipped", "quirks"] {
        assert_eq!(first[what], second[what], "{what} of two runs with the same seed");
    }
    assert_eq!(fs::read_dir(dir.path().join("runs")).unwrap().count(), 2);
    // Which says something only if another seed gives something else.
    assert_ne!(scenario_of_run(7, 0).steps, scenario_of_run(8, 0).steps);
}

#[test]
fn a_long_run_that_reached_little_is_told_from_a_good_one() {
    let dir = scratch();
    let mut report: RunReport = serde_json::from_value(report_of_run(dir.path(), "7")).unwrap();
    let reach = report.reach();
    assert_eq!(reach.unreached, report.unreached);
    // What was checked, was checked in some situation, and in a possible one.
    let checked = report.checks.values().filter(|&&count| count > 0).count();
    let counted = report.coverage.values().flat_map(|coverage| coverage.checks());
    let mut sums = BTreeMap::new();
    counted.for_each(|(promise, count)| *sums.entry(promise).or_insert(0) += count);
    assert_eq!(sums, report.checks);
    assert!(checked > 30 && reach.reached > 10 * checked, "{reach:?}");
    let met = report
        .coverage
        .iter()
        .flat_map(|(&layout, coverage)| coverage.cells().map(move |(cell, _)| (layout, *cell)));
    let possible: BTreeSet<_> = situations().collect();
    assert_eq!(met.filter(|met| !possible.contains(met)).collect::<Vec<_>>(), []);

    assert!(!report.is_below_floor(), "a short run is not expected to get around");
    report.scenarios.insert(Family::Growth.id(), LONG_RUN);
    assert!(report.is_below_floor(), "{} %", reach.percent());
}

#[test]
fn a_report_for_machines_is_the_one_that_is_saved() {
    let dir = scratch();
    let out = gauntlet()
        .args(["run", "--scenarios", "0", "--format", "json", "--out"])
        .arg(dir.path())
        .assert()
        .code(0);
    let printed: serde_json::Value = serde_json::from_slice(&out.get_output().stdout).unwrap();
    let saved = fs::read_to_string(dir.path().join("latest/report.json")).unwrap();
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(&saved).unwrap());
}

#[cfg(iox2_at_least_0_10)]
#[test]
fn a_strict_run_saves_cases_that_replay_and_shrink() {
    let dir = scratch();
    gauntlet()
        .args(["run", "--strict", "--scenarios", "1", "--seed", "4", "--jobs", "1", "--out"])
        .arg(dir.path())
        .assert()
        .code(1)
        .stdout(contains("promised: ").and(contains("replay: cargo run")))
        // What comes from a file has been shrunk already.
        .stdout(
            is_match("first in Growth, seed 4, scenario 0; .*from [0-9]{2} to [0-9] steps")
                .unwrap(),
        );
    let cases = fs::read_dir(dir.path().join("latest/cases")).unwrap();
    let cases: Vec<_> = cases.map(|entry| entry.unwrap().path()).collect();
    assert!(!cases.is_empty());
    for case in &cases {
        let text = fs::read_to_string(case).unwrap();
        for part in ["# broken promise: ", "\n# iceoryx2 ", "\n# replay: cargo run"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        let apart = text.contains("# participants: apart").then_some("--apart");
        gauntlet().arg("replay").args(apart).arg(case).assert().code(1).stdout(contains("BROKEN"));
    }
    let small = dir.path().join("small.toml");
    gauntlet()
        .arg("shrink")
        .arg("fixtures/quirks/gone-server-connects-new-requests.toml")
        .arg("--out")
        .arg(&small)
        .assert()
        .code(1)
        .stdout(contains("BROKEN pending-response-connection: "));
    gauntlet().arg("replay").arg(&small).assert().code(1);
}

#[cfg(iox2_at_least_0_10)]
#[test]
fn a_run_that_is_to_end_with_the_first_broken_promise_does() {
    let dir = scratch();
    // The fixtures come first; without the flag several of them break a promise, as known.
    gauntlet()
        .args(["run", "--strict", "--fail-fast", "--scenarios", "12", "--jobs", "1", "--out"])
        .arg(dir.path())
        .assert()
        .code(1);
    let report = fs::read_to_string(dir.path().join("latest/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), 1);
}

#[test]
fn shrinking_what_breaks_nothing_says_so() {
    gauntlet().args(["shrink", "fixtures/scenarios/round-trip.toml"]).assert().code(0).stdout(
        "KEPT fixtures/scenarios/round-trip.toml: it breaks no promise, so there is nothing to shrink\n",
    );
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = scratch();
    let file = dir.path().join("a-file");
    fs::write(&file, "").unwrap();
    let out = file.join("out").display().to_string();
    gauntlet()
        .args(["run", "--scenarios", "0", "--out", &out])
        .assert()
        .code(3)
        .stdout("")
        .stderr(contains(format!("gauntlet: write {out}/runs/")).and(contains("Not a directory")));
    let file = file.display().to_string();
    gauntlet()
        .env("TMPDIR", &file)
        .args(["replay", "fixtures/scenarios/round-trip.toml"])
        .assert()
        .code(3)
        .stdout("")
        .stderr(contains(format!("create a directory in {file}: ")));
    // As a full disk: nothing can be written there, not even by root.
    gauntlet()
        .args(["shrink", "fixtures/quirks/gone-server-stays-connected.toml"])
        .args(["--budget", "0", "--out", "/dev/full"])
        .assert()
        .code(if cfg!(iox2_at_least_0_10) { 3 } else { 0 })
        .stderr(if cfg!(iox2_at_least_0_10) {
            "gauntlet: write /dev/full: No space left on device (os error 28)\n"
        } else {
            ""
        });
}
