//! Participants that run short of what they take from the system.

use super::{Model, Switch};
use crate::actor::{Action, Observation, shortage::Missing};

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

    /// Whether a shortage amid an action may leave a connection missing, or a clean-up undone:
    /// iceoryx2 lets a port that cannot connect to another go on without
    /// (`DegradationAction::Warn`), and does not say for how long. Every other action returns a
    /// value or an error, and nothing is otherwise after an error.
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
    pub(crate) fn apply_shortage(
        &mut self,
        action: &Action,
        observation: &Observation,
        missed: Missing,
    ) {
        let is_refused = matches!(observation, Observation::Refused(_));
        // Without a descriptor no file is made, and none is there that could stay or stand in the
        // way.
        let makes_memory = missed != Missing::Descriptor;
        match action {
            Action::Kill { .. } => {
                // A node that is still dead is cleaned up the second time.
                let forgets = matches!(observation, Observation::CleanedUp { left: 0, .. });
                self.short_clean_ups += usize::from(forgets);
            }
            Action::Join { .. } => self.short_joins += usize::from(is_refused),
            _ if !makes_memory => {}
            _ if self.may_disconnect(action) => self.short_creations += 1,
            _ if !is_refused => {}
            Action::CreateClient { .. } | Action::CreateServer { .. } => self.short_creations += 1,
            Action::LoanRequest { client, .. } => self.starved.extend([*client]),
            Action::LoanResponse { active, .. } => {
                self.starved.extend(self.active.get(active).map(|active| active.server));
            }
            _ => {}
        }
    }
}
