//! What operators and functions take, and what they answer.

use cel::common::ast::operators;
use limen_config::did_you_mean;

use super::kind::Type;
use super::pattern::MATCHES;

/// The functions there are: their name, whether they are asked of a value (`text.contains("a")`), what they
/// take and what they answer.
const FUNCTIONS: &[(&str, bool, &[Type], Type)] = &[
    ("contains", true, &[Type::Text, Type::Text], Type::Bool),
    ("startsWith", true, &[Type::Text, Type::Text], Type::Bool),
    ("endsWith", true, &[Type::Text, Type::Text], Type::Bool),
    (MATCHES, false, &[Type::Text, Type::Pattern], Type::Bool),
    ("lowerAscii", true, &[Type::Text], Type::Text),
    ("upperAscii", true, &[Type::Text], Type::Text),
    ("trim", true, &[Type::Text], Type::Text),
    ("substring", true, &[Type::Text, Type::Int], Type::Text),
    ("substring", true, &[Type::Text, Type::Int, Type::Int], Type::Text),
    ("indexOf", true, &[Type::Text, Type::Text], Type::Int),
    ("split", true, &[Type::Text, Type::Text], Type::List),
    ("size", true, &[Type::Text], Type::Int),
    ("size", true, &[Type::List], Type::Int),
    ("size", false, &[Type::Text], Type::Int),
    ("size", false, &[Type::List], Type::Int),
    ("size", false, &[Type::Map], Type::Int),
    ("int", false, &[Type::Text], Type::Int),
    ("int", false, &[Type::Double], Type::Int),
    ("int", false, &[Type::Uint], Type::Int),
    ("uint", false, &[Type::Text], Type::Uint),
    ("uint", false, &[Type::Int], Type::Uint),
    ("double", false, &[Type::Text], Type::Double),
    ("double", false, &[Type::Int], Type::Double),
    ("string", false, &[Type::Int], Type::Text),
    ("string", false, &[Type::Uint], Type::Text),
    ("string", false, &[Type::Double], Type::Text),
    ("string", false, &[Type::Bool], Type::Text),
    ("string", false, &[Type::Text], Type::Text),
];

/// The names of the functions, as they are written.
#[cfg(test)]
pub(super) fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, ..)| shown(name))
}

/// Whether what a function or an operator answers may be a text, a list or a map.
pub(super) fn answers_more_than_a_number(name: &str) -> bool {
    let mut of_that_name = FUNCTIONS.iter().filter(|(known, ..)| *known == name);
    matches!(name, operators::ADD | operators::INDEX)
        || of_that_name.any(|(.., answers)| matches!(answers, Type::Text | Type::List))
}

/// What a call answers, or why it makes no sense.
pub(super) fn type_of(name: &str, is_asked_of: bool, types: &[Type]) -> Result<Type, String> {
    let wrong = |wants: &str| {
        let found: Vec<_> = types.iter().map(ToString::to_string).collect();
        Err(format!("`{}` of {}: it wants {wants}", shown(name), found.join(" and ")))
    };
    let are = |kind: Type| types.iter().all(|found| found.fits(kind));
    match (name, types) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, _) => {
            if are(Type::Bool) {
                Ok(Type::Bool)
            } else {
                wrong("true or false")
            }
        }
        (operators::NOT_STRICTLY_FALSE, _) => Ok(Type::Bool),
        (operators::CONDITIONAL, [condition, yes, no]) => match () {
            () if !condition.fits(Type::Bool) => wrong("true or false before its `?`"),
            () if yes == no => Ok(*yes),
            () => Ok(Type::Dyn),
        },
        (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
            if left.compares(*right) {
                Ok(Type::Bool)
            } else {
                wrong("two of a kind")
            }
        }
        (
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
            [left, right],
        ) => {
            let ordered = |kind: &Type| {
                kind.is_number() || matches!(kind, Type::Text | Type::Bytes | Type::Bool | Type::Dyn)
            };
            let is_right = ordered(left) && ordered(right) && left.compares(*right);
            if is_right { Ok(Type::Bool) } else { wrong("two numbers or two texts") }
        }
        (operators::ADD, [left, right]) => {
            let can = |kind: &Type| {
                kind.is_number() || matches!(kind, Type::Text | Type::Bytes | Type::List | Type::Dyn)
            };
            let is_right = can(left) && can(right) && (left.fits(*right) || right.fits(*left));
            if is_right {
                Ok(if *left == Type::Dyn { *right } else { *left })
            } else {
                wrong("two numbers, texts or lists of a kind")
            }
        }
        (
            operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
            [left, right],
        ) => {
            let can = |kind: &Type| kind.is_number() || *kind == Type::Dyn;
            let is_right = can(left) && can(right) && left.fits(*right);
            if is_right {
                Ok(if *left == Type::Dyn { *right } else { *left })
            } else {
                wrong("two numbers of a kind")
            }
        }
        (operators::NEGATE, [only]) => {
            if matches!(only, Type::Int | Type::Double | Type::Dyn) {
                Ok(*only)
            } else {
                wrong("a number")
            }
        }
        (operators::IN, [_, container]) => match container {
            Type::List | Type::Texts | Type::Map | Type::Dyn => Ok(Type::Bool),
            _ => wrong("a list or a map at its right"),
        },
        (operators::INDEX, [container, index]) => match container {
            Type::Texts if index.fits(Type::Text) => Ok(Type::Text),
            Type::List if index.fits(Type::Int) => Ok(Type::Dyn),
            Type::Map | Type::Dyn => Ok(Type::Dyn),
            _ => wrong("a list and a number, or a map and a name"),
        },
        _ => function(name, is_asked_of, types).map_or_else(|| wrong_function(name, &wrong), Ok),
    }
}

fn function(name: &str, is_asked_of: bool, types: &[Type]) -> Option<Type> {
    let fits = |takes: &[Type]| {
        takes.len() == types.len() && types.iter().zip(takes).all(|(found, takes)| found.fits(*takes))
    };
    let named = FUNCTIONS.iter().filter(|(known, asked, ..)| *known == name && *asked == is_asked_of);
    named.into_iter().find(|(_, _, takes, _)| fits(takes)).map(|(.., answers)| *answers)
}

fn wrong_function(name: &str, wrong: &impl Fn(&str) -> Result<Type, String>) -> Result<Type, String> {
    let takes =
        FUNCTIONS.iter().filter(|(known, ..)| *known == name).map(|(known, is_asked_of, takes, _)| {
            let mut takes: Vec<_> = takes.iter().map(ToString::to_string).collect();
            if *is_asked_of && !takes.is_empty() {
                let of = takes.remove(0);
                return format!("({of}).{}({})", shown(known), takes.join(", "));
            }
            format!("{}({})", shown(known), takes.join(", "))
        });
    let takes: Vec<_> = takes.collect();
    if takes.is_empty() {
        let hint = did_you_mean(name, FUNCTIONS.iter().map(|(known, ..)| shown(known)));
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        return Err(format!("there is no function `{name}`{hint}"));
    }
    wrong(&takes.join(" or "))
}

/// An operator as it is written.
fn shown(name: &str) -> &str {
    match name {
        operators::INDEX => "[...]",
        operators::IN => "in",
        operators::CONDITIONAL => "? :",
        name => name.trim_matches(['_', '@']),
    }
}
