//! Functions of texts that are not in the interpreter's standard library: those of `ext.Strings` of cel-go that there
//! are, none of which takes longer than in proportion to its texts.

use cel::common::types::{CelInt, CelList, CelString};
use cel::common::value::Val;
use cel::{DeclarationError, Env, ExecutionError};

use super::meter;

/// Makes them known to the interpreter.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_member_overload!(env, fn lower_ascii: (CelString) -> CelString)?;
    cel::add_member_overload!(env, fn upper_ascii: (CelString) -> CelString)?;
    cel::add_member_overload!(env, fn trim: (CelString) -> CelString)?;
    cel::add_member_overload!(env, fn substring: (CelString, CelInt) -> Result<CelString>)?;
    cel::add_member_overload!(env, fn substring_to: (CelString, CelInt, CelInt) -> Result<CelString>,
        name = "substring")?;
    cel::add_member_overload!(env, fn index_of: (CelString, CelString) -> CelInt)?;
    cel::add_member_overload!(env, fn split: (CelString, CelString) -> Result<CelList>)?;
    Ok(())
}

fn lower_ascii(text: &CelString<'_>) -> CelString<'static> {
    text.inner().to_ascii_lowercase().into()
}

fn upper_ascii(text: &CelString<'_>) -> CelString<'static> {
    text.inner().to_ascii_uppercase().into()
}

fn trim(text: &CelString<'_>) -> CelString<'static> {
    text.inner().trim().to_owned().into()
}

fn substring(text: &CelString<'_>, from: &CelInt) -> Result<CelString<'static>, ExecutionError> {
    let text = text.inner();
    Ok(text.get(place(text, from)?..).unwrap_or_default().to_owned().into())
}

fn substring_to(
    text: &CelString<'_>,
    from: &CelInt,
    to: &CelInt,
) -> Result<CelString<'static>, ExecutionError> {
    let text = text.inner();
    match text.get(place(text, from)?..place(text, to)?) {
        Some(found) => Ok(found.to_owned().into()),
        None => Err(ExecutionError::function_error("substring", "it ends before it begins")),
    }
}

/// Where in a text its so manieth character is; or its end, behind the last.
fn place(text: &str, character: &CelInt) -> Result<usize, ExecutionError> {
    let number = *character.inner();
    let mut places = text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len()));
    let found = usize::try_from(number).ok().and_then(|number| places.nth(number));
    found.ok_or_else(|| ExecutionError::function_error("substring", format!("index out of range: {number}")))
}

/// In characters; -1 if it is not in there.
fn index_of(text: &CelString<'_>, what: &CelString<'_>) -> CelInt {
    let text = text.inner();
    let before = text.find(what.inner()).and_then(|at| text.get(..at));
    before.and_then(|before| i64::try_from(before.chars().count()).ok()).unwrap_or(-1).into()
}

/// By its characters, if there is nothing to split by. Its parts are paid for before there are too many.
fn split(text: &CelString<'_>, by: &CelString<'_>) -> Result<CelList<'static>, ExecutionError> {
    let mut parts: Vec<Box<dyn Val>> = Vec::new();
    let mut add = |part: &str| {
        meter::spend(2)?;
        parts.push(Box::new(CelString::from(part.to_owned())));
        Ok::<_, ExecutionError>(())
    };
    match by.inner() {
        "" => text.inner().char_indices().try_for_each(|(at, character)| {
            add(text.inner().get(at..at + character.len_utf8()).unwrap_or_default())
        })?,
        by => text.inner().split(by).try_for_each(add)?,
    }
    Ok(parts.into())
}
