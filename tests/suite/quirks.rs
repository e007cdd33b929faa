//! Known broken promises: every proof still proves what its file says, and only that.

use std::{collections::BTreeSet, path::Path, time::Duration};

use iox2_gauntlet::{
    actor::version,
    lockstep::{End, Position},
    model::quirk::Quirk,
    runner::{Layout, Runner},
};

use crate::jury::strict_runner;

/// As every run does: proofs are short, and some hang for ever.
fn runner() -> Runner {
    strict_runner().with_deadline(Duration::from_secs(2))
}

/// What is wrong with a quirk's file, judged by running its proof strictly.
fn complaint(runner: &mut Runner, quirk: &Quirk) -> Option<String> {
    let version = version::iceoryx2_version();
    let end = runner.judge(&quirk.scenario, Layout::Together, false).unwrap().outcome.end;
    let expected = quirk.affects(&version).then_some(quirk.promise);
    (end.promise() != expected).then(|| match expected {
        Some(promise) => format!("{}: should break {promise}, but: {end:?}", quirk.id),
        None => {
            format!("{}: {version} is not among its versions, but: {end:?}", quirk.id)
        }
    })
}

#[test]
fn every_proof_breaks_its_promise_in_the_affected_versions_and_none_in_others() {
    let mut runner = runner();
    let quirks = Quirk::known().unwrap();
    let complaints: Vec<_> =
        quirks.iter().filter_map(|quirk| complaint(&mut runner, quirk)).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(!quirks.is_empty());
}

#[test]
fn every_quirk_says_what_happens_to_whom_and_where_it_was_seen() {
    for quirk in Quirk::known().unwrap() {
        let file = format!("fixtures/quirks/{}.toml", quirk.id);
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).is_file(), "{file}");
        let sentence = quirk.sentence.trim();
        assert!(sentence.len() > 20 && sentence.ends_with('.'), "{file}: `{sentence}`");
        let (affected, spared): (Vec<_>, Vec<_>) =
            quirk.ran.iter().partition(|version| quirk.affects(version));
        assert!(!affected.is_empty(), "{file}: seen on no version; spared are {spared:?}");
    }
}

#[test]
fn no_two_quirks_have_the_same_proof_or_sentence() {
    let quirks = Quirk::known().unwrap();
    let sentences: BTreeSet<_> = quirks.iter().map(|quirk| quirk.sentence.trim()).collect();
    assert_eq!(sentences.len(), quirks.len());
    let proofs: BTreeSet<_> =
        quirks.iter().map(|quirk| quirk.scenario.to_toml("", |_| None)).collect();
    assert_eq!(proofs.len(), quirks.len());
}

#[test]
fn no_step_of_a_proof_comes_after_what_it_shows() {
    let version = version::iceoryx2_version();
    let mut runner = runner();
    for quirk in Quirk::known().unwrap().into_iter().filter(|quirk| quirk.affects(&version)) {
        let end = runner.judge(&quirk.scenario, Layout::Together, false).unwrap().outcome.end;
        let (End::Broken { position, .. } | End::Stopped { position, .. }) = end else {
            panic!("{}: shows nothing", quirk.id);
        };
        if let Position::Step(step) = position {
            assert_eq!(step + 1, quirk.scenario.steps.len(), "{}: {position}", quirk.id);
        }
    }
}
