//! Teeth: hosts that break one promise on purpose, to show that a check can fail.
//!
//! A saboteur wraps a real host and falsifies what it observes. Each is a defect
//! iceoryx2 could have; a test shows that the engine catches every one of them.

use super::{Action, Damage, Host, HostError, Key, Observation, Received};
use crate::{
    model::Promise,
    payload::{self, MessageId},
    scenario::LoanForm,
};

macro_rules! sabotages {
    ($($variant:ident breaks $promise:ident: $what:literal;)*) => {
        /// One way of falsifying observations.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Sabotage {
            $(#[doc = $what] $variant,)*
        }

        impl Sabotage {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The promise it breaks.
            #[must_use]
            pub fn breaks(self) -> Promise {
                match self { $(Self::$variant => Promise::$promise,)* }
            }

            /// What it does.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }
        }
    };
}

sabotages! {
    FlipRequestByte breaks RequestBytesArrive: "a byte of a request is flipped on its way";
    FlipResponseByte breaks ResponseBytesArrive: "a byte of a response is flipped on its way";
    ShortenRequest breaks RequestBytesArrive: "a request arrives one element short";
    LengthenHeader breaks ResponseBytesArrive: "the header of a response counts one element too many";
    LoseRequest breaks NoRequestIsLost: "a request that was received is not handed out";
    LoseResponse breaks NoResponseIsLost: "a response that was received is not handed out";
    RepeatRequest breaks RequestsArriveInOrder: "the previous request is handed out again";
    RepeatResponse breaks ResponsesArriveInOrder: "the previous response is handed out again";
    ForgetUserHeader breaks UserHeaderArrives: "the user header is wiped";
    MistakeOrigin breaks OriginNamesSender: "origin names another port";
    MiscountServers breaks SendReachesEveryServer: "one server more is counted";
    ForgetLoanLimit breaks LoanLimit: "one loan too many is granted";
    RefuseSmallLoan breaks LoanWithinLimitsSucceeds: "a loan that fits is refused";
    RefuseGrowth breaks HintIsOnlyAHint: "a loan beyond the hint is refused";
    GrowStatic breaks StaticRefusesLongerThanHint: "a static port grants a loan beyond its hint";
    LeaveOldBytes breaks LoanSliceIsDefault: "loan_slice leaves what was there";
    MeasureLoanWrongly breaks LoanHasRequestedLength: "a loan is one element too long";
    MisplaceResponse breaks PayloadIsAligned: "a response begins at an odd address";
    HoardSegments breaks UnusedMemoryIsReleased: "segments stay mapped that nobody uses";
    DamageHeldData breaks HeldDataStaysIntact: "held data changes";
    RememberRefusal breaks RefusedLoanChangesNothing: "a refused loan keeps counting";
    ForgetActiveLimit breaks ActiveRequestLimit: "one active request too many is sent";
    HideBorrowLimit breaks BorrowLimit: "exceeding the borrow limit looks like an empty buffer";
    StayActive breaks ActiveRequestConnection: "an active request stays connected";
    StayPending breaks PendingResponseConnection: "a pending response loses its connection";
    SwallowDisconnectHint breaks DisconnectHintArrives: "the disconnect hint does not arrive";
    DenyRequests breaks HasRequestsIsTrue: "has_requests is false";
    DenyResponses breaks HasResponseIsTrue: "has_response is false";
    ForgetClientLimit breaks ClientLimit: "one client too many is created";
    ForgetServerLimit breaks ServerLimit: "one server too many is created";
    ForgetNodeLimit breaks NodeLimit: "one node too many opens the service";
    IgnoreRequirement breaks OpenChecksRequirements: "a requirement is not checked";
    CreateTwice breaks CreateAndOpen: "create succeeds on an existing service";
    MiscountPorts breaks PortCounts: "one client more is counted";
    ChangeSettings breaks SettingsAreKept: "a setting is reported one higher";
}

/// A host that lies.
#[derive(Debug)]
pub struct Saboteur<H> {
    host: H,
    sabotage: Sabotage,
    last_request: Option<Received>,
    last_response: Option<Received>,
    refused: bool,
    audits: usize,
}

impl<H: Host> Saboteur<H> {
    /// Sabotages what `host` observes.
    pub fn new(host: H, sabotage: Sabotage) -> Self {
        Self { host, sabotage, last_request: None, last_response: None, refused: false, audits: 0 }
    }
}

impl<H: Host> Host for Saboteur<H> {
    fn perform(&mut self, participant: Key, action: &Action) -> Result<Observation, HostError> {
        let truth = self.host.perform(participant, action)?;
        Ok(self.falsify(action, truth))
    }

    fn audit(&mut self) -> Result<Vec<Damage>, HostError> {
        let mut damage = self.host.audit()?;
        self.audits += 1;
        if self.sabotage == Sabotage::DamageHeldData && self.audits == 5 {
            damage.extend(false_mismatch(8).map(|mismatch| Damage { holder: Key(1), mismatch }));
        }
        Ok(damage)
    }

    fn mapped_objects(&mut self) -> Result<usize, HostError> {
        let hoarded = if self.sabotage == Sabotage::HoardSegments { 250 } else { 0 };
        Ok(self.host.mapped_objects()? + hoarded)
    }
}

/// How a payload of `len` bytes reads when its last byte is flipped.
fn false_mismatch(len: usize) -> Option<payload::Mismatch> {
    let id = MessageId::new(1);
    let mut bytes = vec![0; len];
    payload::fill(id, &mut bytes);
    *bytes.last_mut()? ^= 1;
    payload::check(id, &bytes).err()
}

impl<H> Saboteur<H> {
    fn falsify(&mut self, action: &Action, truth: Observation) -> Observation {
        use Observation as O;
        use Sabotage as S;
        let is_request = matches!(action, Action::ReceiveRequest { .. });
        let is_response = matches!(action, Action::ReceiveResponse { .. });
        let granted = |len| O::Loaned { len, not_default: None, mismatch: None, misaligned: false };
        let asked = match action {
            Action::LoanRequest { len, .. } | Action::LoanResponse { len, .. } => *len,
            _ => 0,
        };
        let refuses =
            |truth: &O, name: &str| matches!(truth, O::Refused(error) if error.contains(name));
        let out_of_memory = || O::Refused("OutOfMemory".to_owned());
        match (self.sabotage, truth) {
            (S::FlipRequestByte, O::Received(r)) if is_request && r.len > 0 => {
                O::Received(Received { mismatch: false_mismatch(r.len), ..r })
            }
            (S::FlipResponseByte, O::Received(r)) if is_response && r.len > 0 => {
                O::Received(Received { mismatch: false_mismatch(r.len), ..r })
            }
            (S::ShortenRequest, O::Received(r)) if is_request && r.len > 0 => {
                O::Received(Received { len: r.len - 1, ..r })
            }
            (S::LengthenHeader, O::Received(r)) if is_response => {
                O::Received(Received { elements: r.elements + 1, ..r })
            }
            (S::LoseRequest, O::Received(_)) if is_request => O::Nothing,
            (S::LoseResponse, O::Received(_)) if is_response => O::Nothing,
            (S::RepeatRequest, O::Received(r)) if is_request => {
                O::Received(self.last_request.replace(r.clone()).unwrap_or(r))
            }
            (S::RepeatResponse, O::Received(r)) if is_response => {
                O::Received(self.last_response.replace(r.clone()).unwrap_or(r))
            }
            (S::MisplaceResponse, O::Received(r)) if is_response => {
                O::Received(Received { misaligned: true, ..r })
            }
            (S::ForgetUserHeader, O::Received(r)) => O::Received(Received { header: None, ..r }),
            (S::MistakeOrigin, O::Received(r)) => {
                O::Received(Received { origin: super::PortId(1), ..r })
            }
            (S::MiscountServers, O::Sent { servers }) => O::Sent { servers: servers + 1 },
            (S::ForgetLoanLimit, truth) if refuses(&truth, "ExceedsMaxLoans") => granted(asked),
            (S::RefuseSmallLoan, O::Loaned { len: 0 | 1, .. }) => out_of_memory(),
            (S::RefuseGrowth, O::Loaned { len, .. }) if len > 5000 => out_of_memory(),
            (S::GrowStatic, truth) if refuses(&truth, "ExceedsMaxLoanSize") => granted(asked),
            (S::LeaveOldBytes, O::Loaned { len, mismatch, misaligned, .. })
                if len > 0
                    && matches!(
                        action,
                        Action::LoanRequest { form: LoanForm::Default, .. }
                            | Action::LoanResponse { form: LoanForm::Default, .. }
                    ) =>
            {
                O::Loaned { len, not_default: Some(0), mismatch, misaligned }
            }
            (S::MeasureLoanWrongly, O::Loaned { len, .. }) => granted(len + 1),
            (S::RememberRefusal, O::Refused(error)) => {
                self.refused |= asked > 0;
                O::Refused(error)
            }
            (S::RememberRefusal, O::Loaned { .. }) if self.refused => {
                O::Refused("ExceedsMaxLoans".to_owned())
            }
            (S::ForgetActiveLimit, truth) if refuses(&truth, "ExceedsMaxActiveRequests") => {
                O::Sent { servers: 1 }
            }
            (S::HideBorrowLimit, truth) if refuses(&truth, "ExceedsMaxBorrows") => O::Nothing,
            (S::StayActive, O::Active { hint, .. }) => O::Active { connected: true, hint },
            (S::StayPending, O::Pending { has_response, servers, .. }) => {
                O::Pending { connected: false, has_response, servers }
            }
            (S::SwallowDisconnectHint, O::Active { connected, .. }) => {
                O::Active { connected, hint: false }
            }
            (S::DenyRequests, O::Server { .. }) => O::Server { has_requests: false },
            (S::DenyResponses, O::Pending { connected, servers, .. }) => {
                O::Pending { connected, has_response: false, servers }
            }
            (S::ForgetClientLimit, truth) if refuses(&truth, "ExceedsMaxSupportedClients") => {
                O::PortCreated { id: super::PortId(1), hint: 1 }
            }
            (S::ForgetServerLimit, truth) if refuses(&truth, "ExceedsMaxSupportedServers") => {
                O::PortCreated { id: super::PortId(1), hint: 1 }
            }
            (S::ForgetNodeLimit, truth) if refuses(&truth, "ExceedsMaxNumberOfNodes") => O::Done,
            (S::IgnoreRequirement, truth)
                if refuses(&truth, "DoesNotSupport") || refuses(&truth, "Incompatible") =>
            {
                O::Done
            }
            (S::CreateTwice, truth) if refuses(&truth, "AlreadyExists") => O::Done,
            (S::MiscountPorts, O::Service { clients, servers, settings }) => {
                O::Service { clients: clients + 1, servers, settings }
            }
            (S::ChangeSettings, O::Service { clients, servers, mut settings }) => {
                settings.limits[0] += 1;
                O::Service { clients, servers, settings }
            }
            (_, truth) => truth,
        }
    }
}
