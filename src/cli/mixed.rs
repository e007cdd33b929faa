//! `gauntlet mixed`.

use clap::Args;
use iox2_gauntlet::{
    exit::Exit,
    gate::{Release, mixed::mixed as run},
    report::mixed::{markdown, render},
    sandbox::clean,
};

use super::gate::{Teller, WorkshopArguments};
use super::print::show;

#[derive(Debug, Args)]
pub(super) struct MixedArguments {
    /// Versions, directories, or git+URL with ?branch=, ?tag= or ?rev=
    #[arg(required = true, value_name = "RELEASE")]
    releases: Vec<String>,
    /// Print the table only, as Markdown
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    workshop: WorkshopArguments,
}

pub(super) fn mixed(arguments: &MixedArguments) -> anyhow::Result<Exit> {
    let releases =
        arguments.releases.iter().map(|text| text.parse()).collect::<Result<Vec<Release>, _>>()?;
    let interrupted = super::interruption()?;
    let teller = Teller::new();
    let builds = releases
        .iter()
        .map(|release| arguments.workshop.build(release, &interrupted, &teller))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let pairs = run(&builds, &interrupted, &|what| teller.tick(what));
    drop(teller);
    clean::clean_dead_runs()?;
    let pairs = pairs?;
    if arguments.markdown {
        show!(markdown(&pairs));
    } else {
        show!(render(&pairs));
    }
    let is_orderly = pairs.iter().all(iox2_gauntlet::gate::mixed::Pair::is_orderly);
    Ok(if is_orderly { Exit::Green } else { Exit::Broken })
}
