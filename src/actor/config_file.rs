//! Loads an iceoryx2 config file and says precisely what is wrong with it.
//!
//! iceoryx2's own loader decides, but it only answers `UnableToDeserializeContents`
//! and silently ignores keys it does not know. So the text is read here as well, for
//! line, column and key; when the two readings differ, that is reported, too.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use iceoryx2::{
    config::Config,
    prelude::{FilePath, SemanticString},
};
use toml::de::{DeTable, Deserializer};

use crate::position::Position;

mod keys;

/// A config file iceoryx2 accepted.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// What iceoryx2 made of the file.
    pub config: Config,
    /// Keys of the file that have no effect.
    pub warnings: Vec<KeyWarning>,
}

/// Why a config file could not be loaded. The texts fit `failed to load: {error}`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// There is no such file.
    #[error("{}: no such file", .0.display())]
    Missing(PathBuf),
    /// The path leads to something else than a file.
    #[error("{}: {what}, not a file", path.display())]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
        /// What is there, e.g. `a directory`.
        what: &'static str,
    },
    /// The file is there, but cannot be read as text.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// iceoryx2 cannot even name the file.
    #[error("{}: {reason}; copy the file to another path", path.display())]
    PathRefused {
        /// The path as it was given.
        path: PathBuf,
        /// Which rule it breaks.
        reason: String,
    },
    /// The text is no TOML, or no iceoryx2 config.
    #[error("{}:{position}: {}{message}", path.display(), key.as_ref().map(|k| format!("`{k}`: ")).unwrap_or_default())]
    Invalid {
        /// The path as it was given.
        path: PathBuf,
        /// Where in the file.
        position: Position,
        /// The dotted key whose value is wrong, `None` for a syntax error.
        key: Option<String>,
        /// What is wrong and what was expected.
        message: String,
    },
    /// This crate and iceoryx2 read the same file differently.
    #[error("{}: iceoryx2 {} reads this file differently than its format says: {detail}", path.display(), super::version::IOX2_VERSION)]
    Disagreement {
        /// The path as it was given.
        path: PathBuf,
        /// What the two readers said.
        detail: String,
    },
}

/// A key of the file that iceoryx2 ignores without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWarning {
    /// The path as it was given.
    pub path: PathBuf,
    /// Where the key stands.
    pub position: Position,
    /// The dotted key, e.g. `defaults.request-response.max-client`.
    pub key: String,
    /// What to write instead.
    pub advice: Advice,
}

/// What to do about a key without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// The key of another release, by the name that this one knows.
    Renamed {
        /// The name this release knows.
        to: &'static str,
        /// The release that renamed it, e.g. `0.9`.
        in_release: &'static str,
        /// Whether `to` is the newer of the two names.
        forward: bool,
    },
    /// No release has it; the most similar known key.
    Nearest(String),
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, position, key, advice } = self;
        write!(f, "{}:{position}: `{key}` has no effect: {advice}", path.display())
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed { to, in_release, forward: true } => {
                write!(f, "renamed to `{to}` in {in_release}")
            }
            Self::Renamed { to, in_release, forward: false } => write!(
                f,
                "the key exists since {in_release}, before it was `{to}` (this is iceoryx2 {})",
                super::version::IOX2_VERSION
            ),
            Self::Nearest(nearest) => {
                write!(f, "iceoryx2 does not know it; did you mean `{nearest}`?")
            }
        }
    }
}

/// Every key of the default config, dotted, and its value as TOML.
#[must_use]
pub fn defaults() -> BTreeMap<String, String> {
    keys::values()
}

/// Loads `path` as iceoryx2 does, with the reasons iceoryx2 does not give.
///
/// # Errors
/// If the file cannot be read, is no config, or iceoryx2 refuses it.
pub fn load(path: &Path) -> Result<LoadedConfig, ConfigFileError> {
    let text = read(path)?;
    let iceoryx2_path = file_path(path)?;
    let (expected, warnings) = parse(path, &text)?;
    let disagreement =
        |detail: String| ConfigFileError::Disagreement { path: path.to_owned(), detail };
    let config = Config::from_file(&iceoryx2_path)
        .map_err(|e| disagreement(format!("its loader fails with {e:?}")))?;
    if toml::to_string(&config).ok() != toml::to_string(&expected).ok() {
        return Err(disagreement("it takes other values from it".to_owned()));
    }
    Ok(LoadedConfig { config, warnings })
}

fn read(path: &Path) -> Result<String, ConfigFileError> {
    let unreadable = |source| ConfigFileError::Unreadable { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(ConfigFileError::Missing(path.to_owned()));
        }
        Err(e) => return Err(unreadable(e)),
        Ok(metadata) if !metadata.is_file() => {
            let what = if metadata.is_dir() { "a directory" } else { "a device, pipe or socket" };
            return Err(ConfigFileError::NotAFile { path: path.to_owned(), what });
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn file_path(path: &Path) -> Result<FilePath, ConfigFileError> {
    let bytes = path.as_os_str().as_encoded_bytes();
    FilePath::new(bytes).map_err(|e| {
        let reason = match FilePath::max_len() {
            max if bytes.len() > max => {
                format!("iceoryx2 takes paths of at most {max} bytes, this has {}", bytes.len())
            }
            _ => format!("iceoryx2 does not take such a path ({e:?})"),
        };
        ConfigFileError::PathRefused { path: path.to_owned(), reason }
    })
}

fn parse(path: &Path, text: &str) -> Result<(Config, Vec<KeyWarning>), ConfigFileError> {
    let invalid = |error: &toml::de::Error, key: Option<String>, message: String| {
        let start = error.span().map_or(text.len(), |span| span.start);
        let position = Position::of_offset(text, start);
        ConfigFileError::Invalid { path: path.to_owned(), position, key, message }
    };
    let document = DeTable::parse(text).map_err(|e| invalid(&e, None, one_line(e.message())))?;

    let mut ignored = Vec::new();
    let deserializer = Deserializer::from(document.clone());
    let config = serde_ignored::deserialize(deserializer, |key| ignored.push(keys::segments(&key)))
        .map_err(|e: toml::de::Error| {
            let place = e.span().and_then(|span| keys::at(document.get_ref(), &span));
            let message = place
                .as_ref()
                .and_then(|place| keys::explain(e.message(), place.text.as_deref()))
                .unwrap_or_else(|| one_line(e.message()));
            invalid(&e, place.map(|place| place.key), message)
        })?;

    let warnings = ignored
        .into_iter()
        .map(|segments| KeyWarning {
            path: path.to_owned(),
            position: Position::of_offset(text, keys::offset_of(document.get_ref(), &segments)),
            key: segments.join("."),
            advice: keys::advise(&segments.join(".")),
        })
        .collect();
    Ok((config, warnings))
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Config, Vec<KeyWarning>), String> {
        parse(Path::new("f.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_text_means_the_defaults() {
        let (config, warnings) = parsed("").unwrap();
        assert_eq!(toml::to_string(&config), toml::to_string(&Config::default()));
        assert_eq!(warnings, []);
    }

    #[test]
    fn a_wrong_value_is_reported_with_key_line_and_column() {
        let error = parsed("[defaults.request-response]\nmax-nodes = 3\nmax-clients = \"two\"\n");
        let error = error.unwrap_err();
        assert!(
            error.starts_with("f.toml:3:15: `defaults.request-response.max-clients`: invalid type"),
            "{error}"
        );
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let error = parsed("global = { 'größe' = 1, prefix = 3 }").unwrap_err();
        assert!(error.starts_with("f.toml:1:34: `global.prefix`"), "{error}");
    }

    #[test]
    fn an_illegal_prefix_is_reported_with_the_character_at_fault() {
        let error = parsed("[global]\nprefix = 'a/b'").unwrap_err();
        assert!(
            error.starts_with("f.toml:2:10: `global.prefix`: \"a/b\" is no file name: `/`"),
            "{error}"
        );
    }

    #[test]
    fn a_misspelt_key_is_reported_with_its_nearest_neighbour() {
        let (_, warnings) = parsed("[defaults.request-response]\n  max-client = 3").unwrap();
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert_eq!(warning.position, Position { line: 2, column: 3 });
        assert_eq!(
            warning.advice,
            Advice::Nearest("defaults.request-response.max-clients".to_owned())
        );
    }

    #[test]
    fn a_key_outside_of_its_section_is_led_home() {
        let (_, warnings) = parsed("max-clients = 3").unwrap();
        assert_eq!(
            warnings[0].advice,
            Advice::Nearest("defaults.request-response.max-clients".to_owned())
        );
    }

    #[test]
    fn a_whole_unknown_section_is_one_warning() {
        let (_, warnings) = parsed("[blobal.service]\nfoo = 1\nbar = 2").unwrap();
        assert_eq!(warnings.iter().map(|w| w.key.as_str()).collect::<Vec<_>>(), ["blobal"]);
    }
}
