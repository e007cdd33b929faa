//! Models for tests: what is allowed first is what happens.

use std::collections::BTreeSet;

use super::{Expected, Model, Switch};
use crate::{
    actor::{Action, Observation, PortId, Received},
    scenario::{Settings, Step},
};

/// The model after these steps, as if each had gone well; `None` if one has nothing to act on.
pub(super) fn model_after(
    settings: Settings,
    quirks: BTreeSet<Switch>,
    steps: &[Step],
) -> Option<Model> {
    let mut model = Model::new(settings, quirks);
    for (id, step) in (1..).zip(steps) {
        let action = model.resolve(step)?;
        let allowed = model.predict(&action).allowed;
        let observation = match (&action, &allowed[0]) {
            (Action::CreateClient { .. } | Action::CreateServer { .. }, _) => {
                let id = PortId(id);
                Observation::PortCreated { id, hint: 8, backpressure: None, active: None }
            }
            (_, Expected::Loaned { len }) => Observation::Loaned {
                len: *len,
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
            _ => Observation::Done,
        };
        model.apply(&action, &observation);
    }
    Some(model)
}
