//! Participants that run short of descriptors, of room for a file or of mappings amid a step: they
//! are refused, and everything is as before.

use iox2_gauntlet::{
    actor::tracee,
    lockstep::{End, Position},
    model::Promise,
    runner::{Judgement, Layout, Runner},
    scenario::{LoanForm, Moment, OpenMode, Scenario, Step, Strategy, generate::Family},
    trial::Trial,
};
use proptest::strategy::Just;

use crate::jury::{for_all, keeps_its_promises, runner, strict_runner};

const JOIN: Step = Step::Join { how: OpenMode::OpenOrCreate, require: None };

/// More than any step takes from the system.
const NEVER: u32 = 100;

/// Where no call can be made to fail nobody runs short.
fn cannot_run_short() -> bool {
    if !tracee::can_run_short() {
        eprintln!("left out: no call can be made to fail here");
    }
    !tracee::can_run_short()
}

fn client() -> Step {
    Step::create_client(0, Strategy::BestFit, 8)
}

fn server() -> Step {
    Step::create_server(0, Strategy::BestFit, 8, 2)
}

fn loan(len: usize) -> Step {
    Step::LoanRequest { client: 0, len, form: LoanForm::Default }
}

/// Somebody runs short amid a step, after others.
fn short(runner: &mut Runner, before: &[Step], step: Step, after: u32) -> Judgement {
    let steps = [before, &[Step::RunShort { after }, step, step]].concat();
    runner.judge(&Scenario::of_steps(steps), Layout::Apart, true).unwrap()
}

/// What the step amid which somebody runs short, or the one after it, returned.
fn seen(judgement: &Judgement, step: usize) -> &str {
    let step = Position::Step(step);
    &judgement.trace.iter().find(|seen| seen.position == step).unwrap().observed
}

#[test]
fn generated_shortages_keep_every_promise() {
    if cannot_run_short() {
        return;
    }
    let scenarios = (Family::Shortage.scenarios(), Just(Trial::from(Layout::Apart)));
    for_all(60, scenarios, keeps_its_promises).assert_exercised(&[
        Promise::NeverCrashes,
        Promise::LoanWithinLimitsSucceeds,
        Promise::RefusedLoanChangesNothing,
        Promise::ClientLimit,
        Promise::ServerLimit,
        Promise::CreateAndOpen,
        Promise::RequestBytesArrive,
        Promise::NothingIsLeftBehind,
    ]);
}

#[test]
fn whatever_is_missing_amid_a_step_it_is_refused_by_name_or_goes_well() {
    if cannot_run_short() {
        return;
    }
    let request = [JOIN, JOIN, client(), server(), loan(8), Step::SendRequest { request: 0 }];
    let received = [&request[..], &[Step::ReceiveRequest { server: 0 }]].concat();
    let response = Step::LoanResponse { active: 0, len: 9, form: LoanForm::Default };
    let sent = Step::SendResponse { response: 0 };
    let answered = [&received[..], &[response, sent]].concat();
    let mut runner = runner();
    // With nobody to connect to.
    for (before, step, at_least) in [
        (&[JOIN, client()][..], loan(9), 3),
        (&received, response, 3),
        (&[JOIN], client(), 6),
        (&[JOIN], server(), 6),
        (&[JOIN], JOIN, 12),
    ] {
        let refused = amid_every_call(&mut runner, before, step);
        assert!(refused >= at_least, "{step:?}: {refused} refused");
    }
    // With somebody.
    for (before, step) in [
        (&[JOIN, JOIN, server()][..], client()),
        (&[JOIN, JOIN, client()], server()),
        (&[JOIN, JOIN, client(), server(), loan(9)], Step::SendRequest { request: 0 }),
        (&request, Step::ReceiveRequest { server: 0 }),
        (&answered, Step::ReceiveResponse { pending: 0 }),
        (&[JOIN, JOIN, server(), client()], Step::UpdateServer { server: 0 }),
        (&received, Step::Kill { participant: 0, by: 0 }),
    ] {
        amid_every_call(&mut runner, before, step);
    }
}

/// Somebody runs short amid a step at every call that takes something; returns how often the step
/// was refused.
#[track_caller]
fn amid_every_call(runner: &mut Runner, before: &[Step], step: Step) -> usize {
    let mut refused = 0;
    let past_the_last = (0..NEVER).find(|&after| {
        let judgement = short(runner, before, step, after);
        assert_eq!(judgement.outcome.end, End::Kept, "{step:?} short after {after}");
        let errors = ["OutOfMemory", "Internal", "Unable", "ServiceConfig", "Failure"];
        let seen = seen(&judgement, before.len() + 1);
        refused += usize::from(errors.iter().any(|error| seen.contains(error)));
        // Nobody was short.
        judgement.outcome.skipped > 0 && !judgement.outcome.is_adrift
    });
    assert!(past_the_last > Some(0), "{step:?} takes nothing");
    refused
}

#[test]
fn a_client_without_a_descriptor_for_its_growth_grows_once_it_has_one() {
    if cannot_run_short() {
        return;
    }
    let judgement = short(&mut strict_runner(), &[JOIN, client()], loan(9), 0);
    assert_eq!(judgement.outcome.end, End::Kept);
    assert!(seen(&judgement, 3).contains("OutOfMemory"), "{}", seen(&judgement, 3));
    assert_eq!(seen(&judgement, 4), "a loan of 9");
}

#[test]
fn nobody_runs_short_where_they_share_a_process_or_something_else_is_announced_later() {
    if cannot_run_short() {
        return;
    }
    let short = Step::RunShort { after: 0 };
    let at = Moment::Change(0);
    let (kill, hold) =
        (Step::KillAmid { at, by: 0, contested: false }, Step::HoldAmid { at, then: None });
    let mut runner = runner();
    let mut skipped = |layout, steps: &[Step]| {
        let steps = [&[JOIN, JOIN, client()], steps].concat();
        let judgement = runner.judge(&Scenario::of_steps(steps), layout, false).unwrap();
        assert_eq!(judgement.outcome.end, End::Kept);
        judgement.outcome.skipped
    };
    assert_eq!(skipped(Layout::Together, &[short, loan(9)]), 1);
    assert_eq!(skipped(Layout::Apart, &[short, loan(9)]), 0);
    assert_eq!(skipped(Layout::Apart, &[short, loan(8)]), 1, "it takes nothing");
    assert_eq!(skipped(Layout::Apart, &[short, Step::DropClient { client: 0 }]), 1);
    assert_eq!(skipped(Layout::Apart, &[short, kill, loan(9)]), 1);
    assert_eq!(skipped(Layout::Apart, &[kill, short, loan(9)]), 1);
    assert_eq!(skipped(Layout::Apart, &[short, hold, loan(9), JOIN]), 1);
    assert_eq!(skipped(Layout::Apart, &[short]), 1, "nothing comes after it");
}

/// Whoever comes first makes a file of the domain, and a runner has one for many scenarios.
#[cfg(iox2_at_least_0_10)]
#[test]
fn who_runs_short_first_is_the_first_in_its_domain_after_other_scenarios_as_well() {
    if cannot_run_short() {
        return;
    }
    let quirks = iox2_gauntlet::campaign::active_quirks().unwrap();
    let quirk = quirks.iter().find(|quirk| quirk.id == "short-first-node-blocks-domain").unwrap();
    let mut runner = strict_runner();
    for _ in 0..2 {
        let joined = Scenario::of_steps(vec![JOIN, JOIN]);
        assert!(runner.judge(&joined, Layout::Apart, false).unwrap().outcome.end.is_kept());
        let judged = runner.judge(&quirk.scenario, Layout::Apart, false).unwrap();
        assert_eq!(judged.outcome.end.promise(), Some(quirk.promise));
    }
}
