//! Saved cases: the scenario with comments that say what each step is expected to
//! give, and the command that replays it.

use std::{fs, path::Path};

use super::CampaignError;
use crate::{
    lockstep::{End, Position},
    report::{Environment, describe_end, replay_command},
    runner::{Runner, Venue},
    scenario::Scenario,
    trial::Trial,
};

/// Saves a scenario as a case file. The expectations are those of a traced run; of a
/// scenario that kills its process only the end is known.
///
/// Returns whether it shows only where known quirks are lived with, as a strict run meets one
/// of them before; the command that replays it is made accordingly.
///
/// # Errors
/// If the file cannot be written.
pub fn save_case(
    path: &Path,
    scenario: &Scenario,
    end: &End,
    runner: &mut Runner,
    trial: impl Into<Trial>,
) -> Result<bool, CampaignError> {
    let trial = trial.into();
    let strictly = runner.strictly(|runner| trial.judge(runner, scenario, false));
    let lenient = strictly.is_ok_and(|strictly| strictly.outcome.end.promise() != end.promise());
    let Venue { layout, variant } = trial.venue();
    let environment = Environment::of_this_process();
    let trace = match end {
        End::Broken { .. } => {
            trial.judge(runner, scenario, true).map(|judged| judged.trace).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let mut header = String::new();
    if let Some(promise) = end.promise() {
        header += &format!("broken promise: {promise}\n  {}\n", promise.sentence());
        header += &format!("  {} by {}\n", promise.strength(), promise.source());
    }
    header += &format!("{}\n\n", describe_end(end));
    header += &format!(
        "iceoryx2 {} ({}), {} profile, gauntlet {}{}, {}\n",
        environment.iceoryx2,
        environment.source,
        environment.profile,
        environment.gauntlet,
        environment.commit.map(|commit| format!(" at {commit}")).unwrap_or_default(),
        environment.kernel,
    );
    header += &format!("participants: {layout}, service variant: {variant}\n");
    header += &format!("replay: {}\n", replay_command(path, trial, lenient));
    let at_step = |step: usize| Position::Step(step);
    let comment = |i: usize| {
        let failed = match end {
            End::Broken { position, .. } | End::Stopped { position, .. } => *position == at_step(i),
            End::Kept => false,
        };
        if failed {
            let what = match end {
                End::Broken { breach, .. } => {
                    format!("expected: {}; observed: {}", breach.expected, breach.observed)
                }
                End::Stopped { error, .. } => error.to_string(),
                End::Kept => String::new(),
            };
            return Some(what.replace('\n', " "));
        }
        trace
            .iter()
            .find(|traced| traced.position == at_step(i))
            .map(|traced| traced.expected.clone())
    };
    let text = scenario.to_toml(&header, comment);
    fs::write(path, text)
        .map_err(|source| CampaignError::Save { path: path.to_owned(), source })?;
    Ok(lenient)
}
