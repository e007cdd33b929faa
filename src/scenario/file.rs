//! Scenarios as TOML: read with line and column in every error, written so that a
//! person can follow what each step is expected to give.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Repeat, SCHEMA, Scenario, Step};
use crate::position::Position;

/// Why a scenario file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioFileError {
    /// The file could not be read or written.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not a scenario.
    #[error("{path}:{line}:{column}: {message}", path = path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What was found and what was expected.
        message: String,
    },
    /// The scenario was written for another version of the format.
    #[error("{path}:{line}:{column}: schema {found} is not supported, this gauntlet reads schema {SCHEMA}", path = path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Where it states its schema, counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// The schema number it states.
        found: u32,
    },
}

/// The part of a scenario file that every schema has.
#[derive(Deserialize)]
struct Stated {
    schema: toml::Spanned<u32>,
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// If the file cannot be read, is no scenario, or has another schema.
    pub fn load(path: &Path) -> Result<Self, ScenarioFileError> {
        let text = fs::read_to_string(path).map_err(|source| ScenarioFileError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Parses the text of a scenario file; `path` is for messages only.
    ///
    /// # Errors
    /// If the text is no scenario or has another schema.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScenarioFileError> {
        // First: another schema may have other steps, and that is what to say then.
        if let Ok(Stated { schema }) = toml::from_str(text)
            && *schema.get_ref() != SCHEMA
        {
            let Position { line, column } = Position::of_offset(text, schema.span().start);
            let found = schema.into_inner();
            return Err(ScenarioFileError::Schema { path: path.to_owned(), line, column, found });
        }
        parse_toml(text, path)
    }

    /// The scenario as TOML. Lines of `header` become comments at the top;
    /// `comment(i)` becomes a comment behind step `i`.
    #[must_use]
    pub fn to_toml(&self, header: &str, comment: impl Fn(usize) -> Option<String>) -> String {
        let mut out = String::new();
        for line in header.lines() {
            let _ = writeln!(out, "{}", format!("# {line}").trim_end());
        }
        let _ = writeln!(out, "schema = {}\ntitle = {}", self.schema, inline(&self.title));
        let _ = writeln!(out, "settle = {}\n\nsteps = [", inline(&self.settle));
        for (i, step) in self.steps.iter().enumerate() {
            let text = format!("    {},", inline(step));
            match comment(i) {
                Some(comment) => {
                    let _ = writeln!(out, "{text:<70} # {comment}");
                }
                None => {
                    let _ = writeln!(out, "{text}");
                }
            }
        }
        out.push_str("]\n");
        if let Some(concurrent) = &self.concurrent {
            out.push_str("\n[concurrent]\n");
            out.push_str(&toml::to_string(concurrent).unwrap_or_default());
        }
        if let Some(Repeat { times, stretch, steps }) = &self.repeat {
            let _ = writeln!(out, "\n[repeat]\ntimes = {times}");
            if *stretch > 0 {
                let _ = writeln!(out, "stretch = {stretch}");
            }
            out.push_str("steps = [\n");
            for step in steps {
                let _ = writeln!(out, "    {},", inline(step));
            }
            out.push_str("]\n");
        }
        out.push_str("\n[service]\n");
        out.push_str(&toml::to_string(&self.service).unwrap_or_default());
        out
    }
}

impl Step {
    /// The step on one line, as it stands in a scenario file.
    #[must_use]
    pub fn to_line(&self) -> String {
        inline(self)
    }
}

/// Parses TOML, with line and column in the error.
///
/// # Errors
/// If the text is not TOML or not a `T`.
pub fn parse_toml<T: serde::de::DeserializeOwned>(
    text: &str,
    path: &Path,
) -> Result<T, ScenarioFileError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let Position { line, column } = Position::of_offset(text, start);
        let mut message = error.message().to_owned();
        if let Some(meant) = nearest(&message) {
            message.push_str(&format!("; did you mean `{meant}`?"));
        }
        ScenarioFileError::Parse { path: path.to_owned(), line, column, message }
    })
}

/// The expected word that is most like the unknown one, in a message of the form
/// "unknown variant `x`, expected one of `y`, `z`".
fn nearest(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut words = message.split('`').skip(1).step_by(2);
    let unknown = words.next()?;
    words
        .map(|word| (strsim::damerau_levenshtein(unknown, word), word))
        .filter(|&(distance, word)| distance <= word.len() / 3)
        .min()
        .map(|(_, word)| word)
}

/// A value as inline TOML.
fn inline(value: &impl Serialize) -> String {
    let mut out = String::new();
    // Plain data of strings, integers and booleans always serialises.
    let _ = value.serialize(toml::ser::ValueSerializer::new(&mut out));
    out
}
