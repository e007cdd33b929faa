//! Participants that do something at the same time: each promise holds as if one had come after
//! the other.

use std::{collections::BTreeSet, time::Duration};

use iox2_gauntlet::{
    actor::{HostError, child::Executable, sabotage::Sabotage, tracee},
    lockstep::{End, Outcome, Position},
    model::Promise,
    runner::{Judgement, Layout, Runner},
    scenario::{LoanForm, Moment, OpenMode, Scenario, Step, Strategy, generate::Family},
    trial::Trial,
};

use proptest::strategy::Just;

use crate::jury::{for_all, keeps_its_promises, runner};

const JOIN: Step = Step::Join { how: OpenMode::OpenOrCreate, require: None };

/// More than any step has.
const NEVER: u32 = 5_000_000;

/// Where processes may not be traced nobody is held.
fn cannot_trace() -> bool {
    if !tracee::is_possible() {
        eprintln!("left out: processes may not be traced here");
    }
    !tracee::is_possible()
}

fn client(participant: i32) -> Step {
    Step::create_client(participant, Strategy::BestFit, 8)
}

fn server(participant: i32) -> Step {
    Step::create_server(participant, Strategy::BestFit, 8, 2)
}

/// Two steps that meet after others.
#[derive(Clone, Copy)]
struct Meeting<'a> {
    before: &'a [Step],
    at: Moment,
    then: Option<Moment>,
    steps: [Step; 2],
}

impl Meeting<'_> {
    fn scenario(&self) -> Scenario {
        let hold = Step::HoldAmid { at: self.at, then: self.then };
        let ask = Step::InspectService { participant: 0 };
        Scenario::of_steps([self.before, &[hold], &self.steps, &[ask]].concat())
    }

    fn judged(&self, runner: &mut Runner) -> Judgement {
        runner.judge(&self.scenario(), Layout::Apart, true).unwrap()
    }

    /// What the second returned, when all went well.
    fn seen(&self, runner: &mut Runner) -> String {
        let judgement = self.judged(runner);
        let Meeting { at, then, steps, .. } = self;
        assert_eq!(judgement.outcome.end, End::Kept, "{steps:?} at {at:?} and {then:?}");
        let second = Position::Step(self.before.len() + 2);
        let seen = judgement.trace.iter().find(|step| step.position == second);
        seen.unwrap().observed.clone()
    }
}

#[test]
fn generated_meetings_keep_every_promise() {
    if cannot_trace() {
        return;
    }
    let trial = Just(Trial::from(Layout::Apart));
    let scenarios = (Family::Overlap.scenarios(), trial);
    for_all(24, scenarios, keeps_its_promises).assert_exercised(&[
        Promise::CreateAndOpen,
        Promise::SendReachesEveryServer,
        Promise::NoRequestIsLost,
        Promise::ResponseBytesArrive,
        Promise::HeldDataStaysIntact,
        Promise::NothingIsLeftBehind,
    ]);
}

#[test]
fn the_second_sees_a_port_from_some_change_on_and_never_without_it_again() {
    if cannot_trace() {
        return;
    }
    let mut runner = runner();
    for (create, both) in [(client(0), "1 client(s), 1 server(s)"), (server(0), "2 server(s)")] {
        let before = [JOIN, JOIN, server(1)];
        let steps = [create, Step::InspectService { participant: 1 }];
        let seen: Vec<bool> = (0..20)
            .map(|nth| {
                let at = Moment::Change(nth);
                Meeting { before: &before, at, then: None, steps }.seen(&mut runner).contains(both)
            })
            .collect();
        assert!(!seen[0] && seen[19] && seen.is_sorted(), "{seen:?}");
    }
}

#[test]
fn who_asks_gets_the_answers_of_one_time() {
    if cannot_trace() {
        return;
    }
    let mut runner = runner();
    let steps = [server(0), Step::InspectService { participant: 1 }];
    // Held between its questions, it would count what it does not list.
    for then in (0..3_000).step_by(150) {
        let then = Some(Moment::Instruction(then));
        Meeting { before: &[JOIN, JOIN], at: Moment::Change(5), then, steps }.seen(&mut runner);
    }
}

#[test]
fn who_comes_while_the_first_or_the_last_one_does_is_served() {
    if cannot_trace() {
        return;
    }
    let mut runner = runner();
    let join = |how| Step::Join { how, require: None };
    let leave = Step::Leave { participant: 0 };
    let mut served = BTreeSet::new();
    for nth in (1..26).step_by(4) {
        for then in [None, Some(Moment::Change(nth / 2))] {
            for (before, first) in
                [(&[][..], JOIN), (&[], join(OpenMode::Create)), (&[JOIN], leave)]
            {
                for second in [JOIN, join(OpenMode::Open)] {
                    let (at, steps) = (Moment::Change(nth), [first, second]);
                    served.insert(Meeting { before, at, then, steps }.seen(&mut runner));
                }
            }
        }
    }
    // Some came before the service was there, or when it was gone, and some in between.
    let open = ["DoesNotExist", "IsMarkedForDestruction", "ok"].map(str::to_owned);
    assert_eq!(served, open.into());
}

#[test]
fn a_message_is_there_or_not_wherever_its_sender_is_held() {
    if cannot_trace() {
        return;
    }
    let mut runner = runner();
    let form = LoanForm::Default;
    let (ask, send) =
        (Step::LoanRequest { client: 0, len: 500, form }, Step::SendRequest { request: 0 });
    let (receive, answer) =
        (Step::ReceiveRequest { server: 0 }, Step::LoanResponse { active: 0, len: 700, form });
    let respond = Step::SendResponse { response: 0 };
    // The second message goes through a connection that is there, in memory that has grown.
    let request = [JOIN, JOIN, client(0), server(1), ask, send, receive, ask];
    let response = [&request[..7], &[answer, respond, answer]].concat();
    for (before, steps) in [
        (&request[..], [send, receive]),
        (&response, [respond, Step::ReceiveResponse { pending: 0 }]),
    ] {
        let seen: BTreeSet<bool> = (0..4_000)
            .step_by(197)
            .map(|nth| {
                let at = Moment::Instruction(nth);
                let seen = Meeting { before, at, then: None, steps }.seen(&mut runner);
                assert!(seen.contains("message") || seen == "nothing to receive", "{seen}");
                seen.contains("message")
            })
            .collect();
        let is_request = steps[0] == send;
        // The first response is there in any case.
        assert!(seen.contains(&true) && (seen.contains(&false) || !is_request), "{seen:?}");
    }
}

#[test]
fn who_has_no_such_moment_is_done_before_the_second_begins() {
    if cannot_trace() {
        return;
    }
    let mut runner = runner();
    let loan = Step::LoanRequest { client: 0, len: 8, form: LoanForm::Default };
    let (send, receive) = (Step::SendRequest { request: 0 }, Step::ReceiveRequest { server: 0 });
    // To connect takes many instructions: it is done before.
    let before = [JOIN, JOIN, client(0), server(1), loan, send, receive, loan];
    let steps = [send, Step::InspectServer { server: 0 }];
    // Whoever says that there is none is right amid the first, and not after it.
    let mut denied = sabotaged_runner("has-requests-denied", Duration::from_secs(60));
    let amid = Meeting { before: &before, at: Moment::Instruction(0), then: None, steps };
    assert_eq!(amid.judged(&mut denied).outcome.end.promise(), None);
    for at in [Moment::Call(NEVER), Moment::Change(NEVER), Moment::Instruction(NEVER)] {
        let meeting = Meeting { before: &before, at, then: None, steps };
        assert_eq!(meeting.seen(&mut runner), "has_requests true", "{at:?}");
        let promise = meeting.judged(&mut denied).outcome.end.promise();
        assert_eq!(promise, Some(Promise::HasRequestsIsTrue), "{at:?}");
    }
}

#[test]
fn nobody_is_held_where_they_share_a_process() {
    let steps = [client(0), server(1)];
    let meeting = Meeting { before: &[JOIN, JOIN], at: Moment::Change(3), then: None, steps };
    let judgement = runner().judge(&meeting.scenario(), Layout::Together, false).unwrap();
    let Outcome { end, performed, skipped, .. } = judgement.outcome;
    assert_eq!((end, performed, skipped), (End::Kept, 5, 1));
}

/// A runner where somebody sabotages.
fn sabotaged_runner(id: &str, deadline: Duration) -> Runner {
    let executable = Executable::gauntlet(env!("CARGO_BIN_EXE_gauntlet"));
    let sabotage = Sabotage::named(id).unwrap();
    Runner::new(executable.sabotaged(sabotage)).with_deadline(deadline)
}

/// Runs a meeting where somebody sabotages.
fn sabotaged(id: &str, deadline: Duration, steps: [Step; 2]) -> End {
    let mut runner = sabotaged_runner(id, deadline);
    let loan = Step::LoanRequest { client: 0, len: 8, form: LoanForm::Default };
    let before = [JOIN, JOIN, client(0), server(1), loan];
    Meeting { before: &before, at: Moment::Change(1), then: None, steps }
        .judged(&mut runner)
        .outcome
        .end
}

#[test]
fn whoever_crashes_or_hangs_amid_a_meeting_is_told() {
    if cannot_trace() {
        return;
    }
    let form = LoanForm::Default;
    let grow = Step::LoanRequest { client: 0, len: 5_000, form };
    let send = Step::SendRequest { request: 0 };
    let make = server(1);
    let long = Duration::from_secs(60);
    for steps in [[grow, make], [make, grow]] {
        let end = sabotaged("growth-panics", long, steps);
        assert_eq!(end.promise(), Some(Promise::NeverCrashes));
        let End::Stopped { action, error: HostError::Crashed(what), .. } = end else {
            panic!("{end:?}")
        };
        assert!(what.contains("no segment of id 1"), "{what}");
        assert!(action.contains("amid it (file change 1)"), "{action}");
    }
    for steps in [[send, make], [make, send]] {
        let end = sabotaged("send-never-returns", Duration::from_secs(1), steps);
        assert_eq!(end.promise(), Some(Promise::NeverHangs), "{end:?}");
    }
}
