//! What happens if all goes well: what is allowed first.

use super::{Expected, Model, judge::reported_as};
use crate::actor::{Action, Observation, PortId, Received};

impl Model {
    /// What is observed if an action goes well.
    pub(crate) fn ideal(&self, action: &Action) -> Observation {
        match (action, self.predict(action).allowed.swap_remove(0)) {
            (
                Action::CreateClient { new, hint, .. } | Action::CreateServer { new, hint, .. },
                Expected::PortCreated { .. },
            ) => {
                let id = PortId(u128::from(new.0));
                Observation::PortCreated { id, hint: *hint, backpressure: None, active: None }
            }
            (_, Expected::Loaned { len }) => Observation::Loaned {
                len,
                not_default: None,
                mismatch: None,
                misaligned: false,
                used_header: false,
            },
            (_, Expected::Sent { servers }) => Observation::Sent { servers: *servers.end() },
            (_, Expected::Received(message)) => Observation::Received(Received {
                header: Some(message.id),
                len: message.len,
                mismatch: None,
                misaligned: false,
                origin: message.origin,
                header_origin: message.origin,
                elements: message.len as u64,
            }),
            (_, Expected::Nothing) => Observation::Nothing,
            (_, Expected::Refused(error)) => Observation::Refused(error.to_owned()),
            (_, Expected::Pending { connected, has_response, servers }) => Observation::Pending {
                connected: connected.unwrap_or_default(),
                has_response: has_response.unwrap_or_default(),
                servers,
            },
            (_, Expected::Active { connected, hint }) => Observation::Active {
                connected: connected.unwrap_or_default(),
                hint: hint.unwrap_or_default(),
            },
            (_, Expected::Server { has_requests }) => {
                Observation::Server { has_requests: has_requests.unwrap_or_default() }
            }
            (_, Expected::CleanedUp { dead }) => {
                Observation::CleanedUp { dead, cleaned: dead, failed: 0, left: 0 }
            }
            (_, Expected::Service { clients, servers, settings, .. }) => Observation::Service {
                clients: *clients.count().start(),
                servers: *servers.count().start(),
                settings: Box::new(reported_as(&settings)),
                listed: None,
                presence: None,
            },
            (_, Expected::Done | Expected::PortCreated { .. }) => Observation::Done,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use crate::{
        model::{Model, Switch},
        scenario::{Settings, Step},
    };

    /// The model after these steps, as if each had gone well; `None` if one has nothing to act
    /// on.
    pub(in crate::model) fn model_after(
        settings: Settings,
        quirks: BTreeSet<Switch>,
        steps: &[Step],
    ) -> Option<Model> {
        let mut model = Model::new(settings, quirks);
        for step in steps {
            let action = model.resolve(step)?;
            let observation = model.ideal(&action);
            model.apply(&action, &observation);
        }
        Some(model)
    }
}
