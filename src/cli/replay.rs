//! `gauntlet replay`.

use std::path::{Path, PathBuf};

use clap::Args;
use iox2_gauntlet::{
    actor::variant::Variant,
    campaign,
    exit::Exit,
    model::quirk::Quirk,
    report::describe_end,
    runner::Runner,
    scenario::{Scenario, file::ScenarioFileError},
};

use super::print::say;

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// Saved cases, fixtures or quirk files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print every action with what was allowed and what happened
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    trial: super::trial::TrialArguments,
    /// Live with the known quirks of this release, as `run` does
    #[arg(long)]
    lenient: bool,
}

pub(super) fn replay(arguments: &ReplayArguments) -> anyhow::Result<Exit> {
    let scenarios = arguments
        .files
        .iter()
        .map(|path| Ok((path, load(path)?)))
        .collect::<Result<Vec<_>, ScenarioFileError>>()?;
    let mut runner = Runner::new(super::this_executable()?).interrupted_by(super::interruption()?);
    if arguments.lenient {
        runner.live_with(campaign::switches(&campaign::active_quirks()?));
    }
    let mut exit = Exit::Green;
    for (path, Loaded { scenario, variant }) in scenarios {
        let trial = arguments.trial.trial(&scenario, variant);
        let judgement = trial.judge(&mut runner, &scenario, arguments.trace)?;
        for step in judgement.trace.iter().filter(|_| arguments.trace) {
            say!(
                "{}: {}\n  expected: {}\n  observed: {}",
                step.position,
                step.action,
                step.expected,
                step.observed
            );
        }
        let end = &judgement.outcome.end;
        match end.promise() {
            None => say!("KEPT {} ({} steps)", path.display(), judgement.outcome.performed),
            Some(promise) => {
                exit = Exit::Broken;
                say!("BROKEN {} {promise}: {}", path.display(), promise.sentence());
                say!("  {}", describe_end(end).replace('\n', "\n  "));
            }
        }
    }
    Ok(exit)
}

/// A scenario and the service variant it was made for.
pub(super) struct Loaded {
    pub(super) scenario: Scenario,
    pub(super) variant: Variant,
}

/// A scenario file, or the proof in a quirk file.
pub(super) fn load(path: &Path) -> Result<Loaded, ScenarioFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| ScenarioFileError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    // The scenario of a quirk file is a table of its own.
    let is_quirk = text.lines().any(|line| line.trim() == "[scenario]");
    if is_quirk {
        let Quirk { scenario, variant, .. } = Quirk::parse(&text, path)?;
        Ok(Loaded { scenario, variant })
    } else {
        Ok(Loaded { scenario: Scenario::parse(&text, path)?, variant: Variant::default() })
    }
}
