//! Known cases in which named releases break a promise: one file each, with the
//! scenario that proves it.
//!
//! The files are compiled in, so that an installed `gauntlet` has them; more can be
//! read from a directory.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use enumset::EnumSetType;
use include_dir::{Dir, include_dir};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::Promise;
use crate::{
    actor::variant::Variant,
    scenario::{
        OpenMode, Scenario, Settings, Step,
        file::{self, ScenarioFileError},
    },
};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/fixtures/quirks");

/// How the model lives with a quirk so that a run goes on and finds the next problem.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, EnumSetType, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[enumset(no_ops, no_super_impls)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// In a local service, loans no machine has memory for are left out: they panic.
    ImpossibleLocalLoanPanics,
    /// Loans from dynamic ports that are so long that the size of their segment overflows
    /// are left out: they crash.
    ImpossibleLoanOverflows,
    /// The error of a loan no machine has memory for may be `InternalFailure`.
    ImpossibleLoanIsInternalFailure,
    /// After such a loan a port may be unable to grow, and a segment may stay behind.
    FailedGrowthSticks,
    /// A response loan that was refused although the active request has loans left may
    /// count as loaned.
    FailedLoanKeepsCount,
    /// Requests of a client that is gone may be missing and count as borrowed.
    GoneClientLosesRequests,
    /// A pending response may stay connected to a server that went away before it
    /// received the request, or be connected to one that was gone before it was sent.
    GoneServerStaysConnected,
    /// Responses to earlier requests of the same client may take the room of later
    /// ones; a response that would wait for that room is left out.
    OldResponsesFillBuffer,
    /// Responses to earlier requests may count against the borrow limit of later ones.
    OldResponsesCountAsBorrowed,
    /// `has_response` may announce a response to an earlier request.
    OldResponsesAreAnnounced,
    /// No client is created while a server holds something of a client that is gone:
    /// it would get that one's slot, and with it what belongs to the other.
    RecycledSlotGetsOldConnection,
    /// A request that was discarded because a server's buffer was full may be connected.
    UndeliveredRequestIsConnected,
    /// A server with a full buffer that has not yet looked for its clients may be passed over as
    /// if it were gone: nobody waits for it, and no handler is asked.
    UnawareServerIsPassedOver,
    /// No handler has a send of a request fail: the request would stay active, and would be
    /// received by whoever had room.
    FailedSendLeavesRequest,
    /// Loaned responses whose active request or client is gone may count against the loans of
    /// other active requests of the server.
    OrphanedLoansCount,
    /// Unread data of a dynamic port that is gone may be lost even if it never grew.
    UnmappedSegmentIsLost,
    /// A dynamic server loans no more responses once several of its responses were never
    /// read: it would run out of chunks and crash. A static one may run out of memory.
    OldResponsesExhaustChunks,
    /// No port holds messages of more peers than its buffer for expired connections has room
    /// for, those included whose requests were lost: when all of them go away, it panics.
    FullExpiredBufferPanics,
    /// Of three or more peers that are gone, and of which a port keeps something, it may never
    /// get rid of some. No peer is created any more once they might fill half of what it has
    /// room for.
    GoneConnectionIsForgotten,
    /// The buffers for expired connections are as large as iceoryx2 makes them by default: a
    /// full one unmaps what is held.
    FullExpiredBufferUnmaps,
    /// A dynamic port gets all the chunks it can need: with fewer it grows, and crashes.
    ReducedPreallocationExhaustsChunks,
    /// A client with a limit of active requests of its own may run out of memory; a dynamic
    /// one does not get such a limit: it would crash.
    OwnActiveLimitTakesChunks,
    /// A client may run out of memory while it waits for answers to a request that no server
    /// has any more; a dynamic one makes no loans then: it would crash in the end.
    UndeliveredRequestTakesChunk,
    /// A dynamic port of which payloads or user headers are aligned to more than 8 bytes may run
    /// out of memory: it loses a chunk with every growth.
    AlignedPortLosesChunks,
    /// A service with slices that is created, and not opened or created, keeps limits of 0. Those
    /// of any service with slices are raised: whoever comes after a scenario creates it once more.
    CreatedServiceKeepsZeros,
    /// A receive that finds responses of which the memory is gone may return none although others
    /// are still there.
    LostResponseHidesLaterOnes,
    /// Responses of a server that is gone may be lost when the client asks for a response
    /// to another request and there is none.
    EmptyReceiveForgetsGoneServer,
    /// What belongs to a killed peer may stay connected after the clean-up.
    KilledPeerStaysConnected,
    /// Nobody is killed while they make a file that others can see: one that is half made
    /// cannot be cleaned up, or lets whoever opens it wait for ever.
    HalfMadeFileStays,
    /// The directories of nodes stay.
    NodeDirectoryStays,
    /// Files of a node that was killed before it was complete may stay behind.
    HalfMadeNodeStays,
    /// Nobody is killed amid making or dropping a port: one that is not all there cannot be cleaned
    /// up.
    UnfinishedPortStays,
    /// Nobody is killed amid dropping their node and service, or removing the last files of a dead
    /// node: something stays behind.
    HalfGoneNodeStays,
    /// The memory of a port, a connection or a service whose creation ran short of something
    /// stays.
    ShortCreationLeavesMemory,
    /// What a killed process had may stay after a clean-up that ran short of something.
    ShortCleanUpStops,
    /// Files of a node whose creation ran short of something stay.
    ShortNodeStays,
    /// Nobody runs short of anything when the first node of a domain is created: there would never
    /// be another one.
    ShortFirstNodeBlocksDomain,
    /// Whoever has no descriptor left when they open a service may be told that it is corrupted.
    ShortServiceLooksCorrupted,
    /// A port that has grown may be listed with the length it began with.
    ListedLengthIgnoresGrowth,
    /// Requests of clients that are gone, discarded by a server, may keep memory mapped and
    /// count as borrowed.
    DiscardedRequestKeepsMemory,
    /// Threads open the service at once with nodes of their own only: a node that is shared may
    /// note it twice, or one that is gone for the one that took its place.
    SharedNodeMixesServices,
    /// No client has fewer chunks than it can need: what it sends may be lost.
    ReducedClientPreallocationLosesData,
    /// A port that may have grown 254 times makes no loan that would grow it once more: it crashes.
    GrowthPastLimitCrashes,
    /// Without fire-and-forget a server keeps the connections to all clients that are gone. No
    /// client is created any more once they might fill half of what it has room for.
    GoneClientIsNeverForgotten,
    /// No threads open the service and let it go all the time: some would be refused. So may be
    /// who comes while the last one leaves.
    OpeningAtOnceIsRefused,
    /// Whoever receives may have the memory of messages mapped to be written.
    ReceiversMayWrite,
}

impl Switch {
    /// Whether scenarios of this service variant can meet it.
    #[must_use]
    pub fn concerns(self, variant: Variant) -> bool {
        match self {
            Self::ImpossibleLocalLoanPanics => !variant.crosses_processes(),
            Self::SharedNodeMixesServices => variant.is_threadsafe(),
            _ => true,
        }
    }

    /// Whether its effect depends on how much memory a port has and when it grows: two runs
    /// that differ in that may then observe something else.
    #[must_use]
    pub fn depends_on_memory(self) -> bool {
        matches!(
            self,
            Self::ImpossibleLoanIsInternalFailure
                | Self::FailedGrowthSticks
                | Self::FailedLoanKeepsCount
                | Self::GoneClientLosesRequests
                | Self::UnmappedSegmentIsLost
                | Self::LostResponseHidesLaterOnes
                | Self::OldResponsesExhaustChunks
                | Self::OwnActiveLimitTakesChunks
                | Self::UndeliveredRequestTakesChunk
                | Self::AlignedPortLosesChunks
        )
    }
}

/// The scenario with no setting one of the quirks turns into a crash: what a run that lives
/// with them carries out. Steps are steered around as they come, settings are not.
#[must_use]
pub fn steered<'a>(scenario: &'a Scenario, quirks: &BTreeSet<Switch>) -> Cow<'a, Scenario> {
    let mut scenario = Cow::Borrowed(scenario);
    if quirks.contains(&Switch::FullExpiredBufferUnmaps) {
        let default = Settings::default();
        let service = &mut scenario.to_mut().service;
        service.client_expired_connection_buffer = default.client_expired_connection_buffer;
        service.server_expired_connection_buffer = default.server_expired_connection_buffer;
    }
    if quirks.contains(&Switch::FailedSendLeavesRequest) {
        let service = &mut scenario.to_mut().service;
        service.client_backpressure = service.client_backpressure.strategy();
    }
    if let Some(traffic) = scenario.concurrent.as_ref().filter(|traffic| traffic.visits > 0) {
        let mut traffic = traffic.clone();
        if quirks.contains(&Switch::SharedNodeMixesServices) {
            traffic.visitors = 1;
        }
        if quirks.contains(&Switch::OpeningAtOnceIsRefused) {
            traffic.visits = 0;
        }
        scenario.to_mut().concurrent = Some(traffic);
    }
    let payload = scenario.service.payload;
    if quirks.contains(&Switch::CreatedServiceKeepsZeros)
        && (payload.requests_are_slices() || payload.responses_are_slices())
        && scenario.service != scenario.service.raised()
        && scenario.has(|step| matches!(step, Step::Join { how: OpenMode::Create, .. }))
    {
        let raised = scenario.service.raised();
        scenario.to_mut().service = raised;
    }
    scenario
}

/// What a quirk does to its victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the names say it
pub enum Severity {
    Crash,
    WrongReceiver,
    Loss,
    Leak,
    Exposure,
    StuckLimit,
    Hang,
    WrongAnswer,
    MisleadingError,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::WrongReceiver => "data to the wrong receiver",
            Self::Loss => "loss",
            Self::Leak => "leak",
            Self::Exposure => "exposed memory",
            Self::StuckLimit => "stuck limit",
            Self::Hang => "hang",
            Self::WrongAnswer => "wrong answer",
            Self::MisleadingError => "misleading error",
        })
    }
}

/// A known broken promise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Quirk {
    /// Its name, that of the file.
    #[serde(default)]
    pub id: String,
    /// The promise the proof breaks.
    pub promise: Promise,
    /// Affected releases: those that match one of these.
    pub versions: Vec<VersionReq>,
    /// Releases on which the proof was run and seen to break or keep the promise.
    pub ran: Vec<Version>,
    /// What it does.
    pub severity: Severity,
    /// The upstream issue, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What happens, in one or two sentences.
    pub sentence: String,
    /// The service variant in which the proof shows it.
    #[serde(default)]
    pub variant: Variant,
    /// How often the proof is judged until it shows: more than once where threads have to meet.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub tries: NonZeroUsize,
    /// How the model lives with it, if the generators meet it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
    /// The smallest scenario that shows it.
    pub scenario: Scenario,
}

fn once() -> NonZeroUsize {
    NonZeroUsize::MIN
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_once(tries: &NonZeroUsize) -> bool {
    *tries == once()
}

impl Quirk {
    /// Whether the release is said to have it. A pre-release counts as the release it
    /// leads to.
    #[must_use]
    pub fn affects(&self, version: &Version) -> bool {
        let release = Version::new(version.major, version.minor, version.patch);
        self.versions.iter().any(|versions| versions.matches(&release))
    }

    /// The affected releases, for a person.
    #[must_use]
    pub fn releases(&self) -> String {
        self.versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    }

    /// Parses a quirk file; `path` gives the id and the place in messages.
    ///
    /// # Errors
    /// If the text is not a quirk.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScenarioFileError> {
        let mut quirk: Self = file::parse_toml(text, path)?;
        quirk.id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(quirk)
    }

    /// All quirks that are compiled in, by id.
    ///
    /// # Errors
    /// If one of the files is not a quirk.
    pub fn known() -> Result<Vec<Self>, ScenarioFileError> {
        let mut quirks = Vec::new();
        for entry in
            FILES.files().filter(|entry| entry.path().extension().is_some_and(|e| e == "toml"))
        {
            let path = PathBuf::from("fixtures/quirks").join(entry.path());
            quirks.push(Self::parse(entry.contents_utf8().unwrap_or_default(), &path)?);
        }
        quirks.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(quirks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Concurrent;

    #[test]
    fn releases_in_between_are_not_affected() {
        let text = r#"
            promise = "nothing-is-left-behind"
            versions = [">=0.7.0, <0.9.1", "=0.10.0"]
            ran = []
            severity = "leak"
            sentence = "Something stays."
            scenario = { schema = 1, steps = [] }
        "#;
        let quirk = Quirk::parse(text, Path::new("something.toml")).unwrap();
        let affected = ["0.7.0", "0.9.0", "0.9.1", "0.9.3", "0.10.0", "0.10.0-rc.1"]
            .map(|version| quirk.affects(&version.parse().unwrap()));
        assert_eq!(affected, [true, true, false, false, true, true]);
        assert_eq!(quirk.releases(), ">=0.7.0, <0.9.1 or =0.10.0");
    }

    #[test]
    fn nobody_visits_as_is_known_to_crash_or_to_be_refused() {
        let concurrent = Some(Concurrent { visits: 1, visitors: 3, ..Concurrent::default() });
        let scenario = Scenario { concurrent, ..Scenario::of_steps(Vec::new()) };
        let visitors = |quirks: &[Switch]| {
            let steered = steered(&scenario, &quirks.iter().copied().collect()).into_owned();
            steered.concurrent.map(|traffic| (traffic.visits, traffic.visitors))
        };
        assert_eq!(visitors(&[]), Some((1, 3)));
        assert_eq!(visitors(&[Switch::SharedNodeMixesServices]), Some((1, 1)));
        assert_eq!(visitors(&[Switch::OpeningAtOnceIsRefused]), Some((0, 3)));
    }

    #[test]
    fn limits_of_zero_are_steered_around_only_where_somebody_creates_the_service() {
        let zeros = Settings { max_loaned_requests: 0, ..Settings::default() };
        let quirks = [Switch::CreatedServiceKeepsZeros].into();
        for (how, kept) in [(OpenMode::Create, 1), (OpenMode::OpenOrCreate, 0), (OpenMode::Open, 0)]
        {
            let steps = vec![Step::Join { how, require: None }];
            let scenario = Scenario { service: zeros.clone(), ..Scenario::of_steps(steps) };
            let limit = |scenario: &Scenario| scenario.service.max_loaned_requests;
            assert_eq!(limit(&steered(&scenario, &quirks)), kept, "{how:?}");
            assert_eq!(limit(&steered(&scenario, &BTreeSet::new())), 0, "{how:?}");
        }
    }
}
