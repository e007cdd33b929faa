//! `gauntlet gate`, and what it asks the builds of each release.

use std::{
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use iox2_gauntlet::{
    campaign,
    exit::Exit,
    gate::{self, Build, GateError, Plan, Release, Workshop, facts, report::Policy},
    report,
    sandbox::clean,
};

use super::Format;
use super::print::{say, show};

/// Where suites are built and what of.
#[derive(Debug, Args)]
pub(super) struct WorkshopArguments {
    /// Directory for the builds, one per release; used again the next time
    #[arg(long, value_name = "DIR", default_value = ".gauntlet/builds")]
    builds: PathBuf,
    /// Sources of this suite [default: where this was compiled]
    #[arg(long, value_name = "DIR")]
    suite: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct GateArguments {
    /// The release in use: a version, a directory, or git+URL with ?branch=, ?tag= or ?rev=
    #[arg(long, value_name = "RELEASE")]
    baseline: String,
    /// The release to move to
    #[arg(long, value_name = "RELEASE")]
    candidate: String,
    /// What fails the gate
    #[arg(long, value_enum, default_value_t = PolicyArgument::Regressions)]
    policy: PolicyArgument,
    /// Generate scenarios for this long: for a run on each release, and to compare them
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = super::duration)]
    time: Duration,
    /// Generate at most this many scenarios for each
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    scenarios: u64,
    /// Seed of the generated scenarios
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Directory for saved cases and reports
    #[arg(long, value_name = "DIR", default_value = ".gauntlet")]
    out: PathBuf,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    workshop: WorkshopArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyArgument {
    /// Any regression
    Regressions,
    /// A crash or a hang where there was none
    Crashes,
    /// Anything that is not the same, time excepted
    Changes,
    /// Nothing
    Never,
}

impl From<PolicyArgument> for Policy {
    fn from(argument: PolicyArgument) -> Self {
        match argument {
            PolicyArgument::Regressions => Self::Regressions,
            PolicyArgument::Crashes => Self::Crashes,
            PolicyArgument::Changes => Self::Changes,
            PolicyArgument::Never => Self::Never,
        }
    }
}

/// What is going on: a spinner on a terminal, lines elsewhere.
pub(super) struct Teller {
    bar: Option<ProgressBar>,
}

impl Teller {
    pub(super) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: None };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar: Some(bar) }
    }

    /// The next thing to do.
    pub(super) fn tell(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => eprintln!("{what}"),
        }
    }

    /// How far it is; of interest on a terminal only.
    pub(super) fn tick(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl WorkshopArguments {
    /// Builds the suite against a release.
    pub(super) fn build(
        &self,
        release: &Release,
        interrupted: &AtomicBool,
        teller: &Teller,
    ) -> anyhow::Result<Build> {
        teller.tell(&format!("building the suite against iceoryx2 {release}"));
        let progress = |what: &str, done: usize, all: usize| {
            teller.tick(&format!("iceoryx2 {release}: {done} of about {all}, {what}"));
        };
        let workshop = self.workshop()?;
        Ok(workshop.build(release, interrupted, &progress).map_err(GateError::from)?)
    }

    pub(super) fn workshop(&self) -> anyhow::Result<Workshop> {
        let dir = fs::create_dir_all(&self.builds)
            .and_then(|()| self.builds.canonicalize())
            .with_context(|| format!("create {}", self.builds.display()))?;
        let made_here = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        Ok(Workshop { suite: self.suite.clone().unwrap_or_else(made_here), dir })
    }
}

pub(super) fn gate(arguments: &GateArguments) -> anyhow::Result<Exit> {
    let releases: [Release; 2] = [arguments.baseline.parse()?, arguments.candidate.parse()?];
    let interrupted = super::interruption()?;
    let teller = Teller::new();
    let [baseline, candidate] = &releases;
    let builds = [
        arguments.workshop.build(baseline, &interrupted, &teller)?,
        arguments.workshop.build(candidate, &interrupted, &teller)?,
    ];
    let out = campaign::make_run_directory(&arguments.out)?;
    let plan = Plan {
        time: arguments.time,
        scenarios: arguments.scenarios,
        seed: arguments.seed,
        out: out.clone(),
    };
    teller.tell(&format!("artefacts in {}", out.display()));
    let result = gate::gate(&builds, &plan, &interrupted, &|what| teller.tick(what));
    drop(teller);
    // A judge that was ended in the middle of something could not clean up.
    clean::clean_dead_runs()?;
    let result = result?;
    let json = serde_json::to_string_pretty(&result).context("serialise the report")?;
    write(&out.join("report.json"), &json)?;
    write(&out.join("report.md"), &report::markdown::of_gate(&result))?;
    write(&out.join("junit.xml"), &report::junit::of_gate(&result)?)?;
    match arguments.format {
        Format::Text => show!(report::gate::render(&result)),
        Format::Json => say!("{json}"),
    }
    Ok(if result.passes(arguments.policy.into()) { Exit::Green } else { Exit::Broken })
}

pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// `gauntlet facts`.
pub(super) fn facts(config: Option<&Path>, timings: bool) -> anyhow::Result<Exit> {
    iox2_gauntlet::actor::iox::silence();
    let json = if timings {
        serde_json::to_string_pretty(&facts::timings()?)?
    } else {
        serde_json::to_string_pretty(&facts::facts(&super::this_executable()?, config)?)?
    };
    say!("{json}");
    Ok(Exit::Green)
}
