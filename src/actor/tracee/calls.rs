//! System calls a traced process makes, and what it has begun with them.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc::{self, c_long},
    sys::ptrace,
    unistd::Pid,
};

use super::Spares;

/// Whether it is known which registers hold a system call on this architecture.
pub(super) const ARE_KNOWN: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Whether a system call can be made to fail on this architecture.
pub(super) const CAN_FAIL: bool = cfg!(target_arch = "x86_64");

/// What a process has begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Halfway {
    /// Each file that is there and not complete, with the permissions it was made with: other ones
    /// are how iceoryx2 tells others that a file is. Nobody waits for a segment longer than until
    /// it has a size.
    made: BTreeMap<PathBuf, u64>,
    /// What is still to be removed of a node.
    of_node: u32,
}

/// What is removed of a node after the last file of its directory: the directory, and three files
/// beside it that say whether its process lives.
const BESIDE_LAST_FILE: u32 = 4;

impl Halfway {
    pub(super) fn is_spared(&self, spares: Spares) -> bool {
        spares.makers && !self.made.is_empty() || spares.removers && self.of_node > 0
    }

    pub(super) fn note(&mut self, call: &Call) {
        let made = |file: &PathBuf| self.made.get(file).copied();
        match call.deed {
            Deed::Makes { mode } => {
                self.made.insert(call.file.clone(), mode);
            }
            Deed::Permits { mode } if made(&call.file).is_none_or(|before| before == mode) => {}
            Deed::Sizes | Deed::Permits { .. } => {
                self.made.remove(&call.file);
            }
            Deed::Removes { is_last } => {
                self.made.remove(&call.file);
                self.of_node =
                    if is_last { BESIDE_LAST_FILE } else { self.of_node.saturating_sub(1) };
            }
            Deed::Other => {}
        }
    }
}

/// A system call a process is about to make.
pub(super) struct Call {
    deed: Deed,
    /// What it is about, if that is a file.
    file: PathBuf,
    is_about_files: bool,
    changes: bool,
    waits: bool,
    takes: Option<Errno>,
}

/// What it does that others may meet half done.
#[derive(Clone, Copy)]
enum Deed {
    /// It makes a file, with these permissions.
    Makes { mode: u64 },
    /// It gives a segment a size.
    Sizes,
    /// It gives a file these permissions.
    Permits { mode: u64 },
    /// It removes a file or a directory, perhaps the last thing in the directory it is in.
    Removes { is_last: bool },
    /// Anything else.
    Other,
}

/// What a system call is told of the file it is about.
enum Of {
    Path(u64),
    Descriptor(u64),
}

impl Call {
    /// The one a process is stopped at.
    pub(super) fn stopped_at(pid: Pid) -> Option<Self> {
        let Registers { stopped_at, arguments, .. } = registers(pid)?;
        Self::of(pid, stopped_at, arguments)
    }

    /// The one the next instruction makes.
    pub(super) fn at_instruction(pid: Pid) -> Option<Self> {
        let Registers { next, arguments, instruction, .. } = registers(pid)?;
        let mut bytes = [0; MAKES_CALL.len()];
        memory(pid)?.read_exact_at(&mut bytes, instruction).ok()?;
        if bytes == MAKES_CALL { Self::of(pid, next, arguments) } else { None }
    }

    /// Whether it opens, changes, locks or removes a file that is not the machine's. Memory, time
    /// and signals are the C library's business, which differs from machine to machine.
    pub(super) fn is_about_files(&self) -> bool {
        self.is_about_files
    }

    /// Whether it leaves a file otherwise than it was, or a lock.
    pub(super) fn changes(&self) -> bool {
        self.changes
    }

    /// Whether it gives way to others until they have done something.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// The error it ends with where there is nothing left of what it takes: a descriptor, room for
    /// a file, or for a mapping of one; and that file.
    pub(super) fn takes(&self) -> Option<(Errno, &Path)> {
        self.takes.map(|error| (error, self.file.as_path()))
    }

    fn of(pid: Pid, number: c_long, arguments: [u64; 5]) -> Option<Self> {
        let [first, second, third, fourth, fifth] = arguments;
        let waits = waits(number, second);
        let makes = |flags: u64, mode| {
            let creates = flags & u64::from(OFlag::O_CREAT.bits().cast_unsigned()) != 0;
            if creates { Deed::Makes { mode } } else { Deed::Other }
        };
        let removes = Deed::Removes { is_last: false };
        let (of, deed) = match number {
            libc::SYS_openat => (Of::Path(second), makes(third, fourth)),
            libc::SYS_mkdirat | libc::SYS_fchmodat | libc::SYS_renameat | libc::SYS_renameat2 => {
                (Of::Path(second), Deed::Other)
            }
            libc::SYS_unlinkat => (Of::Path(second), removes),
            libc::SYS_fchmod => (Of::Descriptor(first), Deed::Permits { mode: second }),
            libc::SYS_ftruncate => (Of::Descriptor(first), Deed::Sizes),
            libc::SYS_fcntl | libc::SYS_flock | libc::SYS_write => {
                (Of::Descriptor(first), Deed::Other)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => (Of::Path(first), makes(second, third)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir | libc::SYS_chmod | libc::SYS_rename => (Of::Path(first), Deed::Other),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink | libc::SYS_rmdir => (Of::Path(first), removes),
            // Memory without a file is the C library's business.
            libc::SYS_mmap if is_shared(fourth) => (Of::Descriptor(fifth), Deed::Other),
            _ if waits => {
                let (deed, file, takes) = (Deed::Other, PathBuf::new(), None);
                let (is_about_files, changes) = (false, false);
                return Some(Self { deed, file, is_about_files, changes, waits, takes });
            }
            _ => return None,
        };
        let changes = match number {
            libc::SYS_openat => matches!(deed, Deed::Makes { .. }),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => matches!(deed, Deed::Makes { .. }),
            libc::SYS_fcntl => LOCKS.iter().any(|&lock| second == u64::from(lock.cast_unsigned())),
            libc::SYS_mmap => false,
            _ => true,
        };
        let file = match of {
            Of::Path(address) => path_at(pid, address)?,
            Of::Descriptor(number) => fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?,
        };
        let deed = match deed {
            Deed::Removes { .. } => Deed::Removes { is_last: is_last(&file) },
            deed => deed,
        };
        let is_own = !is_of_machine(&file);
        let takes = takes(number).filter(|_| is_own);
        // A mapping leaves the file as it is, and those of the others are no business of theirs.
        let is_about_files = is_own && number != libc::SYS_mmap;
        Some(Self { deed, file, is_about_files, changes, waits, takes })
    }
}

/// The error by which a call says that there is nothing left of what it takes.
fn takes(number: c_long) -> Option<Errno> {
    match number {
        libc::SYS_openat => Some(Errno::EMFILE),
        libc::SYS_mkdirat | libc::SYS_write => Some(Errno::ENOSPC),
        // As with RLIMIT_FSIZE: memory that is not written to takes no room.
        libc::SYS_ftruncate => Some(Errno::EFBIG),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => Some(Errno::EMFILE),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir => Some(Errno::ENOSPC),
        libc::SYS_mmap => Some(Errno::ENOMEM),
        _ => None,
    }
}

/// Whether `mmap` is told to map a file so that others see what is written.
fn is_shared(flags: u64) -> bool {
    let shared = u64::from(libc::MAP_SHARED.cast_unsigned());
    let none = u64::from(libc::MAP_ANONYMOUS.cast_unsigned());
    flags & shared != 0 && flags & none == 0
}

/// Whether a process gives way to others by this call, of which `how` is the second argument.
fn waits(number: c_long, how: u64) -> bool {
    let is_one_of =
        |all: &[libc::c_int]| all.iter().any(|&one| how == u64::from(one.cast_unsigned()));
    let unflagged = how & !u64::from(FUTEX_FLAGS.cast_unsigned());
    match number {
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep | libc::SYS_sched_yield => true,
        libc::SYS_futex => {
            FUTEX_WAITS.iter().any(|&one| unflagged == u64::from(one.cast_unsigned()))
        }
        libc::SYS_fcntl => is_one_of(&[libc::F_SETLKW, libc::F_OFD_SETLKW]),
        libc::SYS_flock => true,
        _ => false,
    }
}

/// What `fcntl` is told to set a lock.
const LOCKS: [libc::c_int; 4] =
    [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK, libc::F_OFD_SETLKW];

const FUTEX_FLAGS: libc::c_int = libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME;

/// What a futex is told to wait for.
const FUTEX_WAITS: [libc::c_int; 3] =
    [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET, libc::FUTEX_LOCK_PI];

/// Whether a path is none of a program's own: pipes and the like, configuration, libraries.
fn is_of_machine(path: &Path) -> bool {
    let of_machine = ["/proc", "/sys", "/etc", "/usr", "/lib", "/lib64"];
    path.is_relative() || of_machine.iter().any(|root| path.starts_with(root))
}

fn is_last(path: &Path) -> bool {
    let siblings = path.parent().and_then(|parent| parent.read_dir().ok());
    siblings.is_some_and(|siblings| siblings.count() == 1)
}

fn memory(pid: Pid) -> Option<File> {
    File::open(format!("/proc/{pid}/mem")).ok()
}

/// The path that stands at an address of a process that stands still.
fn path_at(pid: Pid, address: u64) -> Option<PathBuf> {
    let mut bytes = [0; libc::PATH_MAX as usize];
    // It may end at a page nobody has.
    let read = memory(pid)?.read_at(&mut bytes, address).ok()?;
    let end = bytes[..read].iter().position(|&byte| byte == 0)?;
    Some(OsStr::from_bytes(&bytes[..end]).into())
}

/// What is to be known of a process that stands still.
struct Registers {
    /// The system call it is stopped at.
    stopped_at: c_long,
    /// The one it would make now.
    next: c_long,
    /// The first of them.
    arguments: [u64; 5],
    /// Where its next instruction stands.
    instruction: u64,
}

/// The instruction that makes a system call: `syscall`.
#[cfg(target_arch = "x86_64")]
const MAKES_CALL: [u8; 2] = [0x0f, 0x05];

/// `None` if it is gone.
#[cfg(target_arch = "x86_64")]
fn registers(pid: Pid) -> Option<Registers> {
    let all = ptrace::getregs(pid).ok()?;
    Some(Registers {
        stopped_at: all.orig_rax.cast_signed(),
        next: all.rax.cast_signed(),
        arguments: [all.rdi, all.rsi, all.rdx, all.r10, all.r8],
        instruction: all.rip,
    })
}

/// The instruction that makes a system call: `svc #0`.
#[cfg(target_arch = "aarch64")]
const MAKES_CALL: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];

/// `None` if it is gone.
#[cfg(target_arch = "aarch64")]
fn registers(pid: Pid) -> Option<Registers> {
    let all = ptrace::getregs(pid).ok()?;
    let [first, second, third, fourth, fifth, _, _, _, number, ..] = all.regs;
    Some(Registers {
        stopped_at: number.cast_signed(),
        next: number.cast_signed(),
        arguments: [first, second, third, fourth, fifth],
        instruction: all.pc,
    })
}

/// No instruction is told from another there.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MAKES_CALL: [u8; 1] = [0];

/// Lets the system call a process is stopped before not be made.
#[cfg(target_arch = "x86_64")]
pub(super) fn leave_out(pid: Pid) -> Result<(), Errno> {
    let mut all = ptrace::getregs(pid)?;
    all.orig_rax = u64::MAX;
    ptrace::setregs(pid, all)
}

/// Lets the system call a process is stopped after return an error.
#[cfg(target_arch = "x86_64")]
pub(super) fn fail(pid: Pid, error: Errno) -> Result<(), Errno> {
    let mut all = ptrace::getregs(pid)?;
    all.rax = (-i64::from(error as i32)).cast_unsigned();
    ptrace::setregs(pid, all)
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn leave_out(_: Pid) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn fail(_: Pid, _: Errno) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}

/// Nothing is known there.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn registers(_: Pid) -> Option<Registers> {
    None
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn call(file: &str, deed: Deed) -> Call {
        let (is_about_files, changes, waits, takes) = (true, true, false, None);
        Call { deed, file: file.into(), is_about_files, changes, waits, takes }
    }

    fn permits(file: &str, mode: u64) -> Call {
        call(file, Deed::Permits { mode })
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
        let write = call("a", Deed::Other);
        let made = call("a", Deed::Makes { mode: 0o600 });
        assert_eq!(are_spared(&[&write]), (false, false));
        assert_eq!(are_spared(&[&made]), (true, false));
        let (same, others) = (permits("a", 0o600), permits("a", 0o400));
        assert_eq!(are_spared(&[&made, &same, &write]), (true, false));
        assert_eq!(are_spared(&[&made, &same, &write, &others]), (false, false));
        // Several at once, as those of a node.
        let of_other = permits("b", 0o400);
        assert_eq!(are_spared(&[&made, &of_other]), (true, false), "it is another file");
        let made_other = call("b", Deed::Makes { mode: 0o200 });
        assert_eq!(are_spared(&[&made, &made_other, &of_other]), (true, false));
        assert_eq!(are_spared(&[&made, &made_other, &of_other, &others]), (false, false));
        let removed = call("a", Deed::Removes { is_last: false });
        assert_eq!(are_spared(&[&made, &removed]), (false, false));
        // A directory's are its last ones at once.
        assert_eq!(are_spared(&[&permits("a", 0o750)]), (false, false));
    }

    #[test]
    fn a_segment_is_in_the_making_until_it_has_a_size() {
        let made = call("a", Deed::Makes { mode: 0o200 });
        let [sized, other] = ["a", "b"].map(|file| call(file, Deed::Sizes));
        assert_eq!(are_spared(&[&made, &other]), (true, false));
        assert_eq!(are_spared(&[&made, &sized]), (false, false));
        // While a file is in the making that says what it is for.
        let tag = call("tag", Deed::Makes { mode: 0o600 });
        let last = permits("a", 0o600);
        assert_eq!(are_spared(&[&tag, &made, &sized, &last]), (true, false));
    }

    #[test]
    fn a_node_is_half_gone_from_the_last_file_of_its_directory_to_the_last_beside_it() {
        let file = call("a", Deed::Removes { is_last: false });
        let last = call("b", Deed::Removes { is_last: true });
        assert_eq!(are_spared(&[&file, &file]), (false, false));
        assert_eq!(are_spared(&[&file, &last]), (false, true));
        assert_eq!(are_spared(&[&last, &file, &file, &file]), (false, true));
        assert_eq!(are_spared(&[&last, &file, &file, &file, &file]), (false, false));
    }

    #[test]
    fn a_call_says_what_it_does_to_which_file() {
        let this = Pid::this();
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("a file");
        let path = std::ffi::CString::new(file.as_os_str().as_bytes()).expect("a path");
        let at = path.as_ptr().addr() as u64;
        let flags = |flags: OFlag| u64::from(flags.bits().cast_unsigned());
        let new = flags(OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL);
        let of = |number, arguments| Call::of(this, number, arguments).map(|call| call.deed);
        let changes = |number, arguments| {
            Call::of(this, number, arguments).is_some_and(|call| call.changes())
        };
        let opened = of(libc::SYS_openat, [0, at, flags(OFlag::O_RDWR), 0, 0]);
        assert!(matches!(opened, Some(Deed::Other)));
        assert!(!changes(libc::SYS_openat, [0, at, flags(OFlag::O_RDWR), 0, 0]));
        assert!(changes(libc::SYS_openat, [0, at, new, 0o600, 0]));
        assert!(changes(libc::SYS_unlinkat, [0, at, 0, 0, 0]));
        let open = File::open(&file).expect("it can be opened");
        let descriptor = u64::try_from(open.as_raw_fd()).expect("a descriptor");
        let fcntl = |what: libc::c_int| [descriptor, u64::from(what.cast_unsigned()), 0, 0, 0];
        assert!(changes(libc::SYS_fcntl, fcntl(libc::F_SETLK)));
        assert!(!changes(libc::SYS_fcntl, fcntl(libc::F_GETLK)));
        let made = of(libc::SYS_openat, [0, at, new, 0o600, 0]);
        assert!(matches!(made, Some(Deed::Makes { mode: 0o600 })));
        let removed = of(libc::SYS_unlinkat, [0, at, 0, 0, 0]);
        assert!(matches!(removed, Some(Deed::Removes { is_last: true })));
        fs::write(dir.path().join("other"), "").expect("another file");
        let removed = of(libc::SYS_unlinkat, [0, at, 0, 0, 0]);
        assert!(matches!(removed, Some(Deed::Removes { is_last: false })));
        assert!(of(libc::SYS_getpid, [0; 5]).is_none());
        assert!(of(libc::SYS_openat, [0, 8, 0, 0, 0]).is_none(), "nothing stands there");
        let of_machine = c"/proc/self/status".as_ptr().addr() as u64;
        let opened = Call::of(this, libc::SYS_openat, [0, of_machine, 0, 0, 0]);
        assert!(opened.is_some_and(|call| !call.is_about_files()));
    }

    #[test]
    fn who_gives_way_is_told_from_who_goes_on() {
        let waits = |number, how: libc::c_int| waits(number, u64::from(how.cast_unsigned()));
        assert!(waits(libc::SYS_sched_yield, 0) && waits(libc::SYS_clock_nanosleep, 0));
        let private = libc::FUTEX_PRIVATE_FLAG;
        for (how, expected) in [
            (libc::FUTEX_WAIT | private, true),
            (libc::FUTEX_WAIT_BITSET | private | libc::FUTEX_CLOCK_REALTIME, true),
            (libc::FUTEX_WAKE | private, false),
        ] {
            assert_eq!(waits(libc::SYS_futex, how), expected, "{how}");
        }
        assert!(waits(libc::SYS_fcntl, libc::F_SETLKW) && !waits(libc::SYS_fcntl, libc::F_SETLK));
        assert!(!waits(libc::SYS_openat, 0));
        let this = Pid::this();
        let slept = Call::of(this, libc::SYS_nanosleep, [0; 5]).expect("a call that waits");
        assert!(slept.waits() && !slept.is_about_files() && !slept.changes());
    }
}
