//! Two children act at the same time, in an order that is counted, so that they can meet the same
//! way again.

use std::{sync::atomic::AtomicBool, time::Duration};

use nix::unistd::Pid;

use super::{
    HostError,
    tracee::{Stop, Tracee, Until, watched},
};
use crate::scenario::Moment;

/// How two participants take turns amid what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// When the first one is held.
    pub at: Moment,
    /// When the second one is held in turn, and the first goes on until it is done; otherwise the
    /// second is done before, unless it waits for the first.
    pub then: Option<Moment>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// The second began when the first was amid what it did.
    Amid,
    /// The first had nothing left to do.
    After,
    /// One of them has ended: the first or the second.
    Gone(usize),
}

/// Traces two children and lets `begin` tell each what to do; returns once both have done it, see
/// [`between_marks`](super::tracee::between_marks).
///
/// # Errors
/// If it took longer than `deadline`, or `interrupted` was set meanwhile: both are killed.
pub(super) fn overlap(
    children: [Pid; 2],
    hold: Hold,
    deadline: Duration,
    interrupted: &AtomicBool,
    mut begin: impl FnMut(usize),
) -> Result<Met, HostError> {
    let to_the_end = Until::default();
    watched(&children, deadline, interrupted, || {
        let mut first = Tracee::seize(children[0])?;
        begin(0);
        let held = first.go_on(Until { moment: Some(hold.at), ..to_the_end })?;
        if held == Stop::Gone {
            return Ok(Met::Gone(0));
        }
        let is_amid = held == Stop::AtMoment;
        let mut second = Tracee::seize(children[1])?;
        begin(1);
        let moment = hold.then.filter(|_| is_amid);
        let mut then = second.go_on(Until { moment, it_waits: is_amid, ..to_the_end })?;
        let is_over = |stop| matches!(stop, Stop::Done | Stop::Gone);
        let mut last = held;
        if is_amid {
            last = first.go_on(Until { it_waits: !is_over(then), ..to_the_end })?;
        }
        if last == Stop::Waits {
            // Nobody is held any more: each may wait for the other.
            first.release()?;
        }
        if !is_over(then) {
            then = second.go_on(to_the_end)?;
        }
        if last == Stop::Waits {
            last = first.go_on(to_the_end)?;
        }
        if let Some(gone) = [last, then].iter().position(|&stop| stop == Stop::Gone) {
            return Ok(Met::Gone(gone));
        }
        first.let_go()?;
        second.let_go()?;
        Ok(if is_amid { Met::Amid } else { Met::After })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::actor::tracee::{
        is_possible, pid_of,
        shell::{begin, input_of, shell},
    };

    /// More than any of these shells does.
    const NEVER: Moment = Moment::Change(100);

    /// One shell makes two files, and another says of each whether it is there, in absolute
    /// names: others are taken to be the machine's. Returns how they met and what was seen.
    fn seen(hold: Hold) -> (Met, [bool; 2]) {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path();
        let make = |file: &str| format!(": > {}/{file}", at.display());
        let makes = format!("{}; {}", make("first"), make("second"));
        let looks = format!(
            "[ -e first ]; a=$?; {}; [ -e second ]; b=$?; [ $a = 0 ] && {}; [ $b = 0 ] && {}",
            make("looked"),
            make("seen-first"),
            make("seen-second")
        );
        let mut shells = [shell(&makes, at), shell(&looks, at)];
        let mut inputs = shells.each_mut().map(input_of);
        let begin = |which: usize| begin(&mut inputs[which]);
        let pids = shells.each_ref().map(pid_of);
        let met = overlap(pids, hold, Duration::from_secs(60), &false.into(), begin);
        // Both go on by themselves now, and end with their input.
        drop(inputs);
        shells
            .iter_mut()
            .for_each(|shell| assert!(shell.wait().expect("it ends").code().is_some()));
        let seen =
            ["seen-first", "seen-second"].map(|file| fs::exists(at.join(file)).expect("a look"));
        (met.expect("they meet"), seen)
    }

    #[test]
    fn the_second_sees_what_the_first_has_done_when_it_is_held() {
        if !is_possible() {
            eprintln!("left out: processes may not be traced here");
            return;
        }
        let at = |nth| Hold { at: Moment::Change(nth), then: None };
        assert_eq!(seen(at(0)), (Met::Amid, [false, false]));
        assert_eq!(seen(at(1)), (Met::Amid, [true, false]));
        assert_eq!(seen(Hold { at: NEVER, then: None }), (Met::After, [true, true]));
        // The second is held before it says that it has looked for one of them.
        let then = |nth| Hold { at: Moment::Change(0), then: Some(Moment::Change(nth)) };
        assert_eq!(seen(then(0)), (Met::Amid, [false, true]));
        assert_eq!(seen(Hold { then: Some(NEVER), ..at(0) }), (Met::Amid, [false, false]));
    }

    #[test]
    fn it_is_known_who_ended_and_who_is_late_is_killed() {
        if !is_possible() {
            eprintln!("left out: processes may not be traced here");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let make = format!(": > {}/file", dir.path().display());
        let met = |works: [&str; 2], deadline| {
            let mut shells = works.map(|work| shell(work, dir.path()));
            let mut inputs = shells.each_mut().map(input_of);
            let begin = |which: usize| begin(&mut inputs[which]);
            let hold = Hold { at: Moment::Change(0), then: None };
            let pids = shells.each_ref().map(pid_of);
            let met = overlap(pids, hold, deadline, &false.into(), begin);
            for shell in &mut shells {
                shell.kill().expect("it is there");
                shell.wait().expect("it ends");
            }
            met
        };
        let long = Duration::from_secs(60);
        assert_eq!(met(["exit", &make], long), Ok(Met::Gone(0)));
        assert_eq!(met([&make, "exit"], long), Ok(Met::Gone(1)));
        assert_eq!(met([&format!("{make}; exit"), &make], long), Ok(Met::Gone(0)));
        let short = Duration::from_millis(300);
        for late in [[&make, "while :; do :; done"], ["while :; do :; done", &make]] {
            assert_eq!(met(late, short), Err(HostError::Hung(300)));
        }
    }
}
