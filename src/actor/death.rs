//! Kills a child amid what it does: at a system call or an instruction that is counted, so that
//! the same death can be died again.

mod calls;

use std::{
    process::{self, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        ptrace,
        signal::{self, Signal},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::{HostError, child::ATTENTION};
use crate::scenario::{Moment, Scenario};

use calls::{Call, Halfway};

/// Who is not killed when the moment comes, but as soon as they are not spared any more: known
/// quirks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spares {
    /// Whoever has begun to make a file others can see.
    pub makers: bool,
    /// Whoever has begun to remove the files of a node.
    pub removers: bool,
}

/// Stops the calling process, which is traced, before and after what it is to be killed amid.
pub(super) fn between_marks<T>(work: impl FnOnce() -> T) -> T {
    mark();
    let done = work();
    mark();
    done
}

fn mark() {
    // Who is not traced would wait for somebody to go on with it.
    let _ = signal::raise(Signal::SIGSTOP);
}

/// The id of a child.
pub(super) fn pid_of(child: &process::Child) -> Pid {
    // It fits: the system's are `i32`. None at all rather than 0, which means the whole group.
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// Whether a process may trace its children here: some containers forbid it.
#[must_use]
pub fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        if !calls::ARE_KNOWN {
            return false;
        }
        // It ends with its input.
        let child = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn();
        child.is_ok_and(|mut child| {
            let seized = seize(pid_of(&child));
            let _ = child.kill();
            wait_for_end(pid_of(&child));
            let _ = child.wait();
            seized.is_ok()
        })
    })
}

/// What is missing here for a scenario, if somebody dies amid a step of it.
#[must_use]
pub fn lacks(scenario: &Scenario) -> Option<&'static str> {
    (scenario.kills_amid() && !is_possible()).then_some("leave to trace processes")
}

fn seize(pid: Pid) -> Result<(), Errno> {
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options)
}

/// How a stopped child goes on, with a signal or without.
type Resume = fn(Pid, Option<Signal>) -> Result<(), Errno>;

/// Why a watched child was killed.
enum Reason {
    Late,
    Interrupted,
}

/// Traces a child, lets `begin` tell it what to do, and returns once it stands still at the
/// moment, or has done it all, see [`between_marks`]. It is still to be killed.
///
/// # Errors
/// If the child ended or took longer than `deadline`, or `interrupted` was set meanwhile.
pub(super) fn stop_amid(
    pid: Pid,
    moment: Moment,
    spares: Spares,
    deadline: Duration,
    interrupted: &AtomicBool,
    begin: impl FnOnce(),
) -> Result<(), HostError> {
    let failed = |error: Errno| HostError::Harness(format!("trace a child: {error}"));
    seize(pid).map_err(failed)?;
    begin();
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        let watch = scope.spawn(move || watch(pid, deadline, interrupted, &is_done));
        let stopped = wait_for(pid, moment, spares);
        drop(done);
        match (watch.join(), stopped) {
            (Ok(Some(Reason::Late)), _) => {
                Err(HostError::Hung(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)))
            }
            (Ok(Some(Reason::Interrupted)), _) => Err(HostError::Interrupted),
            (_, Ok(true)) => Ok(()),
            // Whoever reaps it knows how it ended.
            (_, Ok(false)) => Err(HostError::Crashed(String::new())),
            (_, Err(error)) => Err(failed(error)),
        }
    })
}

/// Kills the child once it is late, so that whoever waits for its next stop does so no longer.
fn watch(
    pid: Pid,
    deadline: Duration,
    interrupted: &AtomicBool,
    is_done: &Receiver<()>,
) -> Option<Reason> {
    let until = Instant::now() + deadline;
    let reason = loop {
        match is_done.recv_timeout(ATTENTION) {
            Err(RecvTimeoutError::Timeout) if interrupted.load(Ordering::Relaxed) => {
                break Reason::Interrupted;
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
            Err(RecvTimeoutError::Timeout) => break Reason::Late,
            _ => return None,
        }
    };
    // It is not reaped before this thread has ended.
    let _ = signal::kill(pid, Signal::SIGKILL);
    Some(reason)
}

/// Whether the child stands still; otherwise it has ended.
fn wait_for(pid: Pid, moment: Moment, spares: Spares) -> Result<bool, Errno> {
    let (mut left, go_on): (u32, Resume) = match moment {
        Moment::Call(calls) | Moment::Change(calls) => (calls, ptrace::syscall),
        Moment::Instruction(steps) => (steps, ptrace::step),
    };
    let by_instruction = matches!(moment, Moment::Instruction(_));
    let by_change = matches!(moment, Moment::Change(_));
    let (mut has_begun, mut in_call) = (false, false);
    let mut halfway = Halfway::default();
    loop {
        let mut signal = None;
        // The call it is about to make, and whether it is to be counted.
        let mut next = None;
        let mut counts = false;
        // Only looked at: a child that has ended is reaped by whoever started it.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(pid), flags) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => return Ok(false),
            // `waitid` tells of a signal as of an event without a number.
            Ok(WaitStatus::PtraceEvent(_, Signal::SIGSTOP, 0)) if has_begun => return Ok(true),
            Ok(WaitStatus::PtraceEvent(_, Signal::SIGSTOP, 0)) => has_begun = true,
            Ok(WaitStatus::PtraceEvent(_, Signal::SIGTRAP, 0)) if by_instruction => {
                counts = true;
                if spares != Spares::default() {
                    next = Call::at_instruction(pid);
                }
            }
            // Before a call and after it, in turns.
            Ok(WaitStatus::PtraceSyscall(_)) => {
                in_call = !in_call;
                next = Call::stopped_at(pid).filter(|call| in_call && call.is_about_files());
                counts = next.as_ref().is_some_and(|call| !by_change || call.changes());
            }
            Ok(WaitStatus::PtraceEvent(_, other, 0)) => signal = Some(other),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        if counts {
            if left == 0 && !halfway.is_spared(spares) {
                return Ok(true);
            }
            left = left.saturating_sub(1);
        }
        next.iter().for_each(|call| halfway.note(call));
        let resume = if has_begun { go_on } else { ptrace::cont };
        match resume(pid, signal) {
            // It was killed meanwhile, which the next look shows.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits until a child that was killed has ended: until then it may still show the stop it was
/// killed at.
pub(super) fn wait_for_end(pid: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::Pid(pid), flags) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => return,
            Ok(_) | Err(Errno::EINTR) => thread::yield_now(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, path::Path};

    use super::*;

    /// A shell looks at a file, makes two others, which nobody ever completes, and is killed at a
    /// moment after it began to. It says when it begins and ends, as an actor does. Returns which
    /// were made.
    fn made_until(dir: &Path, at: Moment, spares: Spares) -> [bool; 2] {
        let files = [dir.join("first"), dir.join("second")];
        let script = r#"read line; kill -STOP $$; : < "$2"; : > "$0"; : > "$1"; kill -STOP $$"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).args(&files).arg(dir.join("third")).stdin(Stdio::piped());
        let mut shell = shell.spawn().expect("a shell");
        let mut input = shell.stdin.take().expect("its input");
        let begin = || writeln!(input, "go").expect("it reads");
        let deadline = Duration::from_secs(60);
        let stopped = stop_amid(pid_of(&shell), at, spares, deadline, &false.into(), begin);
        stopped.expect("it stands still");
        shell.kill().expect("it is there");
        wait_for_end(pid_of(&shell));
        shell.wait().expect("it has ended");
        files.map(|file| fs::remove_file(file).is_ok())
    }

    #[test]
    fn who_is_spared_is_killed_later() {
        if !is_possible() {
            eprintln!("left out: processes may not be traced here");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("third"), "").expect("a file");
        let amid = |at: &Moment| made_until(dir.path(), *at, Spares::default()) == [true, false];
        let moments = [
            (0..10).map(Moment::Call).find(amid),
            (0..10).map(Moment::Change).find(amid),
            (0..60_000).step_by(200).map(Moment::Instruction).find(amid),
        ];
        // When it has made the first; before that it has only looked.
        assert_eq!(moments[1], Some(Moment::Change(1)));
        assert_ne!(moments[0], Some(Moment::Call(1)));
        for at in moments {
            let at = at.expect("a moment between the two files");
            let [removers, makers] =
                [false, true].map(|makers| Spares { makers, removers: !makers });
            assert_eq!(made_until(dir.path(), at, removers), [true, false], "{at:?}");
            assert_eq!(made_until(dir.path(), at, makers), [true, true], "{at:?}");
        }
    }
}
