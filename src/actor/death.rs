//! Kills a child amid what it does: at a system call or an instruction that is counted, so that
//! the same death can be died again.

use std::{
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
    fcntl::OFlag,
    libc,
    sys::{
        ptrace,
        signal::{self, Signal},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::{
    HostError,
    child::{ATTENTION, Child, Executable},
};
use crate::scenario::Moment;

/// Who is not killed when the moment comes, but as soon as they are not spared any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spares {
    /// Nobody.
    Nobody,
    /// Who has begun to make a file others can see: a known quirk.
    WhoeverMakesAFile,
}

/// Stops the calling process, which is traced: what it is to die of begins or ends here.
pub(super) fn mark() {
    // Who is not traced would wait for somebody to go on with it.
    let _ = signal::raise(Signal::SIGSTOP);
}

/// Whether a process may trace its children here: some containers forbid it.
pub fn is_possible(executable: &Executable) -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| Child::start(executable).is_ok_and(|child| seize(child.pid()).is_ok()))
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
/// moment, or has done it all: it has [`mark`]ed both ends. It is still to be killed.
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
        Moment::Call(calls) => (calls, ptrace::syscall),
        Moment::Instruction(steps) => (steps, ptrace::step),
    };
    let (mut has_begun, mut in_call) = (false, false);
    let mut making = Making::default();
    loop {
        let mut signal = None;
        // Only looked at: a child that has ended is reaped by whoever started it.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
        let counts = match waitid(Id::Pid(pid), flags)? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(false),
            // `waitid` tells of a signal as of an event without a number.
            WaitStatus::PtraceEvent(_, Signal::SIGSTOP, 0) if has_begun => return Ok(true),
            WaitStatus::PtraceEvent(_, Signal::SIGSTOP, 0) => {
                has_begun = true;
                false
            }
            WaitStatus::PtraceEvent(_, Signal::SIGTRAP, 0) => true,
            // Before a call and after it, in turns.
            WaitStatus::PtraceSyscall(_) => {
                in_call = !in_call;
                in_call && is_about_files(Call::of(pid)?.number)
            }
            WaitStatus::PtraceEvent(_, other, 0) => {
                signal = Some(other);
                false
            }
            _ => false,
        };
        if counts {
            if left == 0 && !(spares == Spares::WhoeverMakesAFile && making.is_any()) {
                return Ok(true);
            }
            left = left.saturating_sub(1);
            if let Moment::Call(_) = moment {
                making.note(&Call::of(pid)?);
            }
        }
        let resume = if has_begun { go_on } else { ptrace::cont };
        match resume(pid, signal) {
            // It was killed meanwhile, which the next look shows.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The files a process is about to make: they are there, and do not have their last permissions
/// yet, which is how iceoryx2 tells others that one is complete.
#[derive(Default)]
struct Making {
    /// The permissions each was made with.
    modes: Vec<u64>,
}

impl Making {
    fn is_any(&self) -> bool {
        !self.modes.is_empty()
    }

    fn note(&mut self, call: &Call) {
        let [_, second, third, fourth] = call.arguments;
        let makes = |flags: u64| flags & u64::from(OFlag::O_CREAT.bits().cast_unsigned()) != 0;
        match call.number {
            libc::SYS_openat if makes(third) => self.modes.push(fourth),
            libc::SYS_fchmod if !self.modes.contains(&second) => {
                self.modes.pop();
            }
            _ => {}
        }
    }
}

/// Whether a system call opens, changes, locks or removes a file. Memory, time and signals are
/// the C library's business, which differs from machine to machine.
fn is_about_files(number: i64) -> bool {
    const CALLS: &[i64] = &[
        libc::SYS_openat,
        libc::SYS_ftruncate,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fcntl,
        libc::SYS_flock,
        libc::SYS_write,
        libc::SYS_mkdirat,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chmod,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rmdir,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename,
    ];
    CALLS.contains(&number)
}

/// A system call a process is about to make.
struct Call {
    number: i64,
    /// The first of them.
    arguments: [u64; 4],
}

impl Call {
    #[cfg(target_arch = "x86_64")]
    fn of(pid: Pid) -> Result<Self, Errno> {
        let registers = ptrace::getregs(pid)?;
        Ok(Self {
            number: registers.orig_rax.cast_signed(),
            arguments: [registers.rdi, registers.rsi, registers.rdx, registers.r10],
        })
    }

    #[cfg(target_arch = "aarch64")]
    fn of(pid: Pid) -> Result<Self, Errno> {
        let [first, second, third, fourth, _, _, _, _, number, ..] = ptrace::getregs(pid)?.regs;
        Ok(Self { number: number.cast_signed(), arguments: [first, second, third, fourth] })
    }
}

/// Waits until a child that was killed has ended: until then it may still show the stop it was
/// killed at.
pub(super) fn wait_for_end(pid: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::Pid(pid), flags)
        && !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..))
    {
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(flags: OFlag, mode: u64) -> Call {
        let flags = u64::from(flags.bits().cast_unsigned());
        Call { number: libc::SYS_openat, arguments: [0, 0, flags, mode] }
    }

    fn permits(mode: u64) -> Call {
        Call { number: libc::SYS_fchmod, arguments: [3, mode, 0, 0] }
    }

    #[test]
    fn a_file_is_in_the_making_until_it_has_other_permissions_than_it_was_made_with() {
        let new = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let write = Call { number: libc::SYS_write, arguments: [3, 0, 8, 0] };
        let is_any = |calls: &[&Call]| {
            let mut making = Making::default();
            calls.iter().for_each(|call| making.note(call));
            making.is_any()
        };
        let (made, segment) = (opens(new, 0o600), opens(new, 0o200));
        assert!(!is_any(&[&opens(OFlag::O_RDWR, 0)]));
        assert!(is_any(&[&made]));
        assert!(is_any(&[&made, &permits(0o600), &write]));
        assert!(!is_any(&[&made, &permits(0o600), &write, &permits(0o400)]));
        assert!(!is_any(&[&segment, &permits(0o600)]));
        // Three at once, as those of a node.
        let three = [&segment, &permits(0o200), &segment, &permits(0o200), &segment];
        let two_done = [&permits(0o600), &permits(0o600)];
        assert!(is_any(&[&three[..], &two_done].concat()));
        assert!(!is_any(&[&three[..], &two_done, &[&permits(0o400)]].concat()));
        // A directory's are its last ones at once.
        assert!(!is_any(&[&permits(0o750)]));
    }
}
