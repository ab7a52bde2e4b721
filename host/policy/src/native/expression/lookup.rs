//! Maps that are looked up in the exchange, and never made.

use std::borrow::Cow;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer};
use cel::common::types::{CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use http::HeaderMap;
use http::header::COOKIE;

use super::meter;
use crate::Exchange;

/// Texts of an exchange by their names.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'e> {
    pub(super) exchange: &'e Exchange,
    pub(super) of: Of,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    RequestHeaders,
    ResponseHeaders,
    Cookies,
    Arguments,
    Parameters,
    Attributes,
}

impl<'e> Lookup<'e> {
    /// What it is, as long as it can be paid for.
    fn find(&self, name: &str) -> Option<Cow<'e, str>> {
        let exchange = self.exchange;
        let searched = match self.of {
            Of::Arguments => exchange.request.uri().query().map_or(0, str::len),
            Of::Cookies => exchange.request.headers().get_all(COOKIE).iter().map(|value| value.len()).sum(),
            _ => 0,
        };
        meter::spend(meter::steps(searched)).ok()?;
        let found = match self.of {
            Of::RequestHeaders => header(exchange.request.headers(), name),
            Of::ResponseHeaders => header(exchange.response.headers(), name),
            Of::Cookies => exchange.cookie(name).map(Cow::Borrowed),
            Of::Arguments => exchange.query_parameter(name),
            Of::Parameters => exchange.path_parameter(name),
            Of::Attributes => exchange.consumer.as_ref()?.attribute(name).map(Cow::Borrowed),
        }?;
        meter::spend(meter::steps(found.len())).ok()?;
        Some(found)
    }
}

/// All values of a name, as one (RFC 9110, section 5.3). What is no text is not there.
fn header<'e>(headers: &'e HeaderMap, name: &str) -> Option<Cow<'e, str>> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
    let mut joined = format!("{first}, {second}");
    for value in values {
        joined.push_str(", ");
        joined.push_str(value);
    }
    Some(Cow::Owned(joined))
}

/// Headers may hold secrets.
impl std::fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.of.fmt(f)
    }
}

impl Val for Lookup<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Container for Lookup<'_> {
    fn contains(&self, name: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(name.downcast_ref::<CelString>().is_some_and(|name| self.find(name.inner()).is_some()))
    }
}

impl Indexer for Lookup<'_> {
    fn get<'b, 'v>(&'b self, name: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = name.downcast_ref::<CelString>().map(CelString::inner).unwrap_or_default();
        match self.find(name) {
            Some(found) => Ok(CowVal::owned(CelString::from(found.into_owned()))),
            None => Err(ExecutionError::no_such_key(name)),
        }
    }

    fn steal<'v>(self: Box<Self>, name: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(self.get(name)?.into_owned())
    }
}
