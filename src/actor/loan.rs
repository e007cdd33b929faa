//! How messages are loaned and written, and what the loans turn out to be.

use std::fmt::Debug;

use super::{
    Observation,
    element::{Element, Header as _},
    message::{Payload, is_misaligned},
};
use crate::{
    model::SHORTEST_IMPOSSIBLE,
    payload::{self, MessageId},
    scenario::LoanForm,
};

/// What a loan is to look like.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Whose bytes to write.
    pub id: MessageId,
    /// In elements.
    pub len: usize,
    /// How to loan and write.
    pub form: LoanForm,
    /// Of the first byte of the payload.
    pub alignment: usize,
}

/// What a loan turned out to be, and the loan if it can be used.
pub type Loan<T> = (Option<T>, Observation);

pub(super) fn refused<T>(error: impl Debug) -> Loan<T> {
    (None, Observation::Refused(format!("{error:?}")))
}

/// A loan of another length than asked for, or of one no machine has, is not touched: the
/// observation says what was wrong with it, and nothing is kept.
pub(super) fn is_sane(len: usize, wanted: Wanted) -> bool {
    len == wanted.len && len < SHORTEST_IMPOSSIBLE
}

pub(super) fn insane<T>(len: usize) -> Loan<T> {
    let observation = Observation::Loaned {
        len,
        not_default: None,
        mismatch: None,
        misaligned: false,
        used_header: false,
    };
    (None, observation)
}

/// A written loan as it reads back, with the identity in its user header as well.
pub(super) fn written<P: Payload + ?Sized, T>(
    mut loan: T,
    payload: impl Fn(&T) -> &P,
    header: impl Fn(&mut T) -> &mut P::Header,
    not_default: Option<usize>,
    wanted: Wanted,
) -> Loan<T> {
    let before = std::mem::replace(header(&mut loan), P::Header::seal(wanted.id));
    let read = payload(&loan);
    let observation = Observation::Loaned {
        len: read.elements(),
        not_default,
        mismatch: payload::check(wanted.id, read.bytes()).err(),
        misaligned: is_misaligned(read, wanted.alignment),
        used_header: before != P::Header::default(),
    };
    (Some(loan), observation)
}

/// Writes over what must be all default and reports the first element that is not.
pub(super) fn overwrite<P: Payload + ?Sized>(payload: &mut P, id: MessageId) -> Option<usize> {
    let not_default = payload.first_not_default();
    payload::fill(id, payload.bytes_mut());
    not_default
}

/// Element `index` of a message.
pub(super) fn element<E: Element>(id: MessageId, index: usize) -> E {
    let mut element = E::zeroed();
    let size = size_of::<E>();
    for (i, byte) in bytemuck::bytes_of_mut(&mut element).iter_mut().enumerate() {
        *byte = payload::byte_at(id, index * size + i);
    }
    element
}

/// The first elements of a message.
pub(super) fn elements<E: Element>(id: MessageId, len: usize) -> Vec<E> {
    let mut elements = vec![E::zeroed(); len];
    payload::fill(id, bytemuck::cast_slice_mut(&mut elements));
    elements
}

/// Loans a slice as the form demands. Requests and responses have the same methods and
/// no trait in common.
macro_rules! loan_slice {
    ($from:expr, $wanted:expr, $read:path) => {{
        let wanted: loan::Wanted = $wanted;
        match wanted.form {
            LoanForm::Default => match $from.loan_slice(wanted.len) {
                Err(error) => loan::refused(error),
                Ok(mut loan) => {
                    let len = loan.payload().len();
                    if !loan::is_sane(len, wanted) {
                        return loan::insane(len);
                    }
                    let not_default = loan::overwrite(loan.payload_mut(), wanted.id);
                    loan::written(loan, $read, |loan| loan.user_header_mut(), not_default, wanted)
                }
            },
            LoanForm::WriteFromFn | LoanForm::WriteFromSlice | LoanForm::AfterUnwritten => {
                let unwritten = wanted.form == LoanForm::AfterUnwritten;
                let first = unwritten.then(|| $from.loan_slice_uninit(wanted.len).map(drop));
                if let Some(Err(error)) = first {
                    return loan::refused(error);
                }
                match $from.loan_slice_uninit(wanted.len) {
                    Err(error) => loan::refused(error),
                    Ok(loan) => {
                        let len = loan.payload().len();
                        if !loan::is_sane(len, wanted) {
                            return loan::insane(len);
                        }
                        let loan = if wanted.form == LoanForm::WriteFromFn {
                            loan.write_from_fn(|index| loan::element(wanted.id, index))
                        } else {
                            loan.write_from_slice(&loan::elements(wanted.id, len))
                        };
                        loan::written(loan, $read, |loan| loan.user_header_mut(), None, wanted)
                    }
                }
            }
        }
    }};
}

pub(super) use loan_slice;

/// Loans a single value as the form demands.
macro_rules! loan_value {
    ($from:expr, $wanted:expr, $read:path) => {{
        let wanted: loan::Wanted = $wanted;
        match wanted.form {
            LoanForm::Default => match $from.loan() {
                Err(error) => loan::refused(error),
                Ok(mut loan) => {
                    let not_default = loan::overwrite(loan.payload_mut(), wanted.id);
                    loan::written(loan, $read, |loan| loan.user_header_mut(), not_default, wanted)
                }
            },
            LoanForm::WriteFromFn | LoanForm::WriteFromSlice | LoanForm::AfterUnwritten => {
                let unwritten = wanted.form == LoanForm::AfterUnwritten;
                if let Some(Err(error)) = unwritten.then(|| $from.loan_uninit().map(drop)) {
                    return loan::refused(error);
                }
                match $from.loan_uninit() {
                    Err(error) => loan::refused(error),
                    Ok(loan) => {
                        let loan = loan.write_payload(loan::element(wanted.id, 0));
                        loan::written(loan, $read, |loan| loan.user_header_mut(), None, wanted)
                    }
                }
            }
        }
    }};
}

pub(super) use loan_value;
