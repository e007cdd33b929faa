//! What is said about iceoryx2 config files, good and bad ones.

use std::{fs, path::PathBuf};

use assert_cmd::Command;
use iox2_gauntlet::{
    actor::config_file::{self, Advice, ConfigFileError},
    sandbox::Sandbox,
    scenario::Settings,
};
use predicates::prelude::*;

use crate::{across_processes::assert_nothing_left, example_programs::program};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/config").join(name)
}

/// Both programs refuse `config` with the usage exit code and this explanation.
#[track_caller]
fn refused(config: &PathBuf, explanation: &str) {
    let expected = format!("failed to load the config file: {}{explanation}", config.display());
    for name in ["client", "server"] {
        program(name)
            .arg("--config")
            .arg(config)
            .assert()
            .code(2)
            .stdout("")
            .stderr(predicate::str::contains(expected.as_str()));
    }
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    let sandbox = Sandbox::new().unwrap();
    let dir = sandbox.dir().to_owned();
    refused(&dir.join("nope.toml"), ": no such file");
    refused(&dir, ": a directory, not a file");
    refused(&sandbox.config_path().join("inside.toml"), ": cannot be read: Not a directory");
    let binary = dir.join("binary.toml");
    fs::write(&binary, b"[global]\nprefix = \"\xff\"\n").unwrap();
    refused(&binary, ": cannot be read: stream did not contain valid UTF-8");
    assert_nothing_left(&sandbox);
}

#[test]
fn a_path_that_iceoryx2_cannot_name_is_told_apart() {
    let sandbox = Sandbox::new().unwrap();
    let question = sandbox.dir().join("is-it-me?.toml");
    fs::write(&question, "").unwrap();
    refused(&question, ": iceoryx2 does not take such a path (InvalidContent)");

    let mut long = sandbox.dir().to_owned();
    for _ in 0..3 {
        long.push("a".repeat(100));
    }
    fs::create_dir_all(&long).unwrap();
    long.push("long.toml");
    fs::write(&long, "").unwrap();
    let len = long.as_os_str().len();
    refused(&long, &format!(": iceoryx2 takes paths of at most 255 bytes, this has {len}"));
    assert_nothing_left(&sandbox);
}

#[test]
fn a_bad_value_is_reported_with_its_place_its_key_and_what_was_expected() {
    for (name, explanation) in [
        ("syntax-error.toml", ":2:15: extra `=`"),
        (
            "wrong-type.toml",
            ":3:15: `defaults.request-response.max-clients`: invalid type: string \"two\", expected usize",
        ),
        (
            "negative-number.toml",
            ":2:13: `defaults.request-response.max-nodes`: invalid value: integer `-1`, expected usize",
        ),
        ("half-a-duration.toml", ":2:20: `global.creation-timeout`: missing field `nanos`"),
        (
            "illegal-prefix.toml",
            ":2:10: `global.prefix`: \"mine/iox2_\" is no file name: `/` is not allowed",
        ),
        (
            "illegal-root-path.toml",
            ":2:13: `global.root-path`: \"/tmp/every*thing/\" is no path: `*` is not allowed",
        ),
        #[cfg(iox2_at_least_0_9)]
        (
            "unknown-strategy.toml",
            ":2:34: `defaults.request-response.server-backpressure-strategy`: \"DropEverything\" is no \
             BackpressureStrategy: expected `RetryUntilDelivered` or `DiscardData`",
        ),
        #[cfg(iox2_at_least_0_9)]
        (
            "unknown-allocation-strategy.toml",
            ":2:30: `defaults.request-response.client-allocation-strategy`: unknown variant \
             `power-of-two`, expected one of `BestFit`, `PowerOfTwo`, `Static`",
        ),
    ] {
        refused(&fixture(name), explanation);
    }
}

#[test]
fn an_unknown_key_is_reported_with_the_nearest_known_one() {
    let loaded = config_file::load(&fixture("misspelt-key.toml")).unwrap();
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [format!(
            "{}:2:1: `defaults.request-response.max-client` has no effect: iceoryx2 does not know it; \
             did you mean `defaults.request-response.max-clients`?",
            fixture("misspelt-key.toml").display()
        )]
    );
    assert_eq!(loaded.config.defaults.request_response.max_clients, 8, "the default");
}

#[test]
fn keys_of_older_releases_are_reported_with_their_new_names() {
    let names = |name: &str| {
        let loaded = config_file::load(&fixture(name)).unwrap();
        loaded.warnings.into_iter().map(|warning| match warning.advice {
            Advice::Renamed { to, in_release, forward: true } => (warning.key, to, in_release),
            other => panic!("{}: {other:?}", warning.key),
        })
    };
    let old = names("keys-of-0.6.toml").map(|(key, to, since)| format!("{key} {to} {since}"));
    assert_eq!(old.collect::<Vec<_>>(), ["global.root-path-unix global.root-path 0.7"]);

    if !cfg!(iox2_at_least_0_9) {
        return;
    }
    let mut renamed: Vec<_> = names("keys-of-0.8.toml").collect();
    renamed.sort();
    let section = |key: &str| format!("defaults.request-response.{key}");
    assert_eq!(
        renamed,
        [
            (
                section("client-unable-to-deliver-strategy"),
                "defaults.request-response.client-backpressure-strategy",
                "0.9"
            ),
            (
                section("server-unable-to-deliver-strategy"),
                "defaults.request-response.server-backpressure-strategy",
                "0.9"
            ),
            ("global.service.creation-timeout".to_owned(), "global.creation-timeout", "0.9"),
        ]
    );
}

#[test]
fn a_warning_reaches_who_starts_a_program() {
    let sandbox = Sandbox::new().unwrap();
    let text = fs::read_to_string(fixture("misspelt-key.toml")).unwrap();
    let config = sandbox.write_config("misspelt", &text).unwrap();
    // A refused loan ends a client that has no server.
    program("client")
        .arg("--config")
        .arg(&config)
        .args(["--allocation-strategy", "static", "--sizes", "17"])
        .assert()
        .code(4)
        .stderr(predicate::str::contains("warning: ").and(predicate::str::contains(
            "did you mean `defaults.request-response.max-clients`?",
        )));
    assert_nothing_left(&sandbox);
}

#[test]
fn an_empty_file_means_the_defaults_and_a_written_config_is_read_back_the_same() {
    let sandbox = Sandbox::new().unwrap();
    let defaults = config_file::load(&fixture("empty.toml")).unwrap();
    let text = toml::to_string(&defaults.config).unwrap();
    assert_eq!(text, toml::to_string(&iceoryx2::config::Config::default()).unwrap());

    let changed = text.replace("max-clients = 8", "max-clients = 77").replace(
        "enable-fire-and-forget-requests = true",
        "enable-fire-and-forget-requests = false",
    );
    assert_ne!(changed, text);
    let path = sandbox.dir().join("written.toml");
    fs::write(&path, &changed).unwrap();
    let loaded = config_file::load(&path).unwrap();
    assert_eq!(toml::to_string(&loaded.config).unwrap(), changed);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn a_refused_file_names_the_kind_of_error() {
    let error = config_file::load(&fixture("illegal-prefix.toml")).unwrap_err();
    let ConfigFileError::Invalid { position, key, .. } = &error else { panic!("{error:?}") };
    assert_eq!((position.to_string().as_str(), key.as_deref()), ("2:10", Some("global.prefix")));
}

/// The file's values arrive where they are meant to: in the service.
#[test]
fn the_limits_of_the_file_are_the_limits_of_the_service() {
    let sandbox = Sandbox::new().unwrap();
    let fragment = include_str!("../../fixtures/config/few-nodes.toml");
    let config = sandbox.write_config("few", fragment).unwrap();
    Command::new(env!("CARGO_BIN_EXE_client"))
        .timeout(std::time::Duration::from_secs(20))
        .arg("--config")
        .arg(&config)
        .args(["--allocation-strategy", "static", "--sizes", "17"])
        .assert()
        .code(4)
        .stdout(predicate::str::contains("at most 4 clients, 2 servers, 2 nodes"));
    assert_nothing_left(&sandbox);
}

#[test]
fn files_of_a_service_with_its_own_suffixes_have_them_all() {
    let sandbox = Sandbox::new().unwrap();
    let settings = Settings { own_suffixes: true, ..Settings::default() };
    let path = sandbox.config_for("own", &settings).unwrap();
    let loaded = config_file::load(&path).unwrap();
    assert_eq!(loaded.warnings, [], "iceoryx2 knows them");
    let global = loaded.config.global;
    let of_service = global.service;
    for (own, key) in [
        (of_service.connection_suffix, "connection"),
        (of_service.data_segment_suffix, "data-segment"),
        (of_service.dynamic_config_storage_suffix, "dynamic-config-storage"),
        (of_service.static_config_storage_suffix, "static-config-storage"),
        (global.node.monitor_suffix, "monitor"),
        (global.node.static_config_suffix, "static-config"),
        (global.node.service_tag_suffix, "service-tag"),
        (global.node.port_tag_suffix, "port-tag"),
    ] {
        assert_eq!(own.to_string(), format!(".own-{key}-suffix"));
    }
}

#[test]
fn the_gauntlet_names_keys_without_effect_and_refuses_a_broken_file() {
    let gauntlet = || assert_cmd::Command::new(env!("CARGO_BIN_EXE_gauntlet"));
    gauntlet()
        .args(["config", "fixtures/config/misspelt-key.toml"])
        .assert()
        .code(0)
        .stdout(predicates::str::contains("has no effect"));
    gauntlet()
        .args(["config", "fixtures/config/wrong-type.toml"])
        .assert()
        .code(2)
        .stderr(predicates::str::contains("fixtures/config/wrong-type.toml:"));
}
