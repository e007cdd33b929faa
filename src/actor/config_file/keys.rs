//! Keys of a config file: where they stand, which exist, what they are called in
//! other releases.

use std::{collections::BTreeMap, ops::Range};

use iceoryx2::config::Config;
use toml::de::{DeTable, DeValue};

use super::Advice;

/// Keys that changed their name: old name, new name, first release with the new one.
const RENAMED: [(&str, &str, &str); 4] = [
    (
        "defaults.request-response.client-unable-to-deliver-strategy",
        "defaults.request-response.client-backpressure-strategy",
        "0.9",
    ),
    (
        "defaults.request-response.server-unable-to-deliver-strategy",
        "defaults.request-response.server-backpressure-strategy",
        "0.9",
    ),
    ("global.service.creation-timeout", "global.creation-timeout", "0.9"),
    ("global.root-path-unix", "global.root-path", "0.7"),
];

pub(super) fn advise(key: &str) -> Advice {
    let known = known_keys();
    let is_known = |name: &str| known.iter().any(|k| k == name);
    for (old, new, in_release) in RENAMED {
        if key == old && is_known(new) {
            return Advice::Renamed { to: new, in_release, forward: true };
        }
        if key == new && is_known(old) {
            return Advice::Renamed { to: old, in_release, forward: false };
        }
    }
    // The last segment weighs more: a key in the wrong section is a common mistake.
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let similarity = |candidate: &String| {
        0.7 * strsim::jaro_winkler(&last(candidate), &last(key))
            + 0.3 * strsim::jaro_winkler(candidate, key)
    };
    let nearest = known
        .into_iter()
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
        .unwrap_or_default();
    Advice::Nearest(nearest)
}

/// Every dotted key of the default config, sections included.
fn known_keys() -> Vec<String> {
    let mut keys = Vec::new();
    visit_defaults(&mut |key, _| keys.push(key));
    keys
}

/// Every dotted key of the default config that is no section, and its value as TOML.
pub(super) fn values() -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    visit_defaults(&mut |key, value| {
        if !value.is_table() {
            values.insert(key, value.to_string());
        }
    });
    values
}

fn visit_defaults(visit: &mut dyn FnMut(String, &toml::Value)) {
    fn descend(prefix: &str, table: &toml::Table, visit: &mut dyn FnMut(String, &toml::Value)) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let toml::Value::Table(inner) = value {
                descend(&key, inner, visit);
            }
            visit(key, value);
        }
    }
    if let Ok(defaults) = toml::Table::try_from(Config::default()) {
        descend("", &defaults, visit);
    }
}

/// The segments of a path that was ignored.
pub(super) fn segments(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    let (parent, segment) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(index.to_string())),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut segments = segments(parent);
    segments.extend(segment);
    segments
}

/// Byte offset of a key in the text, 0 if it cannot be found.
pub(super) fn offset_of(table: &DeTable<'_>, segments: &[String]) -> usize {
    let Some((first, rest)) = segments.split_first() else { return 0 };
    let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == first) else { return 0 };
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => offset_of(inner, rest),
        _ => key.span().start,
    }
}

/// A value of the file.
pub(super) struct Place {
    pub(super) key: String,
    /// The value, if it is a string.
    pub(super) text: Option<String>,
}

/// The innermost value whose span contains `span`, with its dotted key.
pub(super) fn at(table: &DeTable<'_>, span: &Range<usize>) -> Option<Place> {
    table.iter().find_map(|(key, value)| {
        if let DeValue::Table(inner) = value.get_ref()
            // A table that is opened by a header spans that header only.
            && let Some(place) = at(inner, span)
        {
            return Some(Place { key: format!("{}.{}", key.get_ref(), place.key), ..place });
        }
        let is_inside = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
        (is_inside(value.span()) || is_inside(key.span())).then(|| Place {
            key: key.get_ref().clone().into_owned(),
            text: value.get_ref().as_str().map(str::to_owned),
        })
    })
}

/// Types that iceoryx2 reads from a string, with the values it takes; its own message
/// does not name them.
const NAMED_VALUES: [(&str, &str); 2] = [
    ("BackpressureStrategy", "`RetryUntilDelivered` or `DiscardData`"),
    ("UnableToDeliverStrategy", "`Block` or `DiscardSample`"),
];

/// Says what was expected where iceoryx2 only says that `text` is invalid; `None` for
/// messages that need no help.
pub(super) fn explain(message: &str, text: Option<&str>) -> Option<String> {
    let text = text?;
    if let Some((what, values)) = NAMED_VALUES.iter().find(|(what, _)| message.contains(what)) {
        return Some(format!("{text:?} is no {what}: expected {values}"));
    }
    let (what, forbidden) = if message.contains("FileName") {
        ("file name", "/\\<>\"|?*")
    } else if message.contains("Path") {
        ("path", "<>\"|?*")
    } else {
        return None;
    };
    let rule = if message.contains("ExceedsMaximumLength") {
        format!("it has {} bytes, more than iceoryx2 takes", text.len())
    } else if let Some(c) = text.chars().find(|c| c.is_ascii_control() || forbidden.contains(*c)) {
        let c = c.escape_default();
        format!("`{c}` is not allowed, nor is any of `{forbidden}` or a control character")
    } else if text.is_empty() {
        "it is empty".to_owned()
    } else {
        "it has a special meaning to the file system".to_owned()
    };
    Some(format!("{text:?} is no {what}: {rule}"))
}
