//! Participants that run short of what they take from the system.

use super::{Model, Switch};
use crate::actor::{Action, Observation};

impl Model {
    /// Whether an action takes something from the system, and its participant may run short of it.
    pub(crate) fn may_run_short(&self, action: &Action) -> bool {
        let takes = match action {
            Action::Join { .. } => {
                !self.participants.is_empty()
                    || !self.quirks.contains(&Switch::ShortFirstNodeBlocksDomain)
            }
            Action::LoanRequest { .. }
            | Action::LoanResponse { .. }
            | Action::CreateClient { .. }
            | Action::CreateServer { .. } => true,
            _ => self.may_disconnect(action),
        };
        takes && self.dead.is_empty()
    }

    /// Whether a shortage amid an action may leave a connection missing: iceoryx2 lets a port that
    /// cannot connect to another go on without (`DegradationAction::Warn`), and does not say for
    /// how long; and a clean-up may not get it all done. Otherwise it returns a value or an error, and after an error nothing is
    /// otherwise.
    pub(crate) fn may_disconnect(&self, action: &Action) -> bool {
        match action {
            Action::CreateClient { .. } => !self.servers.is_empty(),
            Action::CreateServer { .. } => !self.clients.is_empty(),
            Action::SendRequest { .. }
            | Action::ReceiveRequest { .. }
            | Action::SendResponse { .. }
            | Action::ReceiveResponse { .. }
            | Action::UpdateClient { .. }
            | Action::UpdateServer { .. }
            | Action::Kill { .. } => true,
            _ => false,
        }
    }

    /// Notes what known quirks make of a shortage amid an action.
    pub(crate) fn apply_shortage(&mut self, action: &Action, observation: &Observation) {
        let is_refused = matches!(observation, Observation::Refused(_));
        match action {
            Action::Kill { .. } => self.short_clean_ups += 1,
            _ if self.may_disconnect(action) => self.short_creations += 1,
            _ if !is_refused => {}
            Action::Join { .. } => self.short_joins += 1,
            Action::CreateClient { .. } | Action::CreateServer { .. } => self.short_creations += 1,
            Action::LoanRequest { client, .. } => self.starved.extend([*client]),
            Action::LoanResponse { active, .. } => {
                self.starved.extend(self.active.get(active).map(|active| active.server));
            }
            _ => {}
        }
    }
}
