//! Which iceoryx2: a published release, a git revision or a local checkout.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use semver::Version;
use toml_edit::{InlineTable, Value};

/// An iceoryx2 the suite can be compiled against.
///
/// ```
/// use iox2_gauntlet::gate::Release;
///
/// let release: Release = "0.9.3".parse()?;
/// assert_eq!(release.to_string(), "0.9.3");
/// let branch: Release = "git+https://example.org/iceoryx2?branch=main".parse()?;
/// assert_eq!(branch.to_string(), "git+https://example.org/iceoryx2?branch=main");
/// assert!("0.9".parse::<Release>().is_err());
/// # Ok::<(), iox2_gauntlet::gate::ReleaseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// Of the package registry.
    Published(Version),
    /// A git repository.
    Git {
        /// Anything git can clone.
        url: String,
        /// What to check out; its default branch if there is none.
        reference: Option<GitReference>,
    },
    /// The directory of the `iceoryx2` crate.
    Local(PathBuf),
}

/// What to check out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitReference {
    /// `?branch=`
    Branch(String),
    /// `?tag=`
    Tag(String),
    /// `?rev=` or `#`
    Revision(String),
}

/// Why a text names no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is neither of the three.
    #[error(
        "`{0}` is no release of iceoryx2: give a version such as 0.10.0, a directory, or git+URL with ?branch=, ?tag= or ?rev="
    )]
    Neither(String),
    /// The part behind `?` is unknown.
    #[error("`{0}`: after `?` there has to be branch=, tag= or rev=")]
    Reference(String),
    /// The directory holds something else.
    #[error("{}: no iceoryx2 here: neither Cargo.toml nor iceoryx2/Cargo.toml is that of the package `iceoryx2`", .0.display())]
    NoIceoryx2(PathBuf),
}

impl FromStr for Release {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(url) = text.strip_prefix("git+") {
            return parse_git(url);
        }
        if let Ok(version) = Version::parse(text.strip_prefix('v').unwrap_or(text)) {
            return Ok(Self::Published(version));
        }
        let path = Path::new(text);
        if !path.is_dir() {
            return Err(ReleaseError::Neither(text.to_owned()));
        }
        [path.to_owned(), path.join("iceoryx2")]
            .into_iter()
            .find(|dir| is_iceoryx2(dir))
            .and_then(|dir| dir.canonicalize().ok())
            .map(Self::Local)
            .ok_or_else(|| ReleaseError::NoIceoryx2(path.to_owned()))
    }
}

fn parse_git(text: &str) -> Result<Release, ReleaseError> {
    let (url, reference) = if let Some((url, query)) = text.split_once('?') {
        let reference = match query.split_once('=') {
            Some(("branch", name)) => GitReference::Branch(name.to_owned()),
            Some(("tag", name)) => GitReference::Tag(name.to_owned()),
            Some(("rev", name)) => GitReference::Revision(name.to_owned()),
            _ => return Err(ReleaseError::Reference(text.to_owned())),
        };
        (url, Some(reference))
    } else if let Some((url, revision)) = text.split_once('#') {
        (url, Some(GitReference::Revision(revision.to_owned())))
    } else {
        (text, None)
    };
    Ok(Release::Git { url: url.to_owned(), reference })
}

fn is_iceoryx2(dir: &Path) -> bool {
    let text = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
    let manifest = text.parse::<toml::Table>().unwrap_or_default();
    let name = manifest.get("package").and_then(|package| package.get("name"));
    name.and_then(toml::Value::as_str) == Some("iceoryx2")
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published(version) => version.fmt(f),
            Self::Local(path) => path.display().fmt(f),
            Self::Git { url, reference } => {
                write!(f, "git+{url}")?;
                match reference {
                    Some(GitReference::Branch(name)) => write!(f, "?branch={name}"),
                    Some(GitReference::Tag(name)) => write!(f, "?tag={name}"),
                    Some(GitReference::Revision(name)) => write!(f, "?rev={name}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Release {
    /// A name for a directory, different for different releases.
    #[must_use]
    pub fn slug(&self) -> String {
        match self {
            Self::Published(version) => version.to_string(),
            Self::Git { .. } | Self::Local(_) => {
                self.to_string().replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-")
            }
        }
    }

    /// What stands behind `iceoryx2 =` in a manifest.
    #[must_use]
    pub fn to_dependency(&self) -> Value {
        let mut table = InlineTable::new();
        match self {
            Self::Published(version) => return format!("={version}").into(),
            Self::Local(path) => {
                table.insert("path", path.display().to_string().into());
            }
            Self::Git { url, reference } => {
                table.insert("git", url.as_str().into());
                let (key, name) = match reference {
                    Some(GitReference::Branch(name)) => ("branch", name),
                    Some(GitReference::Tag(name)) => ("tag", name),
                    Some(GitReference::Revision(name)) => ("rev", name),
                    None => return table.into(),
                };
                table.insert(key, name.as_str().into());
            }
        }
        table.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_parsed_prints_the_same() {
        for text in ["0.10.0", "0.11.0-rc.1", "git+file:///x?tag=v1", "git+file:///x?rev=abc"] {
            assert_eq!(text.parse::<Release>().expect("a release").to_string(), text);
        }
        let revision = "git+file:///x#abc".parse::<Release>();
        assert_eq!(revision, "git+file:///x?rev=abc".parse());
    }

    #[test]
    fn what_names_no_release_says_why() {
        let refused = |text: &str| text.parse::<Release>().expect_err("refused").to_string();
        assert!(refused("latest").contains("`latest` is no release"));
        assert!(refused("git+file:///x?commit=1").contains("branch=, tag= or rev="));
        let dir = tempfile::tempdir().expect("a directory");
        assert!(refused(&dir.path().display().to_string()).contains("no iceoryx2 here"));
    }

    #[test]
    fn a_checkout_is_found_by_its_root_as_well() {
        let dir = tempfile::tempdir().expect("a directory");
        let crate_dir = dir.path().join("iceoryx2");
        std::fs::create_dir(&crate_dir).expect("a directory");
        std::fs::write(crate_dir.join("Cargo.toml"), "[package]\nname = \"iceoryx2\"\n")
            .expect("a file");
        let by_root = dir.path().display().to_string().parse::<Release>();
        assert_eq!(by_root, crate_dir.display().to_string().parse());
        assert!(matches!(by_root, Ok(Release::Local(_))));
    }

    #[test]
    fn a_dependency_names_exactly_this_release() {
        let dependency =
            |text: &str| text.parse::<Release>().expect("a release").to_dependency().to_string();
        assert_eq!(dependency("0.9.3"), "\"=0.9.3\"");
        assert_eq!(
            dependency("git+file:///x?branch=main"),
            "{ git = \"file:///x\", branch = \"main\" }"
        );
    }
}
