//! What is looked at as a whole, beside each step: the files of the domain, what is mapped, and what
//! there is once everything was dropped.

use super::{End, Occasion, Position, Run, Situation, Whole, sight};
use crate::{
    coverage::InFlight,
    model::{
        Model, MostMapped, Promise, Promises,
        judge::{self, Breach, Judged},
    },
};

impl Run<'_> {
    /// Every port is there now.
    pub(super) fn check_domain(&mut self, position: Position) -> Result<(), End> {
        let action =
            || "look at all files of the domain and all that are open or mapped".to_owned();
        let stopped = |error| End::Stopped { position, action: action(), error };
        let Some(strange) = self.host.strange_files().map_err(stopped)? else { return Ok(()) };
        let promise = Promise::FilesStayInTheDomain;
        if !strange.is_empty() {
            let expected = "files with the prefix, below the root path or shared memory".to_owned();
            let breach = Breach { promise, expected, observed: strange.join(", ") };
            return Err(End::Broken { position, action: action(), breach });
        }
        self.note_of_memory(Promises::of(&[promise]));
        Ok(())
    }

    fn note_of_memory(&mut self, checked: Promises) {
        let in_flight = InFlight::from(self.model.messages_in_flight());
        let step = Occasion::Whole(Whole::MappedMemory);
        self.checks.note(Situation { step, strategy: None, in_flight }, checked);
    }

    /// Whoever receives may read what others loaned, and no more.
    pub(super) fn check_exposure(&mut self, position: Position) -> Result<(), End> {
        let action = || "look at what can be written".to_owned();
        let stopped = |error| End::Stopped { position, action: action(), error };
        let Some(exposure) = self.host.exposure().map_err(stopped)? else { return Ok(()) };
        let judged = judge::judge_exposure(&exposure, self.model.quirks())
            .map_err(|breach| End::Broken { position, action: action(), breach })?;
        match judged {
            Judged::Kept(checked) => self.note_of_memory(checked),
            Judged::Sighted(quirk) => sight(&mut self.sightings, [quirk]),
        }
        Ok(())
    }

    /// All messages are small and new now: segments of earlier growths are unused.
    pub(super) fn check_mapped_objects(&mut self, position: Position) -> Result<(), End> {
        // In any of the states iceoryx2 may be in.
        let all: Option<Vec<MostMapped>> = self.states().map(Model::most_mapped_objects).collect();
        let limit = |bound: &MostMapped| bound.tolerated.map_or(bound.most, |(_, limit)| limit);
        let Some(MostMapped { most, tolerated }) =
            all.and_then(|all| all.into_iter().max_by_key(limit))
        else {
            return Ok(());
        };
        let action = || "count mapped shared memory".to_owned();
        let mapped = self.host.mapped_objects().map_err(|error| End::Stopped {
            position,
            action: action(),
            error,
        })?;
        let promise = Promise::UnusedMemoryIsReleased;
        if mapped <= most {
            self.note_of_memory(Promises::of(&[promise]));
        } else if let Some((quirks, limit)) = tolerated
            && mapped <= limit
        {
            sight(&mut self.sightings, quirks);
        } else {
            let breach = Breach {
                promise,
                expected: format!("at most {most} mapped objects"),
                observed: mapped.to_string(),
            };
            return Err(End::Broken { position, action: action(), breach });
        }
        Ok(())
    }

    /// Whoever comes after finds nothing in the way.
    pub(super) fn aftermath(&mut self) -> Result<(), End> {
        let position = Position::Aftermath;
        let action = || "look for the service and create it again".to_owned();
        let stopped = |error| End::Stopped { position, action: action(), error };
        let Some(aftermath) = self.host.aftermath().map_err(stopped)? else { return Ok(()) };
        judge::judge_aftermath(&aftermath).map_err(|breach| End::Broken {
            position,
            action: action(),
            breach,
        })?;
        let step = Occasion::Whole(Whole::Aftermath);
        let situation = Situation { step, strategy: None, in_flight: InFlight::None };
        self.checks.note(
            situation,
            Promises::of(&[Promise::ServiceEndsWithItsUsers, Promise::ServicesAreToldApart]),
        );
        Ok(())
    }
}
