//! Shells that are traced in tests.

use std::{
    io::Write as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

/// A shell that says when it begins and ends its work, as an actor does, and ends with its input.
pub(in crate::actor) fn shell(work: &str, dir: &Path) -> Child {
    let script = format!("read line; kill -STOP $$; {work}; kill -STOP $$; read line");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(dir).stdin(Stdio::piped()).stderr(Stdio::piped());
    shell.spawn().expect("a shell")
}

/// Its input, once.
pub(in crate::actor) fn input_of(shell: &mut Child) -> ChildStdin {
    shell.stdin.take().expect("its input")
}

/// Lets it begin.
pub(in crate::actor) fn begin(input: &mut ChildStdin) {
    writeln!(input, "go").expect("it reads");
}
