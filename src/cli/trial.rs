//! How the commands that take a scenario judge it.

use clap::{Args, CommandFactory as _, ValueEnum, error::ErrorKind};
use iox2_gauntlet::{
    actor::variant::Variant,
    runner::{Layout, Venue},
    scenario::Scenario,
    trial::Trial,
};

/// What a second run is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Against {
    /// BestFit and PowerOfTwo exchanged
    Strategies,
    IpcThreadsafe,
    Local,
    LocalThreadsafe,
}

#[derive(Debug, Args)]
pub(super) struct TrialArguments {
    /// Give each participant its own process, as scenarios that kill one always do
    #[arg(long)]
    apart: bool,
    /// The service variant [default: that of the quirk, else ipc]
    #[arg(long, value_enum)]
    variant: Option<Variant>,
    /// Run it a second time, with other strategies or on another service variant; both runs
    /// must observe the same
    #[arg(long, value_enum, conflicts_with_all = ["apart", "variant"])]
    against: Option<Against>,
}

impl TrialArguments {
    /// How to judge a scenario that was made for this variant. Ends the process if what was
    /// asked for is impossible.
    pub(super) fn trial(&self, scenario: &Scenario, variant: Variant) -> Trial {
        let variant = self.variant.unwrap_or(variant);
        match self.against {
            Some(Against::Strategies) => return Trial::AgainstOtherStrategies,
            Some(Against::IpcThreadsafe) => return Trial::AgainstVariant(Variant::IpcThreadsafe),
            Some(Against::Local) => return Trial::AgainstVariant(Variant::Local),
            Some(Against::LocalThreadsafe) => {
                return Trial::AgainstVariant(Variant::LocalThreadsafe);
            }
            None => {}
        }
        let mut venue = Venue::suited_to(scenario, variant);
        if self.apart {
            venue.layout = Layout::Apart;
        }
        let impossible = if !venue.is_possible() {
            Some(format!("objects of {variant} cannot be apart"))
        } else if self.apart && scenario.concurrent.is_some() {
            Some("threads have one process: concurrent traffic cannot be apart".to_owned())
        } else {
            None
        };
        if let Some(message) = impossible {
            super::Arguments::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        Trial::At(venue)
    }
}
