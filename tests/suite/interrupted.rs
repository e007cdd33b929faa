//! Runs that end before their time: signals, children that crash or hang, clean-up after
//! a run that was killed.

use std::{
    fs::{self, FileType},
    io::Read as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use iox2_gauntlet::{
    actor::{HostError, child::Executable},
    campaign::{self, Plan},
    lockstep::{End, Position},
    model::Promise,
    report::Verdict,
    runner::{Layout, Runner},
    sandbox::{self, SHM_DIR, Sandbox},
    scenario::{OpenMode, Scenario, Step},
};
use procfs::process::{Process, all_processes};
use rustix::process::{Pid, Signal, kill_process};
use serial_test::serial;
use tempfile::TempDir;

/// For what takes well below a second on an idle machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer.
#[track_caller]
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited {DEADLINE:?} for {what}");
        std::thread::yield_now();
    }
}

/// A `gauntlet run` that takes a minute, if nobody ends it.
struct Run {
    process: Child,
    out: TempDir,
}

impl Run {
    /// Returns as soon as children are at work in a sandbox.
    fn start() -> (Self, Vec<i32>) {
        let out = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
            .args(["run", "--for", "60s", "--out"])
            .arg(out.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let run = Self { process, out };
        let children = wait_for("children at work", || {
            let children = children_of(run.pid());
            (!children.is_empty() && !run.shared_memory().is_empty()).then_some(children)
        });
        assert!(!run.directories().is_empty());
        (run, children)
    }

    fn pid(&self) -> i32 {
        self.process.id().try_into().unwrap()
    }

    /// Whether none of its threads goes on after it was stopped.
    fn stands_still(&self) -> bool {
        let process = Process::new(self.pid()).unwrap();
        let mut threads = process.tasks().unwrap().flatten();
        threads.all(|thread| thread.stat().is_ok_and(|stat| stat.state == 'T'))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Its end and what it said.
    fn end(&mut self) -> (ExitStatus, String) {
        let status = wait_for("the end of the run", || self.process.try_wait().unwrap());
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }

    /// What the run's own sandboxes have in `/dev/shm`.
    fn shared_memory(&self) -> Vec<String> {
        self.own(Path::new(SHM_DIR), |kind| kind.is_file())
    }

    /// Directories of the run's own sandboxes.
    fn directories(&self) -> Vec<String> {
        self.own(&sandbox::parent_dir(), |kind| kind.is_dir())
    }

    fn own(&self, dir: &Path, which: fn(&FileType) -> bool) -> Vec<String> {
        let own = format!("gnt-{}-", self.pid());
        let entries = fs::read_dir(dir).unwrap().flatten();
        let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| which(&kind)));
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(&own)).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn children_of(pid: i32) -> Vec<i32> {
    let stats = all_processes().unwrap().filter_map(|process| process.ok()?.stat().ok());
    stats.filter(|stat| stat.ppid == pid).map(|stat| stat.pid).collect()
}

fn wait_until_gone(children: &[i32]) {
    let lives = |pid: &i32| {
        let stat = Process::new(*pid).and_then(|process| process.stat());
        stat.is_ok_and(|stat| stat.state != 'Z' && stat.comm == "gauntlet")
    };
    wait_for("the end of the children", || (!children.iter().any(lives)).then_some(()));
}

#[test]
#[serial(gauntlet_run)]
fn sigint_and_sigterm_end_a_run_and_leave_no_process_and_no_file() {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut run, children) = Run::start();
        run.signal(signal);
        let (status, said) = run.end();
        assert_eq!(status.code(), Some(130), "{signal:?}: {said}");
        wait_until_gone(&children);
        assert_eq!(run.shared_memory(), [""; 0]);
        assert_eq!(run.directories(), [""; 0]);
        // What it found until then is not lost.
        let report = fs::read_to_string(run.out.path().join("latest/report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["interrupted"], true);
    }
}

#[test]
#[serial(gauntlet_run)]
fn what_a_killed_run_left_is_cleaned_and_nothing_else() {
    let living = Sandbox::new().unwrap();
    let shared = Path::new(SHM_DIR).join(format!("{}living", living.prefix()));
    fs::write(&shared, "").unwrap();
    let notes = tempfile::Builder::new().prefix("gnt-notes-").tempfile_in(SHM_DIR).unwrap();
    let foreign = notes.path();

    let (mut run, _) = Run::start();
    // Once it stands still it starts no more children.
    run.signal(Signal::STOP);
    wait_for("the run to stand still", || run.stands_still().then_some(()));
    let children = children_of(run.pid());
    run.signal(Signal::KILL);
    run.end();
    wait_until_gone(&children);
    assert_ne!(run.shared_memory(), [""; 0], "nothing was left to clean");
    assert_ne!(run.directories(), [""; 0], "nothing was left to clean");

    let clean = Command::new(env!("CARGO_BIN_EXE_gauntlet")).arg("clean").output().unwrap();
    let said = String::from_utf8(clean.stdout).unwrap();
    assert_eq!(clean.status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("removed shared memory gnt-{}-", run.pid())), "{said}");
    assert_eq!(run.shared_memory(), [""; 0]);
    assert_eq!(run.directories(), [""; 0]);

    assert!(shared.exists() && living.config_path().exists() && foreign.exists(), "{said}");
}

fn program(path: &str, arguments: &[&str]) -> Executable {
    Executable { path: path.into(), arguments: arguments.iter().map(Into::into).collect() }
}

/// A child that notes the first step of whatever it is to judge, as the real one does,
/// and then does something else.
fn at_the_first_step(then: &str) -> Executable {
    let script = r#"read -r request
        recorder=${request#*'"flight_recorder":"'}
        if [ "$recorder" != "$request" ]; then
            echo '{"position":{"step":0},"action":"the first step"}' > "${recorder%%'"'*}"
        fi
        ulimit -c 0; "#;
    program("sh", &["-c", &format!("{script}{then}")])
}

/// A child that takes much longer to start than anything may take, as on a busy machine.
#[test]
fn a_child_that_has_yet_to_start_does_not_hang() {
    let script = r#"read -r request
        recorder=${request#*'"flight_recorder":"'}
        sleep 1
        echo '{"position":{"step":0},"action":"the first step"}' > "${recorder%%'"'*}"
        exit 3"#;
    let mut runner =
        Runner::new(program("sh", &["-c", script])).with_deadline(Duration::from_millis(300));
    let judgement = runner.judge(&one_join(), Layout::Together, false).unwrap();
    let End::Stopped { error, .. } = judgement.outcome.end else { panic!() };
    assert_eq!(error, HostError::Crashed("exited with 3".to_owned()));
}

fn one_join() -> Scenario {
    Scenario::of_steps(vec![Step::Join { how: OpenMode::Create, require: None }])
}

/// The end of a scenario with such a child.
#[track_caller]
fn end_with(child: Executable) -> HostError {
    let mut runner = Runner::new(child).with_deadline(Duration::from_millis(300));
    let judgement = runner.judge(&one_join(), Layout::Together, false).unwrap();
    match judgement.outcome.end {
        End::Stopped { position: Position::Step(0), action, error } => {
            assert_eq!(action, "the first step");
            error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_child_that_does_not_answer_is_hung_and_killed() {
    // A length of its own, so that no other test's child is taken for this one's.
    assert_eq!(end_with(at_the_first_step("exec sleep 601")), HostError::Hung(300));
    wait_for("the end of the child", || {
        let asleep = all_processes().unwrap().filter_map(|process| process.ok()?.cmdline().ok());
        let mut asleep = asleep.filter(|command| command == &["sleep", "601"]);
        asleep.next().is_none().then_some(())
    });
}

/// Its machine may be busy with something else.
#[test]
fn a_child_that_gets_on_may_take_longer_than_its_deadline() {
    let note = r#"{"position":{"step":0},"action":"the first step","beats":'$n'}"#;
    let beat = format!(r#"echo '{note}' > "${{recorder%%'"'*}}"; sleep 0.02"#);
    // Twice as long as it should take, and then its own end.
    let end = end_with(at_the_first_step(&format!("for n in $(seq 30); do {beat}; done; exit 3")));
    assert_eq!(end, HostError::Crashed("exited with 3".to_owned()));
}

#[test]
fn a_child_that_ends_is_a_crash_with_its_signal_or_exit_code() {
    for (signal, name) in [("SEGV", "SIGSEGV"), ("BUS", "SIGBUS"), ("ABRT", "SIGABRT")] {
        let end = end_with(at_the_first_step(&format!("kill -{signal} $$")));
        assert_eq!(end, HostError::Crashed(format!("killed by {name}")));
    }
    let end = end_with(at_the_first_step("exit 3"));
    assert_eq!(end, HostError::Crashed("exited with 3".to_owned()));
}

#[test]
fn a_participant_of_its_own_that_ends_or_does_not_answer_is_told_apart() {
    for (child, expected) in [
        (program("sh", &["-c", "exit 3"]), HostError::Crashed("exited with 3".to_owned())),
        (program("sleep", &["602"]), HostError::Hung(300)),
    ] {
        let mut runner = Runner::new(child).with_deadline(Duration::from_millis(300));
        let judgement = runner.judge(&one_join(), Layout::Apart, false).unwrap();
        let End::Stopped { error, .. } = judgement.outcome.end else { panic!("{judgement:?}") };
        assert_eq!(error, expected);
    }
}

/// Whoever upgrades has config files that worked.
#[test]
fn a_config_file_that_is_not_taken_is_a_broken_promise_wherever_it_is_read() {
    let script = r#"read -r request
        config=${request#*'"config":"'}
        printf '\n[defaults.event]\nmax-listeners = "many"\n' >> "${config%%'"'*}"
        (echo "$request"; cat) | "$0" serve"#;
    for layout in [Layout::Together, Layout::Apart] {
        let child = program("sh", &["-c", script, env!("CARGO_BIN_EXE_gauntlet")]);
        let judgement = Runner::new(child).judge(&one_join(), layout, false).unwrap();
        let End::Broken { position, breach, .. } = judgement.outcome.end else {
            panic!("{judgement:?}")
        };
        assert_eq!((position, breach.promise), (Position::Step(0), Promise::SettingsAreKept));
        assert!(breach.observed.starts_with("config file /"), "{}", breach.observed);
    }
}

#[test]
fn a_child_that_cannot_be_started_or_talks_nonsense_is_the_fault_of_the_harness() {
    let mut runner = Runner::new(program("/nowhere/gauntlet", &[]));
    let error = runner.judge(&one_join(), Layout::Together, false).unwrap_err();
    let expected = "start /nowhere/gauntlet: No such file or directory (os error 2)";
    assert_eq!(error, HostError::Harness(expected.to_owned()));

    let mut runner = Runner::new(program("echo", &["good day"]));
    let error = runner.judge(&one_join(), Layout::Together, false).unwrap_err();
    assert!(error.to_string().starts_with("harness: reply `good day`: expected value"), "{error}");
}

#[test]
fn a_child_that_fails_before_the_first_step_is_the_fault_of_the_harness() {
    let mut runner = Runner::new(program("sh", &["-c", "exit 3"]));
    let error = runner.judge(&one_join(), Layout::Together, false).unwrap_err();
    assert_eq!(error.to_string(), "harness: child crashed: exited with 3");
}

/// A whole campaign on an iceoryx2 that hangs at its first call.
#[test]
fn a_hang_is_reported_as_such_and_its_case_is_saved() {
    let out = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::create_dir(out.path().join("cases")).unwrap();
    let plan = Plan {
        executable: at_the_first_step("exec sleep 603"),
        seed: 1,
        time: DEADLINE,
        scenarios: 0,
        jobs: 1,
        deadline: Duration::from_millis(20),
        out: out.path().to_owned(),
        strict: true,
        fail_fast: false,
    };
    let report = campaign::run(&plan, &Arc::default(), &|_| {}).unwrap();
    assert_eq!(report.verdict(Promise::NeverHangs), Verdict::Hung);
    assert!(!report.is_green());
    for finding in &report.findings {
        let text = fs::read_to_string(&finding.case).unwrap();
        assert!(text.contains("# broken promise: never-hangs"), "{text}");
        assert!(text.contains("did not return within 20 ms"), "{text}");
        let saved = Scenario::load(&finding.case).unwrap();
        assert_eq!(saved.written_steps(), finding.steps.1);
    }
    assert!(!report.findings.is_empty());
}
