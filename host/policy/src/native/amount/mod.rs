//! What the policies about how much have in common: whom they count, and what they tell of it.

mod by;
mod cost;
mod fields;
mod shared;

use crate::{Failure, Verdict};

pub(super) use by::{By, Keys, Missing, NoKey, Part};
pub(super) use cost::Cost;
pub(super) use fields::{Fields, Standing, seconds};
pub(super) use shared::{OnStoreError, Scope, unknown};

/// What a policy answers once it knows.
pub(super) type Decision = Result<Verdict, Failure>;
