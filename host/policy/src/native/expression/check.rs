//! What an expression is of, and what it may cost, before it is ever computed.

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use limen_config::did_you_mean;

use super::calls;
use super::kind::Type;
use super::meter::MAX_STEPS;
use super::names::{NAMES, Name, Stage};
use super::pattern::Patterns;

/// The deepest nesting. An expression takes a step for each of its parts, as often as a macro goes through them. A list or map of the request counts as one of a hundred; for one that is longer, the meter
/// counts again.
const MAX_DEPTH: usize = 48;
const USUAL_LENGTH: u64 = 100;

/// Whether brackets are nested no deeper than may be: asked before a parser goes down there.
pub(super) fn depth(text: &str) -> Result<(), String> {
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!("an expression nested deeper than {MAX_DEPTH}"));
        }
    }
    Ok(())
}

/// The parts of a node, in no order of meaning.
pub(super) fn children(node: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut node.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).collect(),
        Expr::Comprehension(it) => {
            vec![&mut it.iter_range, &mut it.accu_init, &mut it.loop_cond, &mut it.loop_step, &mut it.result]
        }
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => entries(&mut map.entries),
        Expr::Struct(it) => entries(&mut it.entries),
        Expr::Select(select) => vec![&mut select.operand],
    }
}

fn entries(entries: &mut [cel::common::ast::IdedEntryExpr]) -> Vec<&mut IdedExpr> {
    let parts = entries.iter_mut().flat_map(|entry| match &mut entry.expr {
        EntryExpr::StructField(field) => vec![&mut field.value],
        EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
    });
    parts.collect()
}

/// What an expression is of, if it makes sense and costs no more than it may.
pub(super) fn type_of(root: &IdedExpr, stage: Stage) -> Result<Type, String> {
    let mut checker = Checker { stage, scope: Vec::new(), steps: 0, times: 1, depth: 0 };
    checker.check(root)
}

struct Checker<'a> {
    stage: Stage,
    /// The variables of macros, innermost last.
    scope: Vec<(&'a str, Type)>,
    steps: u64,
    /// How often what is being looked at is computed.
    times: u64,
    depth: usize,
}

impl<'a> Checker<'a> {
    fn check(&mut self, node: &'a IdedExpr) -> Result<Type, String> {
        self.steps = self.steps.saturating_add(self.times);
        if self.steps > MAX_STEPS as u64 {
            return Err("it may take too long: macros go through lists within lists".to_owned());
        }
        self.depth += 1;
        if self.depth > 2 * MAX_DEPTH {
            return Err("an expression nested too deep".to_owned());
        }
        let found = self.look(node);
        self.depth -= 1;
        found
    }

    fn look(&mut self, node: &'a IdedExpr) -> Result<Type, String> {
        if let Some(path) = path(node) {
            return self.name(&path);
        }
        match &node.expr {
            Expr::Unspecified => Err("a part of it is missing".to_owned()),
            Expr::Ident(name) => self.name(&[name]), // not reached: it is a path
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Bytes(_) => Type::Bytes,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::Int(_) => Type::Int,
                LiteralValue::Null => Type::Null,
                LiteralValue::String(_) => Type::Text,
                LiteralValue::UInt(_) => Type::Uint,
            }),
            Expr::List(list) => {
                list.elements.iter().try_for_each(|element| self.check(element).map(drop))?;
                Ok(Type::List)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.check(&entry.key)?;
                        self.check(&entry.value)?;
                    }
                }
                Ok(Type::Map)
            }
            Expr::Struct(it) => Err(format!("there is no type `{}` to make one of", it.type_name)),
            Expr::Select(select) => match self.check(&select.operand)? {
                Type::Texts if !select.test => Ok(Type::Text),
                Type::Texts | Type::Map | Type::Dyn if select.test => Ok(Type::Bool),
                Type::Map | Type::Dyn => Ok(Type::Dyn),
                other => Err(format!("`.{}` of {other}, which has no parts", select.field)),
            },
            Expr::Comprehension(it) => self.comprehension(it),
            Expr::Call(call) => {
                let target = call.target.as_deref().map(|target| self.check(target)).transpose()?;
                let mut types: Vec<Type> = target.into_iter().collect();
                for argument in &call.args {
                    types.push(self.check(argument)?);
                }
                let found = calls::type_of(&call.func_name, target.is_some(), &types)?;
                // A list that is made or searched takes as many steps as it is long.
                let length = match (&*call.func_name, types.last(), call.args.last()) {
                    (operators::IN, Some(Type::List | Type::Dyn), Some(list)) => length(list),
                    ("split", ..) => USUAL_LENGTH,
                    _ => 0,
                };
                self.steps = self.steps.saturating_add(self.times.saturating_mul(length));
                Ok(found)
            }
        }
    }

    fn name(&self, path: &[&str]) -> Result<Type, String> {
        let first = path.first().copied().unwrap_or_default();
        let own = self.scope.iter().rev().find(|(name, _)| *name == first);
        if let Some((_, kind)) = own {
            return parts(*kind, path.get(1..).unwrap_or_default());
        }
        if Patterns::is_name(first) {
            return Ok(Type::Pattern);
        }
        let whole = path.join(".");
        let known = |name: &&Name| {
            whole == name.path || whole.strip_prefix(name.path).is_some_and(|rest| rest.starts_with('.'))
        };
        match NAMES.iter().find(known) {
            Some(name) if name.path.starts_with("response.") && self.stage == Stage::Request => {
                Err(format!("`{whole}`: there is no response yet"))
            }
            Some(name) => parts(name.kind, path.get(name.path.split('.').count()..).unwrap_or_default()),
            None => {
                let hint = did_you_mean(&whole, NAMES.iter().map(|name| name.path));
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                Err(format!("there is no `{whole}`{hint}"))
            }
        }
    }

    fn comprehension(&mut self, it: &'a ComprehensionExpr) -> Result<Type, String> {
        let element = match self.check(&it.iter_range)? {
            Type::List | Type::Dyn | Type::Map => Type::Dyn,
            other => return Err(format!("a macro goes through a list, and this is {other}")),
        };
        let length = length(&it.iter_range);
        let accumulated = self.check(&it.accu_init)?;
        let before = (self.scope.len(), self.times);
        self.scope.push((&it.accu_var, accumulated));
        self.times = self.times.saturating_mul(length);
        self.scope.push((&it.iter_var, element));
        self.scope.extend(it.iter_var2.as_deref().map(|name| (name, Type::Dyn)));
        self.check(&it.loop_cond)?;
        self.check(&it.loop_step)?;
        self.times = before.1;
        self.scope.truncate(before.0 + 1);
        let found = self.check(&it.result);
        self.scope.truncate(before.0);
        found
    }
}

/// How long a list or a map may usually be.
fn length(node: &IdedExpr) -> u64 {
    match &node.expr {
        Expr::List(list) => list.elements.len() as u64,
        Expr::Map(map) => map.entries.len() as u64,
        _ => USUAL_LENGTH,
    }
}

/// A name with dots, as its segments.
pub(super) fn path(node: &IdedExpr) -> Option<Vec<&str>> {
    match &node.expr {
        Expr::Ident(name) => Some(vec![name]),
        Expr::Select(select) if !select.test => {
            let mut path = path(&select.operand)?;
            path.push(&select.field);
            Some(path)
        }
        _ => None,
    }
}

/// What stands at the end of `.a.b` of a value.
fn parts(kind: Type, path: &[&str]) -> Result<Type, String> {
    match (kind, path) {
        (kind, []) => Ok(kind),
        (Type::Texts, [_]) => Ok(Type::Text),
        (Type::Dyn | Type::Map, _) => Ok(Type::Dyn),
        (Type::Texts, [_, part, ..]) => Err(format!("`.{part}` of a text, which has no parts")),
        (other, [part, ..]) => Err(format!("`.{part}` of {other}, which has no parts")),
    }
}
