//! How much a request takes.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::native::expression::{Expression, Stage, Type};
use crate::native::settings::{Name, SettingsError};
use crate::{Exchange, Side};

const MAX_COST: u64 = 1_000_000;

/// What a request takes.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number from 1 to 1000000, { header = \"NAME\" } or { expression = \"...\" }"
)]
pub(in crate::native) enum Cost {
    Fixed(u64),
    Told { header: Name },
    Computed { expression: Number },
}

/// An expression that is a number.
#[derive(Debug)]
pub(in crate::native) struct Number(Expression);

impl Default for Cost {
    fn default() -> Self {
        Cost::Fixed(1)
    }
}

impl Cost {
    pub(in crate::native) fn check(self) -> Result<Self, SettingsError> {
        match self {
            Cost::Fixed(cost) if !(1..=MAX_COST).contains(&cost) => {
                Err(SettingsError::new("/cost", format!("expected a number from 1 to {MAX_COST}")))
            }
            cost => Ok(cost),
        }
    }

    /// What each request takes at least.
    pub(in crate::native) fn least(&self) -> u64 {
        match self {
            Cost::Fixed(cost) => *cost,
            Cost::Told { .. } | Cost::Computed { .. } => 1,
        }
    }

    pub(in crate::native) fn of(&self, exchange: &Exchange) -> u64 {
        match self {
            Cost::Fixed(cost) => *cost,
            Cost::Told { header: Name(name) } => {
                let told = exchange.headers(Side::Request).get(name).and_then(|value| value.to_str().ok());
                bounded(told.and_then(number))
            }
            Cost::Computed { expression: Number(expression) } => bounded(expression.number(exchange).ok()),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wanted = [Type::Int, Type::Uint, Type::Double];
        Expression::new(&text, Stage::Request, &wanted).map(Number).map_err(D::Error::custom)
    }
}

/// What digits say; more than any number is the largest one.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Who asks for more never pays less.
fn bounded(told: Option<u64>) -> u64 {
    told.map_or(1, |cost| cost.clamp(1, MAX_COST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn more_never_costs_less() {
        let told: Cost = serde_json::from_value(json!({ "header": "x-cost" })).unwrap();
        let computed = json!({ "expression": "double(request.headers['x-cost']) * 1.0" });
        let computed: Cost = serde_json::from_value(computed).unwrap();
        for (text, cost) in [
            ("7", 7),
            ("0", 1),
            ("-1", 1),
            ("x", 1),
            ("", 1),
            ("1000000", MAX_COST),
            ("1000001", MAX_COST),
            ("99999999999999999999999999", MAX_COST),
        ] {
            let mut exchange = Exchange::default();
            exchange.request.headers_mut().insert("x-cost", text.parse().unwrap());
            assert_eq!(told.of(&exchange), cost, "{text:?} in a header");
            assert_eq!(computed.of(&exchange), cost, "{text:?} in an expression");
        }
    }
}
