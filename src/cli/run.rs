//! `gauntlet run`.

use std::{
    fs,
    io::IsTerminal as _,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use iox2_gauntlet::{
    actor::tracee,
    campaign::{self, Plan, Tally},
    exit::Exit,
    report::{junit, markdown, terminal},
    runner,
};

use super::Format;
use super::print::{say, show};

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Generate scenarios for this long, e.g. 20s, 10m
    #[arg(long = "for", value_name = "DURATION", default_value = "20s", value_parser = super::duration)]
    time: Duration,
    /// Generate at most this many scenarios
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    scenarios: u64,
    /// Seed of the generated scenarios
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Workers [default: one per core, as far as /dev/shm has room]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Time a single scenario may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = super::duration)]
    deadline: Duration,
    /// Judge as if no quirk were known
    #[arg(long)]
    strict: bool,
    /// End with the first broken promise
    #[arg(long)]
    fail_fast: bool,
    /// Directory for saved cases and reports
    #[arg(long, value_name = "DIR", default_value = ".gauntlet")]
    out: PathBuf,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<Exit> {
    let interrupted = super::interruption()?;
    let out = campaign::make_run_directory(&arguments.out)?;
    let plan = Plan {
        executable: super::this_executable()?,
        seed: arguments.seed,
        time: arguments.time,
        scenarios: arguments.scenarios,
        jobs: super::workers(arguments.jobs)?,
        deadline: arguments.deadline.max(Duration::from_secs(1)).min(runner::DEADLINE * 30),
        out: out.clone(),
        strict: arguments.strict,
        fail_fast: arguments.fail_fast,
    };
    eprintln!("judging {}, artefacts in {}", super::subject(), out.display());
    if !tracee::is_possible() {
        eprintln!("processes may not be traced here: nobody is killed or held amid a step");
    }
    let bar = progress_bar(arguments);
    let started = Instant::now();
    let report = campaign::run(&plan, &interrupted, &|tally: &Tally| show(&bar, started, tally))?;
    bar.finish_and_clear();
    let json = serde_json::to_string_pretty(&report).context("serialise the report")?;
    for (name, text) in [
        ("report.json", json.clone()),
        ("report.md", markdown::of_run(&report)),
        ("junit.xml", junit::of_run(&report)?),
    ] {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    match arguments.format {
        Format::Text => show!(terminal::render(&report)),
        Format::Json => say!("{json}"),
    }
    Ok(if interrupted.load(Ordering::Relaxed) {
        Exit::Interrupted
    } else if report.steps == 0 {
        eprintln!("gauntlet: no step was carried out, so nothing was judged");
        Exit::Harness
    } else if !report.is_green() {
        Exit::Broken
    } else if report.is_below_floor() {
        eprintln!("gauntlet: {}", terminal::below_floor(&report));
        Exit::Harness
    } else {
        Exit::Green
    })
}

/// A bar over the time budget on a terminal, nothing elsewhere.
fn progress_bar(arguments: &RunArguments) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(arguments.time.as_millis()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {elapsed}  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, started: Instant, tally: &Tally) {
    bar.set_position(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    let scenarios: usize = tally.scenarios.values().sum();
    bar.set_message(format!("{scenarios} scenarios, {} broken promises", tally.findings.len()));
}
