//! What a release is like, as figures: defaults, memory, growth, time. Nothing here is a
//! promise; a user who upgrades wants to know all the same.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    actor::{
        Action, Host, HostError, Key, Observation,
        bare::Pair,
        child::{Child, Executable},
        config_file, iox,
        serve::{Reply, Request},
        variant::Variant,
    },
    payload::MessageId,
    sandbox::{SHM_DIR, Sandbox},
    scenario::{LoanForm, OpenMode, Settings, Strategy},
};

/// Time for one action.
const DEADLINE: Duration = Duration::from_secs(20);

/// Growths that are tried at most: more than any release has.
const MOST_GROWTHS: usize = 600;

/// What a release is like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    /// Every key of the default config, dotted, and its value.
    pub defaults: BTreeMap<String, String>,
    /// Keys of a given config file without effect, and what to write instead.
    pub ignored: BTreeMap<String, String>,
    /// Why that file cannot be loaded at all.
    pub refused: Option<String>,
    /// Bytes of shared memory: `[size, of which are backed by memory]`.
    pub memory: BTreeMap<String, [u64; 2]>,
    /// How a port grows.
    pub growth: BTreeMap<String, String>,
}

/// Nanoseconds, the median of several.
pub type Timings = BTreeMap<String, u64>;

/// Finds out what this release is like.
///
/// # Errors
/// If the harness fails.
pub fn facts(this: &Executable, other_config: Option<&Path>) -> Result<Facts, HostError> {
    let mut facts = Facts { defaults: config_file::defaults(), ..Facts::default() };
    if let Some(path) = other_config {
        match config_file::load(path) {
            Ok(loaded) => {
                let ignored = loaded.warnings.into_iter();
                facts.ignored = ignored.map(|key| (key.key, key.advice.to_string())).collect();
            }
            Err(error) => facts.refused = Some(error.to_string()),
        }
    }
    for strategy in [Strategy::Static, Strategy::BestFit] {
        memory(strategy, &mut facts.memory)?;
    }
    for strategy in [Strategy::BestFit, Strategy::PowerOfTwo] {
        let name = |what: &str| format!("{what}, {}", name_of(strategy));
        facts
            .growth
            .insert(name("first longer request a client of hint 1 grows for"), boundary(strategy)?);
    }
    facts
        .growth
        .insert("growths of a client, best-fit".to_owned(), growths(this, Strategy::BestFit)?);
    Ok(facts)
}

fn name_of(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Static => "static",
        Strategy::BestFit => "best-fit",
        Strategy::PowerOfTwo => "power-of-two",
    }
}

fn failed(error: impl ToString) -> HostError {
    HostError::Harness(error.to_string())
}

const ME: Key = Key(1);
const CLIENT: Key = Key(2);
const SERVER: Key = Key(3);

fn join() -> Action {
    Action::Join { new: ME, how: OpenMode::Create, require: None, creates: true }
}

fn create_client(strategy: Strategy, hint: usize) -> Action {
    Action::CreateClient {
        participant: ME,
        new: CLIENT,
        strategy,
        hint,
        preallocate: None,
        active: None,
    }
}

fn create_server(strategy: Strategy, hint: usize) -> Action {
    Action::CreateServer {
        participant: ME,
        new: SERVER,
        strategy,
        hint,
        loans: 2,
        preallocate: None,
    }
}

/// What the domain has in shared memory: name, bytes, bytes that are backed by memory.
fn shared_memory(sandbox: &Sandbox) -> Result<BTreeMap<String, [u64; 2]>, HostError> {
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(SHM_DIR).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Its own directory may lie there as well.
        if !name.starts_with(sandbox.prefix()) {
            continue;
        }
        if let Ok(metadata) = entry.metadata() {
            objects.insert(name, [metadata.len(), metadata.blocks() * 512]);
        }
    }
    Ok(objects)
}

fn total(sandbox: &Sandbox) -> Result<[u64; 2], HostError> {
    let objects = shared_memory(sandbox)?;
    Ok(objects.values().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]))
}

/// What ports and their connection take, with the default limits.
fn memory(strategy: Strategy, sizes: &mut BTreeMap<String, [u64; 2]>) -> Result<(), HostError> {
    let hint = 64;
    let sandbox = Sandbox::new().map_err(failed)?;
    let config = sandbox.config_path();
    let mut host = iox::host(Variant::Ipc, &config, "memory", Settings::default())?;
    let grown = |host: &mut dyn Host, action: &Action| {
        let before = total(&sandbox)?;
        match host.perform(ME, action)? {
            Observation::Refused(error) => Err(HostError::Harness(error)),
            _ => {
                let after = total(&sandbox)?;
                Ok([0, 1].map(|i| after[i].saturating_sub(before[i])))
            }
        }
    };
    let host = host.as_mut();
    grown(host, &join())?;
    let server = grown(host, &create_server(strategy, hint))?;
    let both = grown(host, &create_client(strategy, hint))?;
    host.perform(ME, &Action::DropServer { server: SERVER })?;
    host.perform(ME, &Action::DropClient { client: CLIENT })?;
    let client = grown(host, &create_client(strategy, hint))?;
    let connection = [0, 1].map(|i| both[i].saturating_sub(client[i]));
    let name = |what: &str| format!("{what} of hint {hint}, {}", name_of(strategy));
    sizes.insert(name("server"), server);
    sizes.insert(name("client"), client);
    sizes.insert(name("connection of both"), connection);
    Ok(())
}

/// The first length for which a client of hint 1 makes another segment.
fn boundary(strategy: Strategy) -> Result<String, HostError> {
    let sandbox = Sandbox::new().map_err(failed)?;
    let config = sandbox.config_path();
    let mut host = iox::host(Variant::Ipc, &config, "boundary", Settings::default())?;
    host.perform(ME, &join())?;
    host.perform(ME, &create_client(strategy, 1))?;
    let names = |sandbox: &Sandbox| Ok::<_, HostError>(shared_memory(sandbox)?.into_keys());
    let before: Vec<_> = names(&sandbox)?.collect();
    for (i, len) in (1..=4096).enumerate() {
        let key = Key(10 + u32::try_from(i).unwrap_or_default());
        let loan = loan(key, len);
        if let Observation::Refused(error) = host.perform(ME, &loan)? {
            return Ok(format!("{error} at {len}"));
        }
        host.perform(ME, &Action::DropRequest { request: key })?;
        if names(&sandbox)?.any(|name| !before.contains(&name)) {
            return Ok(len.to_string());
        }
    }
    Ok("more than 4096".to_owned())
}

fn loan(new: Key, len: usize) -> Action {
    Action::LoanRequest {
        client: CLIENT,
        new,
        id: MessageId::new(u64::from(new.0)),
        len,
        form: LoanForm::WriteFromSlice,
    }
}

/// How often a client can grow, and what happens then. In a child: some releases crash.
fn growths(this: &Executable, strategy: Strategy) -> Result<String, HostError> {
    let sandbox = Sandbox::new().map_err(failed)?;
    let calm = AtomicBool::new(false);
    let mut child = Child::start(this)?;
    let open = Request::Host {
        config: sandbox.config_path(),
        service: "growths".to_owned(),
        settings: Box::new(Settings::default()),
        variant: Variant::Ipc,
    };
    child.ask(&open, DEADLINE, &calm)?;
    let mut perform = |action: Action| match child.ask(&Request::Perform(action), DEADLINE, &calm) {
        Ok(Reply::Observed(observation)) => Ok(observation),
        Ok(other) => Err(other.unexpected()),
        Err(error) => Err(error),
    };
    perform(join())?;
    perform(create_client(strategy, 8))?;
    for growth in 0..MOST_GROWTHS {
        let key = Key(10 + u32::try_from(growth).unwrap_or_default());
        match perform(loan(key, 64 * (growth + 1))) {
            Ok(Observation::Refused(error)) => return Ok(format!("{growth}, then {error}")),
            Ok(_) => {}
            Err(HostError::Crashed(_)) => return Ok(format!("{growth}, then a crash")),
            Err(error) => return Err(error),
        }
        perform(Action::DropRequest { request: key })?;
    }
    Ok(format!("more than {MOST_GROWTHS}"))
}

/// Measures what a user waits for, in nanoseconds.
///
/// # Errors
/// If the harness fails.
pub fn timings() -> Result<Timings, HostError> {
    let mut timings = Timings::new();
    let mut create = Vec::new();
    let mut small = Vec::new();
    let mut large = Vec::new();
    let mut growth = Vec::new();
    let mut next = 1;
    let mut ids = || {
        next += 2;
        (MessageId::new(next), MessageId::new(next + 1))
    };
    for _ in 0..5 {
        let sandbox = Sandbox::new().map_err(failed)?;
        let started = Instant::now();
        let pair = Pair::new(&sandbox.config_path(), "time", 64)?;
        create.push(started.elapsed());
        let mut exchange = |len: usize| {
            let (request, response) = ids();
            let started = Instant::now();
            pair.exchange(request, response, len).map(|()| started.elapsed())
        };
        for _ in 0..200 {
            small.push(exchange(64)?);
        }
        for step in 1..=40 {
            growth.push(exchange(64 + 64 * step)?);
        }
        exchange(1 << 20)?;
        for _ in 0..20 {
            large.push(exchange(1 << 20)?);
        }
    }
    for (name, mut samples) in [
        ("create client and server, best-fit", create),
        ("exchange 64 bytes", small),
        ("exchange 1 MiB", large),
        ("exchange with a growth on both sides", growth),
    ] {
        samples.sort();
        let median = samples[samples.len() / 2];
        timings.insert(name.to_owned(), u64::try_from(median.as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(timings)
}
