//! A child that finds nothing left of what it takes from the system, at a call that is counted.

use std::{sync::atomic::AtomicBool, time::Duration};

use nix::unistd::Pid;

use super::{
    HostError,
    tracee::{Stop, Tracee, Until, watched},
};

pub use super::tracee::{Missed, Missing, Shortage};

/// Traces a child, lets `begin` tell it what to do, and returns once it has done it, see
/// [`between_marks`](super::tracee::between_marks): what it ran short of.
///
/// # Errors
/// If the child ended or took longer than `deadline`, or `interrupted` was set meanwhile.
pub(super) fn run_short(
    pid: Pid,
    shortage: Shortage,
    deadline: Duration,
    interrupted: &AtomicBool,
    begin: impl FnOnce(),
) -> Result<Option<Missed>, HostError> {
    let missed = watched(&[pid], deadline, interrupted, || {
        let mut child = Tracee::seize(pid)?;
        begin();
        let stop = child.go_on(Until { shortage: Some(shortage), ..Until::default() })?;
        let missed = child.missed.take();
        if stop == Stop::Gone {
            return Ok(None);
        }
        child.let_go()?;
        Ok(Some(missed))
    })?;
    // Whoever reaps it knows how it ended.
    missed.ok_or(HostError::Crashed(String::new()))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _, path::Path};

    use super::*;
    use crate::actor::tracee::{
        can_run_short, pid_of,
        shell::{begin, input_of, shell},
    };

    /// A shell makes three files, one after the other, and runs short of something amid that.
    /// Returns which were made, what it ran short of, and what it says.
    fn made_short(dir: &Path, after: u32) -> ([bool; 3], Option<Missed>, String) {
        let files = ["first", "second", "third"].map(|name| dir.join(name));
        let work = files.each_ref().map(|file| format!("true > {}", file.display()));
        let mut shell = shell(&work.join(";"), dir);
        let mut input = input_of(&mut shell);
        let deadline = Duration::from_secs(60);
        let shortage = Shortage { after };
        let begin = || begin(&mut input);
        let missed = run_short(pid_of(&shell), shortage, deadline, &false.into(), begin);
        drop(input);
        let mut said = String::new();
        shell.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        shell.wait().expect("it has ended");
        (files.map(|file| fs::remove_file(file).is_ok()), missed.expect("it goes on"), said)
    }

    #[test]
    fn who_runs_short_misses_what_one_call_takes_and_nothing_else() {
        if !can_run_short() {
            eprintln!("left out: no call can be made to fail here");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        for (after, name) in (0..).zip(["first", "second", "third"]) {
            let (made, missed, said) = made_short(dir.path(), after as u32);
            assert_eq!(made, [after != 0, after != 1, after != 2]);
            let file = dir.path().join(name);
            assert_eq!(missed, Some(Missed { what: Missing::Descriptor, file }));
            assert!(said.contains("Too many open files"), "{said}");
        }
        assert_eq!(made_short(dir.path(), 3), ([true; 3], None, String::new()));
    }
}
