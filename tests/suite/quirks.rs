//! Known broken promises: every proof still proves what its file says, and only that.

use std::{collections::BTreeSet, fs, num::NonZeroUsize, path::Path, thread, time::Duration};

use iox2_gauntlet::{
    actor::{Action, Observation, child::Executable, iox, variant::Variant, version},
    campaign,
    lockstep::{self, End, Observer, Position},
    model::{self, Expected, Prediction, Promise, Switch, judge, quirk::Quirk},
    runner::{Runner, Venue},
    sandbox::Sandbox,
    scenario::Scenario,
};

use crate::jury::strict_runner;

/// What is wrong with the file of a quirk of this release: its proof must break its
/// promise, and at the last step or after it.
fn of_this_release(runner: &mut Runner, quirk: &Quirk) -> Option<String> {
    let known = campaign::switches(&campaign::active_quirks().unwrap());
    let end = campaign::judge_proof(runner, quirk, &known).unwrap().outcome.end;
    if end.promise() != Some(quirk.promise) {
        return Some(format!("{} should break {}, but: {end:?}", quirk.id, quirk.promise));
    }
    match end {
        End::Broken { position: Position::Step(step), .. }
        | End::Stopped { position: Position::Step(step), .. }
            if step + 1 < quirk.scenario.steps.len() =>
        {
            Some(format!("{}: no step after step {} adds anything", quirk.id, step + 1))
        }
        _ => None,
    }
}

/// What is wrong with the file of a quirk of other releases: here its proof is a scenario
/// like any other.
fn of_others(runner: &mut Runner, quirk: &Quirk) -> Option<String> {
    runner.live_with(campaign::switches(&campaign::active_quirks().unwrap()));
    let end = runner
        .judge(&quirk.scenario, Venue::suited_to(&quirk.scenario, quirk.variant), false)
        .unwrap()
        .outcome
        .end;
    let version = version::IOX2_VERSION;
    (!end.is_kept())
        .then(|| format!("{}: {version} is not among its versions, but: {end:?}", quirk.id))
}

#[test]
fn every_proof_breaks_its_promise_in_the_affected_versions_and_none_in_others() {
    let active = campaign::active_quirks().unwrap();
    let complain = |runner: &mut Runner, quirk: &Quirk| {
        let is_active = active.iter().any(|other| other.id == quirk.id);
        let judge = if is_active { of_this_release } else { of_others };
        judge(runner, quirk)
    };
    // Proofs are short, and some hang for ever, which others need not wait for.
    let known = Quirk::known().unwrap();
    let (hanging, others): (Vec<_>, Vec<_>) =
        known.iter().partition(|quirk| quirk.promise == Promise::NeverHangs);
    let one_each = hanging.chunks(1);
    let complaints: Vec<_> = thread::scope(|scope| {
        let judge = |quirks: &[&Quirk]| {
            let mut runner = strict_runner().with_deadline(Duration::from_secs(2));
            let complaints = quirks.iter().filter_map(|quirk| complain(&mut runner, quirk));
            complaints.collect::<Vec<_>>()
        };
        let judges: Vec<_> = one_each
            .chain([&others[..]])
            .map(|quirks| scope.spawn(move || judge(quirks)))
            .collect();
        judges.into_iter().flat_map(|judge| judge.join().unwrap()).collect()
    });
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_proof_that_may_take_several_tries_is_judged_until_it_shows_and_no_more_often() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let gauntlet = env!("CARGO_BIN_EXE_gauntlet");
    // Every line is a scenario to be judged.
    let script = format!("tee -a '{}' | '{gauntlet}' serve", log.display());
    let counted =
        Executable { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
    let times = |quirk: &Quirk| {
        fs::write(&log, "").unwrap();
        let mut runner = Runner::new(counted.clone());
        let end = campaign::judge_proof(&mut runner, quirk, &BTreeSet::new()).unwrap().outcome.end;
        (end.promise(), fs::read_to_string(&log).unwrap().lines().count())
    };
    let known = Quirk::known().unwrap();
    let quirk = known.iter().find(|quirk| quirk.id == "failed-response-loan-keeps-count").unwrap();
    let shows = Quirk { tries: NonZeroUsize::new(3).unwrap(), ..quirk.clone() };
    let kept = Quirk { scenario: Scenario::of_steps(Vec::new()), ..shows.clone() };
    assert_eq!(times(&kept), (None, 3));
    if campaign::active_quirks().unwrap().iter().any(|other| other.id == quirk.id) {
        assert_eq!(times(&shows), (Some(quirk.promise), 1));
    }
}

#[test]
fn every_quirk_says_what_happens_to_whom_and_where_it_was_seen() {
    for quirk in Quirk::known().unwrap() {
        let file = format!("fixtures/quirks/{}.toml", quirk.id);
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).is_file(), "{file}");
        let sentence = quirk.sentence.trim();
        assert!(sentence.len() > 20 && sentence.ends_with('.'), "{file}: `{sentence}`");
        let seen = quirk.ran.iter().any(|version| quirk.affects(version));
        assert!(seen, "{file}: seen on none of the versions it is said to affect");
    }
}

#[test]
fn no_two_quirks_of_a_release_have_the_same_proof() {
    let quirks = campaign::active_quirks().unwrap();
    let proof = |quirk: &Quirk| (quirk.promise, quirk.scenario.to_toml("", |_| None));
    let proofs: BTreeSet<_> = quirks.iter().map(proof).collect();
    assert_eq!(proofs.len(), quirks.len());
}

#[test]
fn the_readme_lists_every_quirk_as_the_command_prints_them() {
    let printed = assert_cmd::Command::new(env!("CARGO_BIN_EXE_gauntlet"))
        .args(["list", "--quirks-markdown"])
        .output()
        .unwrap();
    let table = String::from_utf8(printed.stdout).unwrap();
    assert!(table.lines().count() > 2, "{table}");
    assert!(
        include_str!("../../README.md").contains(&table),
        "the README's table of quirks is stale; it should be:\n{table}"
    );
}

/// What is tolerated of a quirk before it shows.
struct TooEarly {
    switch: Switch,
    action: Option<Action>,
    complaints: Vec<String>,
    tolerated: usize,
}

impl Observer for TooEarly {
    fn before(&mut self, _: Position, action: &Action) {
        self.action = Some(action.clone());
    }

    fn after(&mut self, position: Position, prediction: &Prediction, observation: &Observation) {
        let Position::Step(step) = position else { return };
        let Prediction { promise, allowed, tolerated } = prediction;
        let adds =
            |(switch, what): &(Switch, Expected)| *switch == self.switch && !allowed.contains(what);
        let Some((_, what)) = tolerated.iter().find(|known| adds(known)) else { return };
        self.tolerated += 1;
        let action = self.action.take().expect("an action comes before what it leads to");
        let strict = Prediction { tolerated: Vec::new(), allowed: allowed.clone(), ..*prediction };
        if judge::judge(&action, &strict, observation).is_ok() {
            self.complaints.push(format!(
                "step {}, {action}: {observation:?} is as {promise} says, {what:?} would be tolerated",
                step + 1
            ));
        }
    }
}

/// A proof is as small as it can be: what is tolerated earlier than at its end, and does not
/// show there, is more than the quirk does.
#[test]
fn a_quirk_is_tolerated_nowhere_in_its_proof_but_where_it_shows() {
    // How many of the requests that are lost count as borrowed is not known.
    const EARLIER: &str = "stuck-request-of-gone-client-is-announced";
    iox::silence();
    let active = campaign::active_quirks().unwrap();
    let known = campaign::switches(&active);
    let (mut tolerated, mut complaints) = (0, Vec::new());
    for quirk in active.iter().filter(|quirk| quirk.id != EARLIER) {
        let scenario = &quirk.scenario;
        let Some(switch) = quirk.switch else { continue };
        let ends = matches!(quirk.promise, Promise::NeverCrashes | Promise::NeverHangs);
        let is_alone = scenario.concurrent.is_none() && !scenario.kills();
        if ends || !is_alone || scenario.runs_short() || scenario.holds_amid() {
            continue;
        }
        let sandbox = Sandbox::new().unwrap();
        let scenario = &*model::steered(scenario, &known);
        let config = sandbox.config_for("proof", &scenario.service).unwrap();
        let settings = scenario.service.clone();
        let mut host = iox::host(Variant::Ipc, &config, "proof", settings).unwrap();
        let mut watch = TooEarly { switch, action: None, complaints: Vec::new(), tolerated: 0 };
        let outcome = lockstep::run(scenario, &known, host.as_mut(), &mut watch);
        if watch.tolerated > 0 {
            tolerated += 1;
            let is_seen = outcome.end.is_kept() && outcome.sightings.contains_key(&switch);
            assert!(is_seen, "{}: {outcome:?}", quirk.id);
        }
        complaints.extend(watch.complaints.iter().map(|what| format!("{}: {what}", quirk.id)));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(tolerated > 10, "{tolerated} proofs show what is tolerated at a step");
}
