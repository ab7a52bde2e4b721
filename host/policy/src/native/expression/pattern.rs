//! `text.matches("^[a-z]+$")`: patterns are compiled when the configuration is loaded.

use std::any::Any;

use cel::common::ast::{CallExpr, Expr, LiteralValue};
use cel::common::types::{CelBool, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError, IdedExpr};
use regex::{Regex, RegexBuilder};

use super::check::children;
use super::meter;

/// What a call of `matches` becomes: of a text and a compiled pattern.
pub(super) const MATCHES: &str = "@matches";
const NAME: &str = "@pattern";
/// The most memory that a compiled pattern may take, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// How many bytes of a text are searched in a step.
const BYTES: usize = 8;

static PATTERN_TYPE: Type = Type::new_unspecified_type(NAME);

/// The patterns of one expression.
#[derive(Debug, Default)]
pub struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug)]
struct Pattern(Regex);

impl Patterns {
    /// Compiles the patterns in an expression, and puts their names in their places.
    pub(super) fn take_from(root: &mut IdedExpr) -> Result<Self, String> {
        let mut patterns = Patterns::default();
        patterns.walk(root)?;
        Ok(patterns)
    }

    fn walk(&mut self, node: &mut IdedExpr) -> Result<(), String> {
        for child in children(node) {
            self.walk(child)?;
        }
        let Expr::Call(call) = &mut node.expr else { return Ok(()) };
        if call.func_name != "matches" {
            return Ok(());
        }
        let (subject, pattern) = match (call.target.take(), call.args.as_mut_slice()) {
            (Some(subject), [pattern]) => (*subject, pattern),
            (None, [subject, pattern]) => (std::mem::take(subject), pattern),
            _ => return Err("`matches` takes a text and a pattern: `text.matches(\"^a\")`".to_owned()),
        };
        let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
            return Err(
                "a pattern has to stand in the expression as it is: `text.matches(\"^a\")`".to_owned()
            );
        };
        let regex = RegexBuilder::new(text.inner()).size_limit(MAX_COMPILED).build();
        let regex = regex.map_err(|error| format!("the pattern `{}`: {error}", text.inner()))?;
        let name = IdedExpr { id: pattern.id, expr: Expr::Ident(format!("{NAME}{}", self.0.len())) };
        self.0.push(Pattern(regex));
        let args = vec![subject, name];
        node.expr = Expr::Call(CallExpr { func_name: MATCHES.to_owned(), target: None, args });
        Ok(())
    }

    /// The pattern of that name, which only expressions that were walked have.
    pub(super) fn named(&self, name: &str) -> Option<&dyn Val> {
        let number: usize = name.strip_prefix(NAME)?.parse().ok()?;
        self.0.get(number).map(|pattern| pattern as &dyn Val)
    }

    pub(super) fn is_name(name: &str) -> bool {
        name.starts_with(NAME)
    }
}

/// Makes the call known to the interpreter.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(MATCHES, "matches_pattern", vec![STRING_TYPE, PATTERN_TYPE.to_owned()], |args| {
        let text = args.first().and_then(|text| text.downcast_ref::<CelString>());
        let pattern = args.get(1).and_then(|pattern| pattern.downcast_ref::<Pattern>());
        match (text, pattern) {
            (Some(text), Some(Pattern(regex))) => {
                meter::spend(text.inner().len() / BYTES)?;
                Ok(CowVal::owned(CelBool::from(regex.is_match(text.inner()))))
            }
            _ => Err(ExecutionError::function_error("matches", "it is of no text")),
        }
    })
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
