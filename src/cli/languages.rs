//! `gauntlet languages`.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use iox2_gauntlet::{
    campaign,
    exit::Exit,
    languages::{LanguagesReport, Plan, replay, run},
    model::Promise,
    report::describe_end,
};

use super::print::say;
use super::{Format, gate::Teller};

#[derive(Debug, Args)]
pub(super) struct LanguagesArguments {
    /// A Python interpreter that has the package iceoryx2
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Judge these scenarios only, as if no quirk were known
    files: Vec<PathBuf>,
    /// Generate scenarios for this long
    #[arg(long = "for", value_name = "DURATION", default_value = "20s", value_parser = super::duration)]
    time: Duration,
    /// Generate at most this many scenarios
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    scenarios: u64,
    /// Seed of the generated scenarios
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Directory for saved cases
    #[arg(long, value_name = "DIR", default_value = ".gauntlet")]
    out: PathBuf,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn languages(arguments: &LanguagesArguments) -> anyhow::Result<Exit> {
    let interrupted = super::interruption()?;
    let plan = Plan {
        executable: super::this_executable()?,
        python: arguments.python.clone(),
        seed: arguments.seed,
        time: arguments.time,
        scenarios: arguments.scenarios,
        out: campaign::make_run_directory(&arguments.out)?,
    };
    if !arguments.files.is_empty() {
        return replay_all(&plan, &arguments.files);
    }
    let teller = Teller::new();
    teller.tell(&format!("judging {} with every other participant in Python", super::subject()));
    let report = run(&plan, &interrupted, &|count| teller.tick(&format!("{count} scenarios")))?;
    drop(teller);
    match arguments.format {
        Format::Text => print(&report)?,
        Format::Json => say!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(if !report.cases.is_empty() {
        Exit::Broken
    } else if report.supported && report.steps == 0 {
        Exit::Harness
    } else {
        Exit::Green
    })
}

fn print(report: &LanguagesReport) -> anyhow::Result<()> {
    if !report.supported {
        say!("unsupported: no Python package iceoryx2: {}", report.python);
        return Ok(());
    }
    for case in &report.cases {
        say!(
            "BROKEN {} in {} scenario(s): {}\n  {}\n  replay: gauntlet languages {}",
            case.promise,
            case.times,
            case.promise.sentence(),
            case.end.replace('\n', "\n  "),
            case.case.display()
        );
    }
    let checked = Promise::ALL.iter().filter(|promise| report.checks.contains_key(promise)).count();
    say!(
        "Python iceoryx2 {}: {checked} promises checked, {} broken; {} scenarios, {} steps",
        report.python,
        report.cases.len(),
        report.scenarios,
        report.steps
    );
    Ok(())
}

fn replay_all(plan: &Plan, files: &[PathBuf]) -> anyhow::Result<Exit> {
    let mut exit = Exit::Green;
    for path in files {
        let loaded = super::replay::load(path)?;
        let end =
            replay(plan, &loaded.scenario).with_context(|| format!("judge {}", path.display()))?;
        match end.promise() {
            None => say!("KEPT {}", path.display()),
            Some(promise) => {
                exit = Exit::Broken;
                say!("BROKEN {} {promise}: {}", path.display(), promise.sentence());
                say!("  {}", describe_end(&end).replace('\n', "\n  "));
            }
        }
    }
    Ok(exit)
}
