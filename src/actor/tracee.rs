//! A child that is traced: it goes on until a moment that is counted, until it is done, or until it waits
//! for somebody.

mod calls;
#[cfg(test)]
pub(super) mod shell;

use std::{
    fmt,
    path::PathBuf,
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
    sched::{self, CpuSet},
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

/// What known quirks put a moment off for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spares {
    /// Whoever has begun to make a file others can see.
    pub makers: bool,
    /// Whoever has begun to remove the files of a node.
    pub removers: bool,
}

/// Stops the calling process, which is traced, before and after what is to be traced of it.
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
            let seized = Tracee::seize(pid_of(&child));
            let _ = child.kill();
            wait_for_end(pid_of(&child));
            let _ = child.wait();
            seized.is_ok()
        })
    })
}

/// Whether a child can be made to run short of something here.
#[must_use]
pub fn can_run_short() -> bool {
    calls::CAN_FAIL && is_possible()
}

/// What is missing here for a scenario, if somebody is stopped amid a step of it.
#[must_use]
pub fn lacks(scenario: &Scenario) -> Option<&'static str> {
    if scenario.runs_short() && !can_run_short() {
        return Some("x86-64 and leave to trace processes");
    }
    let is_traced = scenario.kills_amid() || scenario.holds_amid();
    (is_traced && !is_possible()).then_some("leave to trace processes")
}

/// How far a child goes on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Until {
    /// To this moment, counted from where it stands.
    pub(super) moment: Option<Moment>,
    /// The moment is put off as long as these are spared.
    pub(super) spares: Spares,
    /// Not beyond a call by which it waits for somebody.
    pub(super) it_waits: bool,
    /// It runs short of something on the way.
    pub(super) shortage: Option<Shortage>,
}

/// When a process finds nothing left of what it takes: of descriptors, of room for a file, or for a
/// mapping of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// Calls that take something and get it, before the one that does not.
    pub after: u32,
}

/// What somebody found nothing left of, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// What there was nothing left of.
    pub what: Missing,
    /// The file that was to be opened, made, filled or mapped.
    pub file: PathBuf,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.what, self.file.display())
    }
}

/// What a process can find nothing left of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `open` fails with EMFILE, as beyond `RLIMIT_NOFILE`.
    Descriptor,
    /// `mkdir` and `write` fail with ENOSPC, `ftruncate` with EFBIG.
    Room,
    /// `mmap` of a file fails with ENOMEM, as beyond `vm.max_map_count`.
    Mapping,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptor => "a descriptor",
            Self::Room => "room for a file",
            Self::Mapping => "a mapping",
        })
    }
}

/// Why a child does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It stands still at the moment.
    AtMoment,
    /// It stands still before it waits for somebody.
    Waits,
    /// It stands still at its second mark.
    Done,
    /// It has ended.
    Gone,
}

/// Keeps the calling thread and a child on one core: to wake each other at every instruction takes
/// three times as long from one core to another.
struct OnOneCore {
    /// Who was where before, as far as that could be changed.
    before: Vec<(Pid, CpuSet)>,
}

impl OnOneCore {
    fn pin(child: Pid) -> Self {
        let mut one = CpuSet::new();
        let known = sched::sched_getcpu().and_then(|core| one.set(core));
        let pinned = |pid| {
            let before = sched::sched_getaffinity(pid).ok()?;
            sched::sched_setaffinity(pid, &one).ok()?;
            Some((pid, before))
        };
        let both = [Pid::from_raw(0), child].into_iter().filter(|_| known.is_ok());
        Self { before: both.filter_map(pinned).collect() }
    }
}

impl Drop for OnOneCore {
    fn drop(&mut self) {
        for (pid, cores) in &self.before {
            // Whoever is gone needs none.
            let _ = sched::sched_setaffinity(*pid, cores);
        }
    }
}

/// How a stopped child goes on, with a signal or without.
type Resume = fn(Pid, Option<Signal>) -> Result<(), Errno>;

/// A child that is traced by the thread that made this, as long as that thread lives.
#[derive(Debug)]
pub(super) struct Tracee {
    pid: Pid,
    /// It has passed its first mark.
    has_begun: bool,
    /// It stands still.
    is_stopped: bool,
    /// It has last stood still before a system call, and next does so after it.
    in_call: bool,
    /// What the call it makes is to end with instead of being made.
    refused: Option<Errno>,
    /// What the call that was refused would have taken.
    pub(super) missed: Option<Missed>,
    halfway: Halfway,
}

impl Tracee {
    /// Traces a child that runs; it stands still first at its first mark.
    pub(super) fn seize(pid: Pid) -> Result<Self, Errno> {
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::seize(pid, options)?;
        let halfway = Halfway::default();
        Ok(Self {
            pid,
            has_begun: false,
            is_stopped: false,
            in_call: false,
            refused: None,
            missed: None,
            halfway,
        })
    }

    /// Lets it go on, and returns once it stands still.
    pub(super) fn go_on(&mut self, mut until: Until) -> Result<Stop, Errno> {
        let by_instruction = matches!(until.moment, Some(Moment::Instruction(_)));
        let _together = by_instruction.then(|| OnOneCore::pin(self.pid));
        let by_change = matches!(until.moment, Some(Moment::Change(_)));
        let (mut left, step): (_, Resume) = match until.moment {
            Some(Moment::Call(calls) | Moment::Change(calls)) => (Some(calls), ptrace::syscall),
            Some(Moment::Instruction(steps)) => (Some(steps), ptrace::step),
            None if until.it_waits || until.shortage.is_some() => (None, ptrace::syscall),
            None => (None, ptrace::cont),
        };
        if self.is_stopped {
            self.resume(step, None)?;
        }
        loop {
            let mut signal = None;
            // The call it is about to make, and whether it is to be counted.
            let (mut next, mut counts) = (None, false);
            // Only looked at: a child that has ended is reaped by whoever started it.
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
            match waitid(Id::Pid(self.pid), flags) {
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => return Ok(Stop::Gone),
                // `waitid` tells of a signal as of an event without a number.
                Ok(WaitStatus::PtraceEvent(_, Signal::SIGSTOP, 0)) if self.has_begun => {
                    self.is_stopped = true;
                    return Ok(Stop::Done);
                }
                Ok(WaitStatus::PtraceEvent(_, Signal::SIGSTOP, 0)) => self.has_begun = true,
                Ok(WaitStatus::PtraceEvent(_, Signal::SIGTRAP, 0)) if by_instruction => {
                    counts = true;
                    if until.spares != Spares::default() || until.it_waits {
                        next = Call::at_instruction(self.pid);
                    }
                }
                // Before a call and after it, in turns.
                Ok(WaitStatus::PtraceSyscall(_)) => {
                    self.in_call = !self.in_call;
                    if let Some(error) = self.refused.take() {
                        unless_gone(calls::fail(self.pid, error))?;
                    }
                    next = Call::stopped_at(self.pid).filter(|_| self.in_call);
                    self.runs_short(&mut until.shortage, next.as_ref())?;
                    counts = next.as_ref().is_some_and(|call| {
                        call.is_about_files() && (!by_change || call.changes())
                    });
                }
                Ok(WaitStatus::PtraceEvent(_, other, 0)) => signal = Some(other),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
            if let Some(left) = left.as_mut().filter(|_| counts) {
                if *left == 0 && !self.halfway.is_spared(until.spares) {
                    self.is_stopped = true;
                    return Ok(Stop::AtMoment);
                }
                *left = left.saturating_sub(1);
            }
            if until.it_waits && next.as_ref().is_some_and(Call::waits) {
                self.is_stopped = true;
                return Ok(Stop::Waits);
            }
            let of_files = next.iter().filter(|call| call.is_about_files());
            of_files.for_each(|call| self.halfway.note(call));
            self.resume(if self.has_begun { step } else { ptrace::cont }, signal)?;
        }
    }

    /// Refuses the call it is stopped before, which takes something, if there is nothing left.
    fn runs_short(
        &mut self,
        shortage: &mut Option<Shortage>,
        call: Option<&Call>,
    ) -> Result<(), Errno> {
        let takes = call.and_then(Call::takes);
        let (Some(left), Some((error, file))) = (shortage.as_mut(), takes) else { return Ok(()) };
        if left.after > 0 {
            left.after -= 1;
            return Ok(());
        }
        *shortage = None;
        self.refused = Some(error);
        let what = match error {
            Errno::EMFILE => Missing::Descriptor,
            Errno::ENOMEM => Missing::Mapping,
            _ => Missing::Room,
        };
        self.missed = Some(Missed { what, file: file.to_owned() });
        unless_gone(calls::leave_out(self.pid))
    }

    /// Lets it go on without standing by: the next [`Self::go_on`] does that.
    pub(super) fn release(&mut self) -> Result<(), Errno> {
        if self.is_stopped { self.resume(ptrace::cont, None) } else { Ok(()) }
    }

    /// Lets it go on, not traced any more.
    pub(super) fn let_go(self) -> Result<(), Errno> {
        ptrace::detach(self.pid, None)
    }

    fn resume(&mut self, how: Resume, signal: Option<Signal>) -> Result<(), Errno> {
        self.is_stopped = false;
        unless_gone(how(self.pid, signal))
    }
}

/// Who was killed meanwhile cannot be told anything, which the next look shows.
fn unless_gone(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::ESRCH) => Ok(()),
        done => done,
    }
}

/// Why watched children were killed.
enum Reason {
    Late,
    Interrupted,
}

/// Does something with children that are traced, and kills them once they are late, so that
/// whoever waits for their next stop does so no longer.
///
/// # Errors
/// If it takes longer than `deadline`, `interrupted` is set meanwhile, or a child cannot be traced.
pub(super) fn watched<T>(
    children: &[Pid],
    deadline: Duration,
    interrupted: &AtomicBool,
    work: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, HostError> {
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        let watch = scope.spawn(move || watch(children, deadline, interrupted, &is_done));
        // Here: whoever traces a child has to be the one who began to.
        let worked = work();
        drop(done);
        match (watch.join(), worked) {
            (Ok(Some(Reason::Late)), _) => {
                Err(HostError::Hung(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)))
            }
            (Ok(Some(Reason::Interrupted)), _) => Err(HostError::Interrupted),
            (_, Ok(done)) => Ok(done),
            (_, Err(error)) => Err(HostError::Harness(format!("trace a child: {error}"))),
        }
    })
}

fn watch(
    children: &[Pid],
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
    // They are not reaped before this thread has ended.
    for &child in children {
        let _ = signal::kill(child, Signal::SIGKILL);
    }
    Some(reason)
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
