//! Who is killed amid what they do leaves nothing that others cannot clean up, but for what is
//! known.

use std::{collections::BTreeSet, path::Path};

use iox2_gauntlet::{
    actor::{HostError, tracee},
    lockstep::{End, Position},
    model::{Promise, quirk::Quirk},
    runner::Layout,
    scenario::{CleanUp, LoanForm, Moment, OpenMode, Scenario, Settings, Step, Strategy},
};

use crate::jury::{runner, strict_runner};

const JOIN: Step = Step::Join { how: OpenMode::OpenOrCreate, require: None };

/// More calls than any step has.
const NEVER: u32 = 100_000;

/// A client asks a server of another participant, and one of them is killed amid this.
fn with_death(at: Moment, doing: Step, asks: bool, contested: bool) -> Scenario {
    let form = LoanForm::Default;
    let mut steps = vec![
        JOIN,
        JOIN,
        Step::create_client(0, Strategy::BestFit, 8),
        Step::create_server(1, Strategy::BestFit, 8, 2),
    ];
    if asks {
        steps.push(Step::LoanRequest { client: 0, len: 500, form });
        steps.push(Step::SendRequest { request: 0 });
    }
    steps.extend([
        Step::KillAmid { at, by: 0, contested },
        doing,
        Step::InspectPending { pending: 0 },
        Step::InspectService { participant: 0 },
    ]);
    Scenario::of_steps(steps)
}

/// Where processes may not be traced nobody dies amid a step.
fn cannot_trace() -> bool {
    if !tracee::is_possible() {
        eprintln!("left out: processes may not be traced here");
    }
    !tracee::is_possible()
}

/// Whoever dies at one of these moments amid one of these steps is cleaned up after.
fn assert_cleaned_up(moments: impl Iterator<Item = Moment>, steps: &[Step], asks: bool) {
    if cannot_trace() {
        return;
    }
    let mut runner = runner();
    for at in moments {
        for &doing in steps {
            let scenario = with_death(at, doing, asks, false);
            let judgement = runner.judge(&scenario, Layout::Apart, false).unwrap();
            assert_eq!(judgement.outcome.end, End::Kept, "{doing:?} at {at:?}");
        }
    }
}

#[test]
fn who_is_killed_at_any_call_while_they_come_or_make_a_port_is_cleaned_up_after() {
    let steps = [
        JOIN,
        Step::create_client(1, Strategy::BestFit, 8),
        Step::create_server(0, Strategy::BestFit, 8, 2),
        Step::DropServer { server: 0 },
    ];
    let calls = (0..60).step_by(4).map(Moment::Call);
    assert_cleaned_up((0..32).map(Moment::Change).chain(calls), &steps, false);
}

#[test]
fn who_is_killed_at_any_instruction_of_a_receive_or_a_drop_is_cleaned_up_after() {
    let steps = [Step::ReceiveRequest { server: 0 }, Step::DropServer { server: 0 }];
    assert_cleaned_up((0..6_000).step_by(397).map(Moment::Instruction), &steps, true);
}

/// What is found when somebody was killed amid a clean-up, at each of these moments.
fn found_after(moments: impl Iterator<Item = Moment>, contested: bool) -> BTreeSet<String> {
    let mut runner = runner();
    let mut dead = BTreeSet::new();
    for at in moments {
        let doing = Step::Kill { participant: 0, by: 1 };
        let mut scenario = with_death(at, doing, true, contested);
        scenario.steps.insert(0, JOIN);
        let judgement = runner.judge(&scenario, Layout::Apart, true).unwrap();
        assert_eq!(judgement.outcome.end, End::Kept, "at {at:?}");
        let death = judgement.trace.iter().find(|step| step.action.contains("is killed at"));
        dead.insert(death.unwrap().observed.clone());
    }
    dead
}

#[test]
fn who_is_killed_at_any_call_of_a_clean_up_is_cleaned_up_after_with_the_first_one() {
    if cannot_trace() {
        return;
    }
    let calls = (0..130).step_by(10).map(Moment::Call);
    let dead = found_after((0..24).map(Moment::Change).chain(calls), false);
    // Some died before the first one was cleaned up, others after.
    let both = ["1 dead node(s), 1 cleaned up", "2 dead node(s), 2 cleaned up"];
    let both = both.map(|seen| format!("{seen}, 0 not, 0 left"));
    assert_eq!(dead, BTreeSet::from(both));
}

#[test]
fn who_met_somebody_at_a_clean_up_finishes_it_when_they_are_killed() {
    if cannot_trace() {
        return;
    }
    let dead = found_after((0..24).map(Moment::Change), true);
    // Some were met before they had begun: the first one was cleaned up at once.
    let both = ["1 dead node(s), 1 cleaned up", "2 dead node(s), 2 cleaned up"];
    let both = both.map(|seen| format!("{seen}, 0 not, 0 left"));
    assert_eq!(dead, BTreeSet::from(both));
}

#[test]
fn however_somebody_cleans_up_they_find_all_the_dead() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/scenarios/several-dead-at-once.toml");
    let several = Scenario::load(Path::new(path)).unwrap();
    let mut runner = runner();
    for clean_up in
        [CleanUp::OnRequest, CleanUp::OnCreation, CleanUp::OnDestruction, CleanUp::OnOpen]
    {
        let service = Settings { clean_up, ..several.service.clone() };
        let scenario = Scenario { service, ..several.clone() };
        let judgement = runner.judge(&scenario, Layout::Apart, true).unwrap();
        assert_eq!(judgement.outcome.end, End::Kept, "{clean_up:?}");
        let died = judgement.trace.iter().filter(|step| step.action.ends_with("is killed"));
        assert_eq!(died.count(), 3, "{clean_up:?}");
        assert!(judgement.outcome.checks.contains_key(&Promise::DeadNodeIsCleanedUp));
    }
}

#[test]
fn a_response_that_was_not_sent_makes_no_room_for_itself() {
    if cannot_trace() {
        return;
    }
    let answer = Step::LoanResponse { active: 0, len: 8, form: LoanForm::Default };
    let send = Step::SendResponse { response: 0 };
    let mut scenario = with_death(Moment::Instruction(0), send, true, false);
    let is_death = |step: &Step| matches!(step, Step::KillAmid { .. });
    let death = scenario.steps.iter().position(is_death).unwrap();
    let receive = Step::ReceiveResponse { pending: 0 };
    // The first one is received, so that the client has the memory.
    let before = [Step::ReceiveRequest { server: 0 }, answer, send, receive, answer, send, answer];
    scenario.steps.splice(death..death, before);
    scenario.steps.push(receive);
    let last = Position::Step(scenario.steps.len() - 1);
    scenario.service.max_response_buffer_size = 1;
    scenario.service.enable_safe_overflow_for_responses = true;
    let judgement = runner().judge(&scenario, Layout::Apart, true).unwrap();
    assert_eq!(judgement.outcome.end, End::Kept);
    let received = judgement.trace.iter().find(|step| step.position == last);
    let received = received.unwrap();
    // The second one may be there, but is not.
    assert_eq!(received.expected.matches("message").count(), 2, "{}", received.expected);
    assert!(received.expected.contains(&received.observed), "{}", received.observed);
    assert!(received.observed.contains("message"), "{}", received.observed);
}

#[test]
fn whoever_has_no_such_moment_is_killed_when_it_is_done() {
    if cannot_trace() {
        return;
    }
    let doing = Step::create_server(1, Strategy::BestFit, 8, 2);
    for at in [Moment::Call(NEVER), Moment::Change(NEVER)] {
        let scenario = with_death(at, doing, false, false);
        let judgement = strict_runner().judge(&scenario, Layout::Apart, true).unwrap();
        assert_eq!(judgement.outcome.end, End::Kept, "{at:?}");
        let seen = judgement.trace.iter().find(|step| step.position == Position::Step(5));
        let seen = seen.unwrap();
        assert!(seen.action.contains("is killed"), "{}", seen.action);
        assert_eq!(seen.observed, "1 dead node(s), 1 cleaned up, 0 not, 0 left");
    }
}

#[test]
fn nobody_is_killed_where_they_share_a_process() {
    let doing = Step::create_server(1, Strategy::BestFit, 8, 2);
    let scenario = with_death(Moment::Call(3), doing, false, false);
    let judgement = strict_runner().judge(&scenario, Layout::Together, true).unwrap();
    assert_eq!(judgement.outcome.end, End::Kept);
    assert!(judgement.trace.iter().all(|step| !step.action.contains("is killed")));
    // The one that has nothing to act on, and the one that says how the next is done.
    assert_eq!(judgement.outcome.skipped, 2);
}

#[test]
fn a_crash_before_the_moment_is_told_from_the_death() {
    if cannot_trace() {
        return;
    }
    let quirks = Quirk::known().unwrap();
    let quirk = quirks.iter().find(|quirk| quirk.id == "full-expired-buffer-panics-in-server");
    let mut scenario = quirk.unwrap().scenario.clone();
    let last = scenario.steps.len() - 1;
    scenario
        .steps
        .insert(last, Step::KillAmid { at: Moment::Call(NEVER), by: 0, contested: false });
    scenario.steps.insert(1, JOIN);
    let judgement = strict_runner().judge(&scenario, Layout::Apart, false).unwrap();
    assert_eq!(judgement.outcome.end.promise(), Some(Promise::NeverCrashes));
    let End::Stopped { action, error: HostError::Crashed(what), .. } = &judgement.outcome.end
    else {
        panic!("{:?}", judgement.outcome.end)
    };
    assert!(action.contains("is killed"), "{action}");
    assert!(what.contains("panicked at") || what.contains("SIGSEGV"), "{what}");
}
