//! `gauntlet matrix`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use iox2_gauntlet::{
    campaign,
    exit::Exit,
    gate::{
        GateError, Plan, Release,
        matrix::{matrix as run, note_releases},
    },
    report::matrix::{markdown, render},
    sandbox::clean,
};

use super::gate::{Teller, WorkshopArguments, write};
use super::print::{say, show};

#[derive(Debug, Args)]
pub(super) struct MatrixArguments {
    /// Versions, directories, or git+URL with ?branch=, ?tag= or ?rev=
    #[arg(required = true, value_name = "RELEASE")]
    releases: Vec<String>,
    /// Generate scenarios for this long on each
    #[arg(long = "for", value_name = "DURATION", default_value = "20s", value_parser = super::duration)]
    time: Duration,
    /// Generate at most this many scenarios on each
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    scenarios: u64,
    /// Seed of the generated scenarios
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Directory for saved cases and reports
    #[arg(long, value_name = "DIR", default_value = ".gauntlet")]
    out: PathBuf,
    /// Run the vendor's own conformance tests as well, where they are published
    #[arg(long)]
    conformance: bool,
    /// How to print the tables
    #[arg(long, value_enum, default_value_t = MatrixFormat::Text)]
    format: MatrixFormat,
    /// Write to the quirk files in this directory on which releases their proofs ran
    #[arg(long, value_name = "DIR")]
    note_releases: Option<PathBuf>,
    #[command(flatten)]
    workshop: WorkshopArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MatrixFormat {
    Text,
    Markdown,
    Json,
}

pub(super) fn matrix(arguments: &MatrixArguments) -> anyhow::Result<Exit> {
    let releases =
        arguments.releases.iter().map(|text| text.parse()).collect::<Result<Vec<Release>, _>>()?;
    let interrupted = super::interruption()?;
    let teller = Teller::new();
    let builds = releases
        .iter()
        .map(|release| arguments.workshop.build(release, &interrupted, &teller))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let out = campaign::make_run_directory(&arguments.out)?;
    teller.tell(&format!("artefacts in {}", out.display()));
    let plan = Plan {
        time: arguments.time,
        scenarios: arguments.scenarios,
        seed: arguments.seed,
        out: out.clone(),
    };
    let result = run(&builds, &plan, &interrupted, &|what| teller.tell(what));
    // A judge that was ended in the middle of something could not clean up.
    clean::clean_dead_runs()?;
    let mut report = result?;
    if arguments.conformance {
        let workshop = arguments.workshop.workshop()?;
        for release in &releases {
            teller.tell(&format!("the conformance tests of iceoryx2 {release}"));
            report.conformance.push(workshop.conformance(release).map_err(GateError::from)?);
        }
    }
    drop(teller);
    let json = serde_json::to_string_pretty(&report).context("serialise the report")?;
    write(&out.join("report.json"), &json)?;
    write(&out.join("report.md"), &markdown(&report))?;
    match arguments.format {
        MatrixFormat::Text => show!(render(&report)),
        MatrixFormat::Markdown => show!(markdown(&report)),
        MatrixFormat::Json => say!("{json}"),
    }
    if let Some(dir) = &arguments.note_releases {
        note_releases(&report, Path::new(dir))?;
    }
    Ok(if report.is_as_stated() { Exit::Green } else { Exit::Broken })
}
