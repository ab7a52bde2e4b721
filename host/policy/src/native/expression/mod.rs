//! Conditions and values in CEL, the Common Expression Language (<https://cel.dev>).
//!
//! ```text
//! request.method == "GET" || "orders:write" in consumer.scopes && claims.tenant == request.parameters.tenant
//! ```
//!
//! An expression is parsed, its types are checked and its cost is estimated when the configuration is loaded; what it
//! may take for one request is bounded while it is computed. It sees what [`NAMES`](names::NAMES) lists, and computes with the standard operators and macros (`has`, `all`,
//! `exists`, `exists_one`, `map`, `filter`, `in`, `? :`) and the functions of [`calls`]. There are no times, no
//! optional syntax and no numbers from texts that are none: what can't be computed for a request is an error
//! there, which whoever asks takes as no.

mod calls;
mod check;
mod functions;
mod kind;
mod lookup;
mod meter;
mod names;
mod pattern;
mod template;

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelDouble, CelInt, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, IdedExpr, Value};
use serde::{Deserialize, Deserializer};

pub use self::kind::Type;
#[cfg(test)]
use self::names::NAMES;
pub use self::names::Stage;
pub use self::pattern::Patterns;
pub use self::template::Template;
use crate::Exchange;

/// What can be written into a text.
pub const VALUES: &[Type] = &[Type::Text, Type::Int, Type::Uint, Type::Double, Type::Bool];

/// The longest expression, in bytes.
pub const MAX_TEXT: usize = 4 << 10;

/// What an expression may call. Made once: it is the same for all.
static LIBRARY: LazyLock<Result<Arc<Env>, String>> = LazyLock::new(|| {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    for declare in [functions::declare, pattern::declare, meter::declare] {
        declare(&mut env).map_err(|error| error.to_string())?;
    }
    Ok(Arc::new(env))
});

/// One that is sound: it has been parsed and checked.
#[derive(Debug)]
pub struct Expression {
    text: String,
    root: IdedExpr,
    patterns: Patterns,
}

impl Expression {
    /// Reads an expression of a type that has to be one of `wanted`; an empty list takes any.
    pub fn new(text: &str, stage: Stage, wanted: &[Type]) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("an expression of more than {MAX_TEXT} bytes"));
        }
        check::depth(text)?;
        let program = cel::Program::compile(text).map_err(|errors| {
            let first = errors.errors.first().map(|error| error.msg.clone()).unwrap_or_default();
            format!("not an expression: {first} (in `{text}`)")
        })?;
        let mut root = program.expression().clone();
        let patterns = Patterns::take_from(&mut root)?;
        let found = check::type_of(&root, stage)?;
        if !wanted.is_empty() && found != Type::Dyn && !wanted.contains(&found) {
            let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
            return Err(format!("`{text}` is {found}, and has to be {}", wanted.join(" or ")));
        }
        LIBRARY.as_ref().map_err(Clone::clone)?;
        meter::put_into(&mut root);
        Ok(Expression { text: text.to_owned(), root, patterns })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// Whether it holds; an error says why that can't be told.
    pub fn holds(&self, exchange: &Exchange) -> Result<bool, String> {
        self.with(exchange, |value| match value.downcast_ref::<CelBool>() {
            Some(truth) => Ok(*truth.inner()),
            None => Err(format!("it is {}, not true or false", value.get_type().name())),
        })
    }

    /// Its value as text: numbers and truths as they are written.
    pub fn text(&self, exchange: &Exchange) -> Result<String, String> {
        self.with(exchange, as_text)
    }

    /// The same, and an error that names the expression.
    pub fn told_text(&self, exchange: &Exchange) -> Result<String, String> {
        self.text(exchange).map_err(|error| format!("`{}`: {error}", self.text))
    }

    /// Its value as a number that is not negative; what comes behind the point is cut off.
    pub fn number(&self, exchange: &Exchange) -> Result<u64, String> {
        self.with(exchange, |value| {
            let number = if let Some(int) = value.downcast_ref::<CelInt>() {
                u64::try_from(*int.inner()).ok()
            } else if let Some(uint) = value.downcast_ref::<CelUInt>() {
                Some(*uint.inner())
            } else {
                let double = value.downcast_ref::<CelDouble>().map(|double| *double.inner());
                // What is larger than all numbers becomes the largest.
                double.filter(|double| *double >= 0.0).map(|double| double as u64)
            };
            number.ok_or_else(|| "it is no number from 0".to_owned())
        })
    }

    fn with<T>(
        &self,
        exchange: &Exchange,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Result<T, String> {
        let env = LIBRARY.as_ref().map_err(Clone::clone)?;
        let view = names::View { exchange, patterns: &self.patterns };
        let mut context = Context::with_env(env.clone());
        context.set_variable_resolver(&view);
        meter::start();
        let value = Value::resolve_val(&self.root, &context);
        meter::settle()?;
        let value: CowVal<'_, '_> = value.map_err(|error| error.to_string())?;
        read(value.as_ref())
    }
}

fn as_text(value: &dyn Val) -> Result<String, String> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(text.inner().to_owned());
    }
    if let Some(int) = value.downcast_ref::<CelInt>() {
        return Ok(int.inner().to_string());
    }
    if let Some(uint) = value.downcast_ref::<CelUInt>() {
        return Ok(uint.inner().to_string());
    }
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Ok(truth.inner().to_string());
    }
    match value.downcast_ref::<CelDouble>() {
        Some(double) => Ok(double.inner().to_string()),
        None => Err(format!("a {} is no text", value.get_type().name())),
    }
}

/// A condition over the request, in settings.
#[derive(Debug)]
pub struct Condition(pub Expression);

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Expression::new(&text, Stage::Request, &[Type::Bool]).map(Condition).map_err(serde::de::Error::custom)
    }
}

/// A value over the request that is text, in settings.
#[derive(Clone, Debug)]
pub struct Text(pub Arc<Expression>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = Expression::new(&text, Stage::Request, VALUES);
        read.map(|expression| Text(Arc::new(expression))).map_err(serde::de::Error::custom)
    }
}

/// They are the same if they are written alike.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Text {}

#[cfg(test)]
mod tests;
