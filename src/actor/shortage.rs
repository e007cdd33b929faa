//! A child that finds nothing left of what it takes from the system, at a call that is counted.

use std::{sync::atomic::AtomicBool, time::Duration};

use nix::unistd::Pid;

use super::{
    HostError,
    tracee::{Stop, Tracee, Until, watched},
};

pub use super::tracee::{Missing, Shortage};

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
) -> Result<Option<Missing>, HostError> {
    let missed = watched(&[pid], deadline, interrupted, || {
        let mut child = Tracee::seize(pid)?;
        begin();
        let stop = child.go_on(Until { shortage: Some(shortage), ..Until::default() })?;
        let missed = child.missed;
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
    use std::{
        fs,
        io::Write as _,
        path::Path,
        process::{Command, Stdio},
    };

    use super::*;
    use crate::actor::tracee::{can_run_short, pid_of};

    /// A shell makes three files, one after the other, and runs short of something amid that. It
    /// says when it begins and ends, as an actor does. Returns which were made, and what it ran
    /// short of.
    fn made_short(dir: &Path, after: u32) -> ([bool; 3], Option<Missing>) {
        let files = ["first", "second", "third"].map(|name| dir.join(name));
        let script = r#"read line; kill -STOP $$
            true > "$0"; true > "$1"; true > "$2"; kill -STOP $$"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).args(&files).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("a shell");
        let mut input = shell.stdin.take().expect("its input");
        let begin = || writeln!(input, "go").expect("it reads");
        let deadline = Duration::from_secs(60);
        let shortage = Shortage { after };
        let missed = run_short(pid_of(&shell), shortage, deadline, &false.into(), begin);
        shell.wait().expect("it has ended");
        (files.map(|file| fs::remove_file(file).is_ok()), missed.expect("it goes on"))
    }

    #[test]
    fn who_runs_short_misses_what_one_call_takes_and_nothing_else() {
        if !can_run_short() {
            eprintln!("left out: no call can be made to fail here");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(made_short(dir.path(), 0), ([false, true, true], Some(Missing::Descriptor)));
        assert_eq!(made_short(dir.path(), 1), ([true, false, true], Some(Missing::Descriptor)));
        assert_eq!(made_short(dir.path(), 2), ([true, true, false], Some(Missing::Descriptor)));
        assert_eq!(made_short(dir.path(), 3), ([true; 3], None));
    }
}
