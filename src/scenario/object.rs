//! The objects steps are about.

use super::{Nth, Step};

/// What a step names by its index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Participant,
    Client,
    Server,
    LoanedRequest,
    Pending,
    Active,
    LoanedResponse,
    Response,
}

/// The object a step makes.
pub(super) fn made_by(step: &Step) -> Option<Object> {
    match step {
        Step::Join { .. } => Some(Object::Participant),
        Step::CreateClient { .. } => Some(Object::Client),
        Step::CreateServer { .. } => Some(Object::Server),
        Step::LoanRequest { .. } => Some(Object::LoanedRequest),
        Step::SendRequest { .. } => Some(Object::Pending),
        Step::ReceiveRequest { .. } => Some(Object::Active),
        Step::LoanResponse { .. } => Some(Object::LoanedResponse),
        Step::ReceiveResponse { .. } => Some(Object::Response),
        _ => None,
    }
}

impl Step {
    /// The object it is about, and the index by which it names that.
    pub(crate) fn names(&mut self) -> Option<(Object, &mut Nth)> {
        match self {
            Self::Join { .. }
            | Self::KillAmid { .. }
            | Self::HoldAmid { .. }
            | Self::RunShort { .. }
            | Self::CleanUp { .. } => None,
            Self::Leave { participant: index }
            | Self::Kill { participant: index, .. }
            | Self::Die { participant: index }
            | Self::CreateClient { participant: index, .. }
            | Self::CreateServer { participant: index, .. }
            | Self::InspectService { participant: index } => Some((Object::Participant, index)),
            Self::DropClient { client: index }
            | Self::LoanRequest { client: index, .. }
            | Self::UpdateClient { client: index } => Some((Object::Client, index)),
            Self::DropServer { server: index }
            | Self::ReceiveRequest { server: index }
            | Self::InspectServer { server: index }
            | Self::UpdateServer { server: index } => Some((Object::Server, index)),
            Self::SendRequest { request: index } | Self::DropRequest { request: index } => {
                Some((Object::LoanedRequest, index))
            }
            Self::ReceiveResponse { pending: index }
            | Self::DropPending { pending: index }
            | Self::InspectPending { pending: index }
            | Self::HintDisconnect { pending: index } => Some((Object::Pending, index)),
            Self::LoanResponse { active: index, .. }
            | Self::DropActive { active: index }
            | Self::InspectActive { active: index } => Some((Object::Active, index)),
            Self::SendResponse { response: index }
            | Self::DropLoanedResponse { response: index } => Some((Object::LoanedResponse, index)),
            Self::DropResponse { response: index } => Some((Object::Response, index)),
        }
    }
}
