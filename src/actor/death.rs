//! Kills a child amid what it does: at a system call or an instruction that is counted, so that
//! the same death can be died again.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::PathBuf,
    process::{Command, Stdio},
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

use super::{HostError, child::ATTENTION};
use crate::scenario::{Moment, Scenario};

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

/// Whether a process may trace its children here: some containers forbid it.
pub fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        // It ends with its input.
        let child = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn();
        child.is_ok_and(|mut child| {
            let seized = i32::try_from(child.id()).map(|pid| seize(Pid::from_raw(pid)));
            let _ = child.kill();
            wait_for_end(Pid::from_raw(i32::try_from(child.id()).unwrap_or_default()));
            let _ = child.wait();
            matches!(seized, Ok(Ok(())))
        })
    })
}

/// What is missing here for a scenario, if somebody dies amid a step of it.
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
        Moment::Call(calls) => (calls, ptrace::syscall),
        Moment::Instruction(steps) => (steps, ptrace::step),
    };
    let (mut has_begun, mut in_call) = (false, false);
    let mut halfway = Halfway::default();
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
            if left == 0 && !halfway.is_spared(spares) {
                return Ok(true);
            }
            left = left.saturating_sub(1);
            if let Moment::Call(_) = moment {
                halfway.note(&Call::of(pid)?);
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

/// What a process has begun and not ended.
#[derive(Default)]
struct Halfway {
    /// The permissions each file was made with that is there and does not have its last ones yet,
    /// which is how iceoryx2 tells others that it is complete.
    made: Vec<u64>,
    /// What is still to be removed of a node.
    of_node: u32,
}

/// What is removed of a node after the last file of its directory: the directory, and three files
/// beside it that say whether its process lives.
const BESIDE_LAST_FILE: u32 = 4;

impl Halfway {
    fn is_spared(&self, spares: Spares) -> bool {
        spares.makers && !self.made.is_empty() || spares.removers && self.of_node > 0
    }

    fn note(&mut self, call: &Call) {
        let [_, second, third, fourth] = call.arguments;
        let makes = |flags: u64| flags & u64::from(OFlag::O_CREAT.bits().cast_unsigned()) != 0;
        match call.number {
            libc::SYS_openat if makes(third) => self.made.push(fourth),
            libc::SYS_fchmod if !self.made.contains(&second) => {
                self.made.pop();
            }
            _ if call.empties_directory => self.of_node = BESIDE_LAST_FILE,
            _ if call.removes() => self.of_node = self.of_node.saturating_sub(1),
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
    /// Whether it removes the last file of a directory.
    empties_directory: bool,
}

impl Call {
    fn of(pid: Pid) -> Result<Self, Errno> {
        let (number, arguments) = registers(pid)?;
        let mut call = Self { number, arguments, empties_directory: false };
        if call.removes() {
            let path = if number == libc::SYS_unlinkat { arguments[1] } else { arguments[0] };
            let siblings = path_at(pid, path).and_then(|path| path.parent()?.read_dir().ok());
            call.empties_directory = siblings.is_some_and(|siblings| siblings.count() == 1);
        }
        Ok(call)
    }

    fn removes(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        const CALLS: &[i64] = &[libc::SYS_unlink, libc::SYS_unlinkat, libc::SYS_rmdir];
        #[cfg(target_arch = "aarch64")]
        const CALLS: &[i64] = &[libc::SYS_unlinkat];
        CALLS.contains(&self.number)
    }
}

/// The number and the first arguments of a system call.
#[cfg(target_arch = "x86_64")]
fn registers(pid: Pid) -> Result<(i64, [u64; 4]), Errno> {
    let all = ptrace::getregs(pid)?;
    Ok((all.orig_rax.cast_signed(), [all.rdi, all.rsi, all.rdx, all.r10]))
}

/// The number and the first arguments of a system call.
#[cfg(target_arch = "aarch64")]
fn registers(pid: Pid) -> Result<(i64, [u64; 4]), Errno> {
    let [first, second, third, fourth, _, _, _, _, number, ..] = ptrace::getregs(pid)?.regs;
    Ok((number.cast_signed(), [first, second, third, fourth]))
}

/// The path that stands at an address of a process that stands still.
fn path_at(pid: Pid, address: u64) -> Option<PathBuf> {
    let mut bytes = [0; libc::PATH_MAX as usize];
    // It may end at a page nobody has.
    let read = File::open(format!("/proc/{pid}/mem")).ok()?.read_at(&mut bytes, address).ok()?;
    let end = bytes[..read].iter().position(|&byte| byte == 0)?;
    Some(OsStr::from_bytes(&bytes[..end]).into())
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

    fn call(number: i64, arguments: [u64; 4]) -> Call {
        Call { number, arguments, empties_directory: false }
    }

    fn opens(flags: OFlag, mode: u64) -> Call {
        call(libc::SYS_openat, [0, 0, u64::from(flags.bits().cast_unsigned()), mode])
    }

    fn permits(mode: u64) -> Call {
        call(libc::SYS_fchmod, [3, mode, 0, 0])
    }

    /// Whether makers and removers are spared after these calls.
    fn are_spared(calls: &[&Call]) -> (bool, bool) {
        let mut halfway = Halfway::default();
        calls.iter().for_each(|call| halfway.note(call));
        assert!(!halfway.is_spared(Spares::default()));
        let spared = |makers, removers| halfway.is_spared(Spares { makers, removers });
        (spared(true, false), spared(false, true))
    }

    #[test]
    fn a_file_is_in_the_making_until_it_has_other_permissions_than_it_was_made_with() {
        let new = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let write = call(libc::SYS_write, [3, 0, 8, 0]);
        let (made, segment) = (opens(new, 0o600), opens(new, 0o200));
        assert_eq!(are_spared(&[&opens(OFlag::O_RDWR, 0)]), (false, false));
        assert_eq!(are_spared(&[&made]), (true, false));
        assert_eq!(are_spared(&[&made, &permits(0o600), &write]), (true, false));
        let done = [&made, &permits(0o600), &write, &permits(0o400)];
        assert_eq!(are_spared(&done), (false, false));
        assert_eq!(are_spared(&[&segment, &permits(0o600)]), (false, false));
        // Three at once, as those of a node.
        let three = [&segment, &permits(0o200), &segment, &permits(0o200), &segment];
        let two_done = [&permits(0o600), &permits(0o600)];
        assert_eq!(are_spared(&[&three[..], &two_done].concat()), (true, false));
        let last = permits(0o400);
        let done = [&three[..], &two_done, &[&last]].concat();
        assert_eq!(are_spared(&done), (false, false));
        // A directory's are its last ones at once.
        assert_eq!(are_spared(&[&permits(0o750)]), (false, false));
    }

    #[test]
    fn a_node_is_half_gone_from_the_last_file_of_its_directory_to_the_last_beside_it() {
        let file = call(libc::SYS_unlinkat, [0; 4]);
        let last = Call { empties_directory: true, ..call(libc::SYS_unlinkat, [0; 4]) };
        assert_eq!(are_spared(&[&file, &file]), (false, false));
        assert_eq!(are_spared(&[&file, &last]), (false, true));
        assert_eq!(are_spared(&[&last, &file, &file, &file]), (false, true));
        assert_eq!(are_spared(&[&last, &file, &file, &file, &file]), (false, false));
    }

    #[test]
    fn a_path_is_read_where_it_stands() {
        let path = c"/dev/shm/some/file";
        let address = path.as_ptr().addr() as u64;
        assert_eq!(path_at(Pid::this(), address), Some("/dev/shm/some/file".into()));
        assert_eq!(path_at(Pid::this(), 8), None);
    }
}
