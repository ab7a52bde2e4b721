//! What an expression may cost while it is computed.
//!
//! What the check at load counts is what stands there; how long a text or a list is, the client says. So all that is
//! computed is paid for, in steps, where it comes from and by its size: names by those who look them up, what functions
//! answer and what macros hold by a call that is put around them here, and a list, before a macro goes through it, as
//! often as the parts of its body will be computed. As no operator takes longer than in proportion to what it is given,
//! what may be spent bounds the whole. Once it is spent, no name has a value any more.

use std::cell::Cell;

use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use cel::common::types::{CelBytes, CelInt, CelList, CelMap, CelMapKey, CelString, DYN_TYPE, INT_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError, IdedExpr};
use serde_json::Value as Json;

use super::calls;
use super::check::{children, path};

/// The most steps: one for each value, each entry of a list, and each [`STEP`] bytes of a text.
pub(super) const MAX_STEPS: usize = 20_000;
const STEP: usize = 16;

/// The calls that are put around what has to be paid for.
const PAID: &str = "@paid";
const THROUGH: &str = "@through";

thread_local! {
    /// What the expression that this thread computes may still spend: functions of the library have no state.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Before an expression is computed.
pub(super) fn start() {
    LEFT.set(MAX_STEPS);
}

/// Takes steps from what is left; it is an error from the first that is too many.
pub(super) fn spend(steps: usize) -> Result<(), ExecutionError> {
    match LEFT.get().checked_sub(steps) {
        Some(left) if left > 0 => {
            LEFT.set(left);
            Ok(())
        }
        _ => {
            LEFT.set(0);
            Err(ExecutionError::function_error("expression", told()))
        }
    }
}

/// Whether all of it was paid for, which an operator that overlooks errors may not know.
pub(super) fn settle() -> Result<(), String> {
    if LEFT.get() > 0 { Ok(()) } else { Err(told()) }
}

fn told() -> String {
    format!("it takes more than {MAX_STEPS} steps for this request")
}

/// What so many bytes cost.
pub(super) const fn steps(bytes: usize) -> usize {
    1 + bytes / STEP
}

/// Pays for a value of a token.
pub(super) fn spend_json(value: &Json) -> Result<(), ExecutionError> {
    match value {
        Json::String(text) => spend(steps(text.len())),
        Json::Array(all) => {
            spend(1)?;
            all.iter().try_for_each(spend_json)
        }
        Json::Object(all) => {
            spend(1)?;
            all.iter().try_for_each(|(name, value)| {
                spend(steps(name.len()))?;
                spend_json(value)
            })
        }
        _ => spend(1),
    }
}

fn spend_value(value: &dyn Val) -> Result<(), ExecutionError> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return spend(steps(text.inner().len()));
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        return spend(steps(bytes.inner().len()));
    }
    spend(1)?;
    if let Some(list) = value.downcast_ref::<CelList>() {
        return list.inner().iter().try_for_each(|entry| spend_value(entry.as_ref()));
    }
    let Some(map) = value.downcast_ref::<CelMap>() else { return Ok(()) };
    map.inner().iter().try_for_each(|(name, value)| {
        let length = if let CelMapKey::String(name) = name { name.inner().len() } else { 0 };
        spend(steps(length))?;
        spend_value(value.as_ref())
    })
}

/// Makes the calls known to the interpreter.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(PAID, "paid_dyn", vec![DYN_TYPE], |args| {
        let value = first(args)?;
        spend_value(value.as_ref())?;
        Ok(value)
    })?;
    env.add_overload(THROUGH, "through_dyn", vec![DYN_TYPE, INT_TYPE], |args| {
        let body = args.get(1).and_then(|body| body.downcast_ref::<CelInt>()).map_or(0, |body| *body.inner());
        let range = first(args)?;
        spend_value(range.as_ref())?;
        let length = range.as_sizer().map_or(0, |sizer| *sizer.size().inner());
        spend(usize::try_from(length.saturating_mul(body)).unwrap_or(usize::MAX))?;
        Ok(range)
    })
}

fn first<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    args.into_iter().next().ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))
}

/// Puts the calls around all that is not paid for where it is looked up.
pub(super) fn put_into(root: &mut IdedExpr) {
    walk(root, &mut Vec::new());
}

/// `scope` has the variables of the macros around the node.
fn walk(node: &mut IdedExpr, scope: &mut Vec<String>) {
    let is_variable = path(node).is_some_and(|path| scope.iter().any(|name| path.first() == Some(&&**name)));
    if is_variable {
        return put_around(node, PAID, None);
    }
    if let Expr::Comprehension(it) = &mut node.expr {
        let body = parts(&mut it.loop_cond).saturating_add(parts(&mut it.loop_step));
        walk(&mut it.iter_range, scope);
        walk(&mut it.accu_init, scope);
        let outside = scope.len();
        scope.push(it.iter_var.clone());
        scope.extend(it.iter_var2.clone());
        for part in [&mut it.loop_cond, &mut it.loop_step, &mut it.result] {
            walk(part, scope);
        }
        scope.truncate(outside);
        return put_around(&mut it.iter_range, THROUGH, Some(body));
    }
    for child in children(node) {
        walk(child, scope);
    }
    if makes_something(node) {
        put_around(node, PAID, None);
    }
}

/// Whether what comes of it may be large, and is paid for by nobody yet.
fn makes_something(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Select(select) => !select.test && path(node).is_none(),
        Expr::Call(call) => match (&*call.func_name, call.args.first()) {
            // What `map` and `filter` gather, which the interpreter does in place if it finds it as it was.
            (operators::ADD, Some(gathered)) if is_accumulator(gathered) => false,
            // Part of something that has just been paid for.
            (operators::INDEX, Some(container)) if path(container).is_some() => false,
            (name, _) => calls::answers_more_than_a_number(name),
        },
        _ => false,
    }
}

fn is_accumulator(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name.starts_with('@'))
}

/// How many steps the parts of a macro's body take each time, apart from what is paid for inside.
fn parts(node: &mut IdedExpr) -> i64 {
    let own = match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => steps(text.inner().len()),
        Expr::Literal(LiteralValue::Bytes(bytes)) => steps(bytes.inner().len()),
        _ => 1,
    };
    children(node).into_iter().map(parts).fold(i64::try_from(own).unwrap_or(i64::MAX), i64::saturating_add)
}

fn put_around(node: &mut IdedExpr, call: &str, body: Option<i64>) {
    let id = node.id;
    let number = |body| IdedExpr { id, expr: Expr::Literal(LiteralValue::Int(CelInt::from(body))) };
    let args = std::iter::once(std::mem::take(node)).chain(body.map(number)).collect();
    *node = IdedExpr { id, expr: Expr::Call(CallExpr { func_name: call.to_owned(), target: None, args }) };
}
