//! Kills a child amid what it does: at a system call or an instruction that is counted, so that
//! the same death can be died again.

use std::{sync::atomic::AtomicBool, time::Duration};

use nix::unistd::Pid;

use super::{
    HostError,
    tracee::{Stop, Tracee, Until, watched},
};
use crate::scenario::Moment;

pub use super::tracee::Spares;

/// Traces a child, lets `begin` tell it what to do, and returns once it stands still at the
/// moment, or has done it all, see [`between_marks`](super::tracee::between_marks). It is still to
/// be killed.
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
    let stop = watched(&[pid], deadline, interrupted, || {
        let mut victim = Tracee::seize(pid)?;
        begin();
        victim.go_on(Until { moment: Some(moment), spares, ..Until::default() })
    })?;
    // Whoever reaps it knows how it ended.
    if stop == Stop::Gone { Err(HostError::Crashed(String::new())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::actor::tracee::{
        is_possible, pid_of,
        shell::{begin, input_of, shell},
        wait_for_end,
    };

    /// A shell looks at a file, makes two others, which nobody ever completes, and is killed at a
    /// moment after it began to. It says when it begins and ends, as an actor does. Returns which
    /// were made.
    fn made_until(dir: &Path, at: Moment, spares: Spares) -> [bool; 2] {
        let files = [dir.join("first"), dir.join("second")];
        let third = dir.join("third");
        let [first, second, third] = [&files[0], &files[1], &third].map(|file| file.display());
        let mut shell = shell(&format!(": < {third}; : > {first}; : > {second}"), dir);
        let mut input = input_of(&mut shell);
        let deadline = Duration::from_secs(60);
        let begin = || begin(&mut input);
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
        // Who has no such moment has done it all.
        for never in
            [Moment::Call(u32::MAX), Moment::Change(u32::MAX), Moment::Instruction(u32::MAX)]
        {
            assert_eq!(made_until(dir.path(), never, Spares::default()), [true, true], "{never:?}");
        }
        for at in moments {
            let at = at.expect("a moment between the two files");
            let [removers, makers] =
                [false, true].map(|makers| Spares { makers, removers: !makers });
            assert_eq!(made_until(dir.path(), at, removers), [true, false], "{at:?}");
            assert_eq!(made_until(dir.path(), at, makers), [true, true], "{at:?}");
        }
    }
}
