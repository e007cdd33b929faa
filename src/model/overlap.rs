//! Two actions at the same time: whatever each returned, it is as if one had come after the other.
//!
//! No promise is made for one participant only as long as no other does anything. So every promise
//! is held against both orders, and what neither order allows is a breach. What follows is held
//! against every state that came of an order that is allowed.

use super::{
    Model, Prediction, Switch,
    judge::{self, Breach, Judged},
};
use crate::{
    actor::{Action, Observation},
    scenario::{OpenMode, Step},
};

/// The state an action met, what it might have returned then, and what was made of what it did:
/// nothing if that is left open.
type Verdict = (Model, Prediction, Option<Judged>);

/// What an order of two actions came to.
#[derive(Debug)]
pub struct World {
    /// The state after both.
    pub model: Model,
    /// For each action, in the order they were given.
    pub judged: [Verdict; 2],
}

impl World {
    /// Whether a known quirk had to be lived with.
    pub(crate) fn shows_quirk(&self) -> bool {
        let sighted = |(_, _, judged): &Verdict| matches!(judged, Some(Judged::Sighted(_)));
        self.judged.iter().any(sighted)
    }
}

/// Indices that are tried: a step may need another one where there is one object more or less.
const INDICES: i32 = 12;

impl Model {
    /// What two steps come to that are taken at the same time; `None` if one of them cannot be, or
    /// if one would come to something else after the other.
    pub(crate) fn resolve_both(&mut self, steps: [&Step; 2]) -> Option<[Action; 2]> {
        let before = self.clone();
        let mut both = self.clone();
        let first = both.resolve(steps[0])?;
        let between = both.clone();
        let second = both.resolve(steps[1])?;
        let is_possible = before.dead.is_empty()
            && first.participant(&before) != second.participant(&before)
            && may_meet(&first, &second)
            && between.leads_to(steps[1], &second, &first)
            && before.leads_to(steps[0], &first, &second);
        *self = both;
        if is_possible {
            return Some([first, second].map(with_all_settings));
        }
        *self = before;
        None
    }

    /// Whether the step comes to this also after something else went well.
    fn leads_to(&self, step: &Step, this: &Action, other: &Action) -> bool {
        let mut after = self.clone();
        after.apply(other, &self.ideal(other));
        let same = |action: Option<Action>| {
            action
                .is_some_and(|action| with_all_settings(action) == with_all_settings(this.clone()))
        };
        if step.clone().names().is_none() {
            return same(after.resolve(step));
        }
        (0..INDICES).any(|index| {
            let mut step = *step;
            if let Some((_, of)) = step.names() {
                *of = index;
            }
            same(after.clone().resolve(&step))
        })
    }

    /// The states in which one of the orders is allowed, if the second action began `amid` the
    /// first, or the first was done then.
    ///
    /// # Errors
    /// The promise that is broken if the second came after the first.
    pub(crate) fn in_either_order(
        &self,
        actions: &[Action; 2],
        observations: &[Observation; 2],
        amid: bool,
    ) -> Result<Vec<World>, Breach> {
        let after = self.in_order([0, 1], actions, observations);
        if !amid {
            return after.map(|world| vec![world]);
        }
        let before = self.in_order([1, 0], actions, observations);
        match (after, before) {
            (Err(after), Err(before)) => {
                let expected = format!(
                    "{}; or, if the second came first: {} (where there was: {})",
                    after.expected, before.expected, before.observed
                );
                Err(Breach { expected, ..after })
            }
            (after, before) => Ok(after.into_iter().chain(before).collect()),
        }
    }

    fn in_order(
        &self,
        order: [usize; 2],
        actions: &[Action; 2],
        observations: &[Observation; 2],
    ) -> Result<World, Breach> {
        let mut model = self.clone();
        let mut verdict_on = |which: usize| {
            let (action, observation) = (&actions[which], &observations[which]);
            let other = &actions[1 - which];
            let prediction = model.predict(action);
            let judged = match judge::judge(action, &prediction, observation) {
                Ok(judged) => Some(judged),
                Err(_) if self.is_left_open(action, other, observation) => None,
                Err(_) if self.is_known_refusal(action, other, observation) => {
                    Some(Judged::Sighted(Switch::OpeningAtOnceIsRefused))
                }
                Err(mut breach) => {
                    breach.promise = model.sharpen(action, observation, breach.promise);
                    return Err(breach);
                }
            };
            let before = model.clone();
            model.apply(action, observation);
            Ok((before, prediction, judged))
        };
        let mut judged = [verdict_on(order[0])?, verdict_on(order[1])?];
        if order == [1, 0] {
            judged.reverse();
        }
        Ok(World { model, judged })
    }

    /// Whether iceoryx2 documents an answer for whoever creates the service as somebody else does,
    /// or comes as the last one goes.
    fn is_left_open(&self, action: &Action, other: &Action, observation: &Observation) -> bool {
        let (Action::Join { how, .. }, Observation::Refused(error)) = (action, observation) else {
            return false;
        };
        match other {
            // "Multiple processes are trying to create the same service"
            // (`service/builder/request_response.rs`).
            Action::Join { .. } => {
                *how == OpenMode::Create
                    && self.participants.is_empty()
                    && judge::names(error, "IsBeingCreatedByAnotherInstance")
            }
            // "is marked for destruction and currently cleaning up since no one is using it
            // anymore", after which "the Service should be recreatable" (the same). That is what
            // `open_or_create` is for: it waits, for as long as `creation_timeout` says
            // (`config.rs`), and nobody is held that long. `SystemInFlux` is another matter: it
            // "can occur when another process creates and removes the same service repeatedly with
            // a high frequency", and this one is removed once.
            Action::Leave { .. } => {
                *how != OpenMode::OpenOrCreate
                    && self.participants.len() == 1
                    && judge::names(error, "IsMarkedForDestruction")
            }
            _ => false,
        }
    }

    /// With the quirk, who comes as the last one goes may be refused.
    fn is_known_refusal(&self, action: &Action, other: &Action, observation: &Observation) -> bool {
        let (Action::Join { .. }, Action::Leave { .. }, Observation::Refused(error)) =
            (action, other, observation)
        else {
            return false;
        };
        let names = [
            "HangsInCreation",
            "IsMarkedForDestruction",
            "ServiceInCorruptedState",
            "SystemInFlux",
        ];
        self.participants.len() == 1
            && self.quirks.contains(Switch::OpeningAtOnceIsRefused)
            && names.iter().any(|name| judge::names(error, name))
    }

    /// Follows the numbering of another state of the same run.
    pub(crate) fn number_as(&mut self, other: &Self) {
        (self.next_key, self.next_message) = (other.next_key, other.next_message);
    }
}

/// Whether the action asks for states, several at a time.
pub(crate) fn asks(action: &Action) -> bool {
    matches!(
        action,
        Action::InspectPending { .. }
            | Action::InspectActive { .. }
            | Action::InspectServer { .. }
            | Action::InspectService { .. }
    )
}

/// Whether two actions can be told apart from one after the other: those that ask several questions
/// may get the answers of different times.
fn may_meet(first: &Action, second: &Action) -> bool {
    let is_death = |action: &Action| {
        matches!(action, Action::Die { .. } | Action::Kill { .. } | Action::KillAmid { .. })
    };
    let comes_or_goes =
        |action: &Action| matches!(action, Action::Join { .. } | Action::Leave { .. });
    let is_divided = matches!(second, Action::InspectService { .. }) && comes_or_goes(first);
    !is_death(first) && !is_death(second) && !asks(first) && !is_divided
}

/// Whoever may be the first to open the service says all that is to be said of it.
fn with_all_settings(action: Action) -> Action {
    match action {
        Action::Join { new, how, require: None, .. } if how != OpenMode::Open => {
            Action::Join { new, how, require: None, creates: true }
        }
        action => action,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actor::PortId,
        model::{Promise, ideal::tests::model_after},
        scenario::{LoanForm, Requirement, Settings, Strategy},
    };

    const JOIN: Step = Step::Join { how: OpenMode::OpenOrCreate, require: None };

    fn client(participant: i32) -> Step {
        Step::create_client(participant, Strategy::Static, 8)
    }

    /// What becomes of two steps after others that went well, in either order or one after the
    /// other.
    fn judged(
        settings: &Settings,
        before: &[Step],
        steps: [&Step; 2],
        observations: [Observation; 2],
        amid: bool,
    ) -> Result<usize, Promise> {
        let mut model = model_after(settings.clone(), [].into(), before).expect("a model");
        let actions = model.resolve_both(steps).expect("two actions");
        let worlds = model.in_either_order(&actions, &observations, amid);
        worlds.map(|worlds| worlds.len()).map_err(|breach| breach.promise)
    }

    fn created(id: u128) -> Observation {
        let (hint, backpressure, active) = (8, None, None);
        Observation::PortCreated { id: PortId(id), hint, backpressure, active }
    }

    fn refused(error: &str) -> Observation {
        Observation::Refused(error.to_owned())
    }

    #[test]
    fn either_may_have_come_first_but_one_must() {
        let settings = Settings { max_clients: 1, ..Settings::default() };
        let of = |first: Observation, second: Observation, amid| {
            judged(&settings, &[JOIN, JOIN], [&client(0), &client(1)], [first, second], amid)
        };
        let full = || refused("ExceedsMaxSupportedClients");
        assert_eq!(of(created(1), full(), true), Ok(1));
        assert_eq!(of(full(), created(2), true), Ok(1));
        assert_eq!(of(full(), created(2), false), Err(Promise::ClientLimit));
        assert_eq!(of(created(1), created(2), true), Err(Promise::ClientLimit));
        assert_eq!(of(full(), full(), true), Err(Promise::ClientLimit));
    }

    #[test]
    fn what_both_orders_allow_leaves_two_states() {
        let before = [JOIN, JOIN, client(0), Step::create_server(1, Strategy::Static, 8, 1)];
        let looks = [&Step::UpdateClient { client: 0 }, &Step::UpdateServer { server: 0 }];
        let done = || [Observation::Done, Observation::Done];
        let settings = Settings::default();
        assert_eq!(judged(&settings, &before, looks, done(), true), Ok(2));
        assert_eq!(judged(&settings, &before, looks, done(), false), Ok(1));
    }

    #[test]
    fn only_who_joins_may_be_put_off_and_only_by_who_comes_or_goes() {
        let settings = Settings::default();
        let both = |before: &[Step], steps: [&Step; 2], error: &str| {
            let observations = [Observation::Done, refused(error)];
            judged(&settings, before, steps, observations, true).is_ok()
        };
        let leave = Step::Leave { participant: 0 };
        let create = Step::Join { how: OpenMode::Create, require: None };
        let open = Step::Join { how: OpenMode::Open, require: None };
        assert!(both(&[], [&JOIN, &create], "IsBeingCreatedByAnotherInstance"));
        assert!(both(&[JOIN], [&leave, &open], "IsMarkedForDestruction"));
        assert!(!both(&[JOIN], [&leave, &JOIN], "IsMarkedForDestruction"), "it waits");
        assert!(!both(&[JOIN], [&leave, &JOIN], "IsBeingCreatedByAnotherInstance"));
        assert!(!both(&[], [&JOIN, &create], "IsMarkedForDestruction"));
        assert!(!both(&[], [&JOIN, &create], "HangsInCreation"));
        assert!(!both(&[JOIN, JOIN], [&leave, &client(1)], "IsMarkedForDestruction"));
        assert!(!both(&[], [&JOIN, &JOIN], "IsBeingCreatedByAnotherInstance"));
        assert!(!both(&[JOIN, JOIN], [&JOIN, &create], "IsBeingCreatedByAnotherInstance"));
        assert!(!both(&[JOIN], [&leave, &JOIN], "SystemInFlux"));
        // There is somebody else who uses the service.
        assert!(!both(&[JOIN, JOIN], [&leave, &open], "IsMarkedForDestruction"));
        assert!(!both(&[JOIN], [&client(0), &JOIN], "IsMarkedForDestruction"));
    }

    #[test]
    fn a_known_refusal_is_lived_with_where_the_last_one_leaves_and_nowhere_else() {
        let leave = Step::Leave { participant: 0 };
        let sighted = |quirks: &[Switch], before: &[Step], first: &Step, error: &str| {
            let quirks = quirks.iter().copied().collect();
            let mut model = model_after(Settings::default(), quirks, before).expect("a model");
            let actions = model.resolve_both([first, &JOIN]).expect("two actions");
            let observations = [model.ideal(&actions[0]), refused(error)];
            let worlds = model.in_either_order(&actions, &observations, true);
            worlds.is_ok_and(|worlds| worlds.iter().all(World::shows_quirk))
        };
        let known = [Switch::OpeningAtOnceIsRefused];
        for error in ["HangsInCreation", "ServiceInCorruptedState", "SystemInFlux"] {
            assert!(sighted(&known, &[JOIN], &leave, error));
            assert!(!sighted(&[], &[JOIN], &leave, error));
            assert!(!sighted(&known, &[JOIN, JOIN], &leave, error));
            assert!(!sighted(&known, &[JOIN], &client(0), error));
            assert!(!sighted(&known, &[], &JOIN, error));
        }
        assert!(!sighted(&known, &[JOIN], &leave, "InternalFailure"));
    }

    #[test]
    fn two_steps_meet_if_each_is_possible_before_and_after_the_other() {
        let server = Step::create_server(1, Strategy::Static, 8, 1);
        let ask = Step::LoanRequest { client: 0, len: 8, form: LoanForm::Default };
        let before = [JOIN, JOIN, client(0), client(1), server, ask];
        let met = |steps: [&Step; 2]| {
            let mut model = model_after(Settings::default(), [].into(), &before).expect("a model");
            let keys = (model.next_key, model.next_message);
            let both = model.resolve_both(steps);
            // Keys are not used up by steps that do not meet.
            assert!(both.is_some() || keys == (model.next_key, model.next_message));
            both.is_some()
        };
        let send = Step::SendRequest { request: 0 };
        let receive = Step::ReceiveRequest { server: 0 };
        assert!(met([&send, &receive]) && met([&receive, &send]));
        let drop = |client| Step::DropClient { client };
        assert!(met([&drop(0), &drop(1)]), "whichever is the first one then");
        assert!(!met([&receive, &server]), "both are the second participant's");
        assert!(!met([&send, &Step::SendRequest { request: 1 }]), "there is only one");
        let look = Step::InspectService { participant: 1 };
        assert!(met([&send, &look]) && !met([&look, &send]));
        assert!(met([&client(0), &look]) && !met([&JOIN, &look]));
        let require = Some(Requirement::MaxClients(1));
        let particular = Step::Join { how: OpenMode::OpenOrCreate, require };
        let leave = Step::Leave { participant: 0 };
        assert!(met([&leave, &JOIN]) && met([&leave, &particular]));
        let alone = |steps| {
            let mut model = model_after(Settings::default(), [].into(), &[JOIN]).expect("a model");
            model.resolve_both(steps)
        };
        // Nobody requires anything of what they create.
        assert!(alone([&leave, &particular]).is_none() && alone([&particular, &leave]).is_none());
        let actions = alone([&leave, &JOIN]).expect("they meet");
        assert!(matches!(actions[1], Action::Join { creates: true, .. }), "it may be the first");
    }
}
