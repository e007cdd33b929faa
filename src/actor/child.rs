//! The parent side: a child process that is watched, timed out and reaped.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::PathBuf,
    process::{Child as Process, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    HostError, Observation,
    death::{self, Spares},
    overlap::{self, Hold, Met},
    sabotage::Sabotage,
    serve::{Reply, Request},
    shortage::{self, Missed, Shortage},
    tracee,
};
use crate::{sandbox, scenario::Moment};

/// How long an interruption may go unnoticed.
pub(super) const ATTENTION: Duration = Duration::from_millis(50);

/// How often a child that shows that it gets on may take as long as it should take at most.
pub const MOST_DEADLINES: u32 = 10;

/// How long a child may take to start and give its first sign of life, on a machine that is busy
/// otherwise, if that is longer than its deadline.
const START_UP: Duration = Duration::from_secs(2);

/// How to start a child: the executable that understands the `serve` command.
#[derive(Debug, Clone)]
pub struct Executable {
    /// Path of the `gauntlet` executable.
    pub path: PathBuf,
    /// Arguments that make it serve.
    pub arguments: Vec<OsString>,
}

impl Executable {
    /// The `gauntlet` at `path`.
    #[must_use]
    pub fn gauntlet(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), arguments: vec!["serve".into()] }
    }

    /// The same with every host sabotaged.
    #[must_use]
    pub fn sabotaged(&self, sabotage: &Sabotage) -> Self {
        let mut sabotaged = self.clone();
        sabotaged.arguments.extend(["--sabotage".into(), sabotage.id.into()]);
        sabotaged
    }
}

/// A child process that answers requests.
#[derive(Debug)]
pub struct Child {
    process: Process,
    stdin: Option<ChildStdin>,
    replies: Receiver<String>,
    /// It has given a sign of life once, so it is not about to start any more.
    has_started: bool,
}

impl Child {
    /// Starts a child.
    ///
    /// # Errors
    /// If the executable cannot be started.
    pub fn start(executable: &Executable) -> Result<Self, HostError> {
        let mut process = Command::new(&executable.path)
            .args(&executable.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl+C in a terminal is for the parent alone, which then ends its
            // children; a child that died of it would look like a crash.
            .process_group(0)
            .spawn()
            .map_err(|e| HostError::Harness(format!("start {}: {e}", executable.path.display())))?;
        let stdin = process.stdin.take();
        let (sender, replies) = channel();
        if let Some(stdout) = process.stdout.take() {
            // Ends with the child's stdout, which closes at the latest when it is killed.
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { process, stdin, replies, has_started: false })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// If the child ended, did not answer within `deadline`, or `interrupted` was set
    /// meanwhile; it is dead and reaped then.
    pub fn ask(
        &mut self,
        request: &Request,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<Reply, HostError> {
        self.ask_while(|| false, request, deadline, interrupted)
    }

    /// The same, but the deadline begins anew whenever the child is `alive`, up to
    /// [`MOST_DEADLINES`] and the time to start in all: the machine may be busy with something
    /// else.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn ask_while(
        &mut self,
        alive: impl FnMut() -> bool,
        request: &Request,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<Reply, HostError> {
        match self.converse_while(alive, request, deadline, interrupted)? {
            Reply::Panicked(message) => {
                self.end();
                Err(HostError::Crashed(message))
            }
            Reply::Failed(error) => Err(error),
            reply => Ok(reply),
        }
    }

    /// Writes a line of JSON and reads one.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn converse<Q: Serialize, R: DeserializeOwned>(
        &mut self,
        request: &Q,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<R, HostError> {
        self.converse_while(|| false, request, deadline, interrupted)
    }

    fn converse_while<Q: Serialize, R: DeserializeOwned>(
        &mut self,
        alive: impl FnMut() -> bool,
        request: &Q,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<R, HostError> {
        let line = line_of(request)?;
        // A child that is gone shows in its missing reply.
        let _ = self.stdin.as_mut().map(|stdin| stdin.write_all(line.as_bytes()));
        self.reply_while(alive, deadline, interrupted)
    }

    fn reply_while<R: DeserializeOwned>(
        &mut self,
        mut alive: impl FnMut() -> bool,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<R, HostError> {
        // What takes a child long to start says nothing about iceoryx2.
        let start_up = if self.has_started { Duration::ZERO } else { START_UP };
        let (started, most) = (Instant::now(), deadline * MOST_DEADLINES + start_up);
        let mut until = started + deadline.max(start_up);
        let reply = loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.replies.recv_timeout(left.min(ATTENTION)) {
                Err(RecvTimeoutError::Timeout) if interrupted.load(Ordering::Relaxed) => {
                    self.end();
                    return Err(HostError::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) if started.elapsed() < most && alive() => {
                    self.has_started = true;
                    until = Instant::now() + deadline;
                }
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                reply => break reply,
            }
        };
        self.has_started = true;
        match reply {
            Ok(line) => serde_json::from_str(&line)
                .map_err(|error| HostError::Harness(format!("reply `{line}`: {error}"))),
            Err(RecvTimeoutError::Timeout) => {
                self.end();
                Err(HostError::Hung(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)))
            }
            Err(RecvTimeoutError::Disconnected) => {
                // Its stdout is closed: it is gone or going.
                self.stdin = None;
                match self.process.wait() {
                    Ok(status) => Err(crash(status)),
                    Err(error) => Err(HostError::Harness(format!("wait for a child: {error}"))),
                }
            }
        }
    }

    /// Kills the child amid what it is asked for, after something else was done while it stood
    /// still, and reaps it.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn die_amid(
        &mut self,
        request: &Request,
        at: Moment,
        spares: Spares,
        meanwhile: impl FnOnce() -> Result<(), HostError>,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<(), HostError> {
        let pid = tracee::pid_of(&self.process);
        let line = line_of(request)?;
        let mut stdin = self.stdin.as_ref();
        let begin = || {
            let _ = stdin.as_mut().map(|stdin| stdin.write_all(line.as_bytes()));
        };
        let stopped = death::stop_amid(pid, at, spares, deadline, interrupted, begin);
        if let Err(HostError::Crashed(_)) = stopped {
            return Err(self.last_words(deadline, interrupted));
        }
        let stopped = stopped.and_then(|()| meanwhile());
        self.end_traced();
        // It may have died of something else just before.
        match self.reply_while(|| false, deadline, interrupted) {
            Ok(Reply::Panicked(message)) => Err(HostError::Crashed(message)),
            _ => stopped,
        }
    }

    /// Asks the child to perform something amid which it runs short of something, and says what
    /// it was.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn run_short(
        &mut self,
        request: &Request,
        shortage: Shortage,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<(Observation, Option<Missed>), HostError> {
        let pid = tracee::pid_of(&self.process);
        let line = line_of(request)?;
        let mut stdin = self.stdin.as_ref();
        let begin = || {
            let _ = stdin.as_mut().map(|stdin| stdin.write_all(line.as_bytes()));
        };
        match shortage::run_short(pid, shortage, deadline, interrupted, begin) {
            Ok(missed) => Ok((self.observed(deadline, interrupted)?, missed)),
            Err(HostError::Crashed(_)) => Err(self.last_words(deadline, interrupted)),
            Err(error) => {
                self.end_traced();
                Err(error)
            }
        }
    }

    /// What it answers to a request to perform something.
    fn observed(
        &mut self,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<Observation, HostError> {
        match self.reply_while(|| false, deadline, interrupted)? {
            Reply::Observed(observation) => Ok(observation),
            Reply::Failed(error) => Err(error),
            reply => Err(reply.unexpected()),
        }
    }

    /// Asks two children to perform something each, the second amid the first, and says whether
    /// it was.
    ///
    /// # Errors
    /// As [`Self::ask`]; both are dead and reaped then.
    pub fn overlap(
        mut children: [&mut Self; 2],
        requests: [&Request; 2],
        hold: Hold,
        deadline: Duration,
        interrupted: &AtomicBool,
    ) -> Result<([Observation; 2], bool), HostError> {
        let pids = [0, 1].map(|which| tracee::pid_of(&children[which].process));
        let lines = [line_of(requests[0])?, line_of(requests[1])?];
        let begin = |which: usize| {
            let stdin = children[which].stdin.as_mut();
            let _ = stdin.map(|stdin| stdin.write_all(lines[which].as_bytes()));
        };
        let met = overlap::overlap(pids, hold, deadline, interrupted, begin);
        match met {
            Ok(Met::Amid | Met::After) => {}
            Ok(Met::Gone(which)) => {
                children[1 - which].end_traced();
                return Err(children[which].last_words(deadline, interrupted));
            }
            Err(error) => {
                children.iter_mut().for_each(|child| child.end_traced());
                return Err(error);
            }
        }
        let mut observed = |which: usize| children[which].observed(deadline, interrupted);
        Ok(([observed(0)?, observed(1)?], met == Ok(Met::Amid)))
    }

    /// Of what a child that is gone has died, which it may have said, and reaps it.
    fn last_words(&mut self, deadline: Duration, interrupted: &AtomicBool) -> HostError {
        let said = self.reply_while(|| false, deadline, interrupted);
        self.end();
        match said {
            Ok(Reply::Panicked(message)) => HostError::Crashed(message),
            Ok(reply) => reply.unexpected(),
            Err(error) => error,
        }
    }

    /// Kills and reaps a child that may be traced.
    fn end_traced(&mut self) {
        let _ = self.process.kill();
        tracee::wait_for_end(tracee::pid_of(&self.process));
        self.end();
    }

    /// Lets the child end by itself, as it does once nothing is asked any more, and kills it
    /// if it takes longer than `deadline`.
    pub fn finish(mut self, deadline: Duration) {
        self.stdin = None;
        let until = Instant::now() + deadline;
        // Its stdout closes when it ends.
        while self.replies.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }

    /// Kills and reaps the child.
    pub fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Not before: a child that sees its stdin end drops everything and leaves in peace.
        self.stdin = None;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

fn line_of(request: &impl Serialize) -> Result<String, HostError> {
    let line = serde_json::to_string(request);
    line.map(|line| line + "\n").map_err(|error| HostError::Harness(format!("request: {error}")))
}

/// Whoever is gone has crashed, unless there was no memory left to touch.
fn crash(status: ExitStatus) -> HostError {
    match sandbox::room::exhausted().filter(|_| status.signal() == Some(libc_signal::BUS)) {
        Some(exhausted) => exhausted.into(),
        None => HostError::Crashed(describe(status)),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("killed by {}", signal_name(signal)),
        (None, Some(code)) => format!("exited with {code}"),
        (None, None) => "ended".to_owned(),
    }
}

fn signal_name(number: i32) -> String {
    let known = [
        (libc_signal::ABRT, "SIGABRT"),
        (libc_signal::BUS, "SIGBUS"),
        (libc_signal::FPE, "SIGFPE"),
        (libc_signal::ILL, "SIGILL"),
        (libc_signal::KILL, "SIGKILL"),
        (libc_signal::SEGV, "SIGSEGV"),
    ];
    known
        .iter()
        .find(|(n, _)| *n == number)
        .map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
}

/// The signals a fault raises, by number.
mod libc_signal {
    use rustix::process::Signal;

    pub(super) const ABRT: i32 = Signal::ABORT.as_raw();
    pub(super) const BUS: i32 = Signal::BUS.as_raw();
    pub(super) const FPE: i32 = Signal::FPE.as_raw();
    pub(super) const ILL: i32 = Signal::ILL.as_raw();
    pub(super) const KILL: i32 = Signal::KILL.as_raw();
    pub(super) const SEGV: i32 = Signal::SEGV.as_raw();
}
