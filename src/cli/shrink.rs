//! `gauntlet shrink`.

use std::path::PathBuf;

use clap::Args;
use iox2_gauntlet::{campaign, exit::Exit, runner::Runner, scenario};

use super::print::say;

#[derive(Debug, Args)]
pub(super) struct ShrinkArguments {
    /// The scenario to shrink
    file: PathBuf,
    /// Where to write the result [default: FILE with `.small.toml` appended]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Scenarios to try at most
    #[arg(long, value_name = "N", default_value_t = 5000)]
    budget: usize,
    #[command(flatten)]
    trial: super::trial::TrialArguments,
    /// Live with the known quirks of this release, as `run` does
    #[arg(long)]
    lenient: bool,
}

pub(super) fn shrink(arguments: &ShrinkArguments) -> anyhow::Result<Exit> {
    let super::replay::Loaded { scenario: original, variant } =
        super::replay::load(&arguments.file)?;
    let trial = arguments.trial.trial(&original, variant);
    let mut runner = Runner::new(super::this_executable()?).interrupted_by(super::interruption()?);
    if arguments.lenient {
        runner.live_with(campaign::switches(&campaign::active_quirks()?));
    }
    let Some(promise) = trial.judge(&mut runner, &original, false)?.outcome.end.promise() else {
        say!(
            "KEPT {}: it breaks no promise, so there is nothing to shrink",
            arguments.file.display()
        );
        return Ok(Exit::Green);
    };
    let small = scenario::shrink::shrink(&original, arguments.budget, |candidate| {
        trial
            .judge(&mut runner, candidate, false)
            .is_ok_and(|judged| judged.outcome.end.promise() == Some(promise))
    });
    let end = trial.judge(&mut runner, &small, false)?.outcome.end;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.file.with_extension("small.toml"));
    campaign::save_case(&out, &small, &end, &mut runner, trial)?;
    say!(
        "BROKEN {promise}: {} steps instead of {}, written to {}",
        small.written_steps(),
        original.written_steps(),
        out.display()
    );
    Ok(Exit::Broken)
}
