//! Runs `client` and `server` as child processes and follows what they tell.
//!
//! Each command is printed before it runs, every wait has a deadline, and a child that
//! is dropped is killed and reaped.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::event::{Event, Program};

/// Why a child could not be driven; always with what it told so far.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The program could not be started or waited for.
    #[error("{action} `{command}`: {source}")]
    Process {
        /// What was attempted.
        action: &'static str,
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// What was awaited did not happen.
    #[error("`{command}` {how} while waiting for {what}; it told:\n{told}")]
    Awaited {
        /// The command line.
        command: String,
        /// `ended` or `told nothing more for 20s`.
        how: String,
        /// What was awaited.
        what: String,
        /// All lines so far.
        told: String,
    },
    /// A line that is no event.
    #[error("`{command}` printed a line that is no event ({source}): {line}")]
    Line {
        /// The command line.
        command: String,
        /// The line.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Where the two programs lie and which domain they join.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The `client` executable.
    pub client: PathBuf,
    /// The `server` executable.
    pub server: PathBuf,
    /// How long any wait may last.
    pub deadline: Duration,
}

impl Programs {
    /// Starts one of the programs with `--config` and `flags` (separated by blanks).
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        &self,
        program: Program,
        config: &Path,
        flags: &str,
    ) -> Result<Running, DriverError> {
        let executable = match program {
            Program::Client => &self.client,
            Program::Server => &self.server,
        };
        let mut command = Command::new(executable);
        command.args(["--format", "json", "--config"]).arg(config);
        command.args(flags.split_whitespace());
        Running::spawn(command, format!("{program} {flags}"), self.deadline)
    }
}

/// A child process that prints events.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    deadline: Duration,
    lines: Receiver<String>,
    told: Vec<Event>,
    /// Events before this index were already waited for.
    seen: usize,
    errors: Option<JoinHandle<String>>,
}

/// How a child ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// All its events.
    pub events: Vec<Event>,
    /// Its standard error.
    pub stderr: String,
}

impl Running {
    fn spawn(mut command: Command, name: String, deadline: Duration) -> Result<Self, DriverError> {
        eprintln!("$ {}", Shell(&command));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| DriverError::Process {
                action: "start",
                command: name.clone(),
                source,
            })?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let errors = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut text = Vec::new();
                // Whatever came before an error is still worth to be shown.
                let _ = stderr.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        let (told, seen) = (Vec::new(), 0);
        Ok(Self { child, command: name, deadline, lines, told, seen, errors })
    }

    /// Waits for the next event that `matches`; events before it are passed over.
    ///
    /// # Errors
    /// If the child ends or the deadline passes before.
    pub fn wait_for(
        &mut self,
        what: &str,
        matches: impl Fn(&Event) -> bool,
    ) -> Result<Event, DriverError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            while let Some(event) = self.told.get(self.seen) {
                self.seen += 1;
                if matches(event) {
                    return Ok(event.clone());
                }
            }
            match self.next_line(deadline) {
                Ok(line) => self.take(line)?,
                Err(error) => return Err(self.awaited(what, error)),
            }
        }
    }

    /// Waits until the port is there.
    ///
    /// # Errors
    /// If the child ends or the deadline passes before.
    pub fn wait_until_ready(&mut self) -> Result<(), DriverError> {
        self.wait_for("its port", |event| matches!(event, Event::PortCreated { .. })).map(drop)
    }

    /// Waits until it received `count` further messages.
    ///
    /// # Errors
    /// If the child ends or the deadline passes before.
    pub fn wait_for_received(&mut self, count: usize) -> Result<(), DriverError> {
        for nth in 1..=count {
            let what = format!("message {nth} of {count}");
            self.wait_for(&what, |event| matches!(event, Event::Received { .. }))?;
        }
        Ok(())
    }

    /// Waits until it noticed that it has `count` peers.
    ///
    /// # Errors
    /// If the child ends or the deadline passes before.
    pub fn wait_for_peers(&mut self, count: usize) -> Result<(), DriverError> {
        let is_it = |event: &Event| matches!(event, Event::Peers { count: c, .. } if *c == count);
        self.wait_for(&format!("{count} peers"), is_it).map(drop)
    }

    /// Sends SIGINT, like Ctrl+C.
    ///
    /// # Errors
    /// If it is not there any more.
    pub fn interrupt(&self) -> Result<(), DriverError> {
        self.signal(Signal::INT)
    }

    /// Sends SIGTERM, like `kill`.
    ///
    /// # Errors
    /// If it is not there any more.
    pub fn terminate(&self) -> Result<(), DriverError> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL: it cleans up nothing.
    ///
    /// # Errors
    /// If it is not there any more.
    pub fn kill(&self) -> Result<(), DriverError> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> Result<(), DriverError> {
        // The child is not reaped before `finish`, so the pid is still its own.
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|e| self.process("send a signal to", e.into()))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If the deadline passes before.
    pub fn finish(mut self) -> Result<Finished, DriverError> {
        let deadline = Instant::now() + self.deadline;
        loop {
            match self.next_line(deadline) {
                Ok(line) => self.take(line)?,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.awaited("its end", RecvTimeoutError::Timeout));
                }
            }
        }
        // Its output is closed, so it is about to exit; `wait` has no deadline.
        let status = loop {
            match self.child.try_wait().map_err(|e| self.process("wait for", e))? {
                Some(status) => break status,
                None if Instant::now() >= deadline => {
                    return Err(self.awaited("its end", RecvTimeoutError::Timeout));
                }
                None => thread::yield_now(),
            }
        };
        let stderr = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        Ok(Finished { status, events: std::mem::take(&mut self.told), stderr })
    }

    fn next_line(&self, deadline: Instant) -> Result<String, RecvTimeoutError> {
        self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    fn take(&mut self, line: String) -> Result<(), DriverError> {
        let event = serde_json::from_str(&line).map_err(|source| DriverError::Line {
            command: self.command.clone(),
            line,
            source,
        })?;
        self.told.push(event);
        Ok(())
    }

    fn process(&self, action: &'static str, source: io::Error) -> DriverError {
        DriverError::Process { action, command: self.command.clone(), source }
    }

    fn awaited(&mut self, what: &str, error: RecvTimeoutError) -> DriverError {
        let how = match error {
            RecvTimeoutError::Disconnected => "ended".to_owned(),
            RecvTimeoutError::Timeout => {
                format!("took more than {}", humantime::format_duration(self.deadline))
            }
        };
        let mut told: Vec<_> = self.told.iter().map(|event| format!("{event:?}")).collect();
        // Killed and reaped, so that its error output ends.
        self.end();
        told.extend(self.errors.take().and_then(|errors| errors.join().ok()));
        let (command, what) = (self.command.clone(), what.to_owned());
        DriverError::Awaited { command, how, what, told: told.join("\n") }
    }

    fn end(&mut self) {
        // Both fail only when it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Finished {
    /// The exit code, `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A command as one would type it.
struct Shell<'a>(&'a Command);

impl fmt::Display for Shell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.get_program().display())?;
        for arg in self.0.get_args() {
            write!(f, " {}", arg.display())?;
        }
        Ok(())
    }
}
