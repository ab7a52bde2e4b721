//! The policies that see each attempt of a request, with its head as it goes to the upstream.

use std::cell::Cell;
use std::mem::swap;
use std::rc::Rc;

use http::Request;
use limen_policy::{Attempt, Phase, Subject, Verdict};

use super::{Case, Desk, Policies};
use crate::body::RequestBody;

/// Asked before each attempt of one request.
pub struct Tries {
    policies: Policies,
    desk: Rc<Desk>,
    made: Cell<u32>,
}

/// A policy has answered, or nobody waits any more: the attempt is not made.
pub struct Answered;

/// An attempt's head in the place of the exchange's own. Dropping this takes it back, also when a hook is
/// dropped half-way.
struct Shown<'a> {
    case: &'a mut Case,
    request: &'a mut Request<RequestBody>,
}

impl Tries {
    pub fn new(policies: Policies, desk: Rc<Desk>) -> Self {
        Tries { policies, desk, made: Cell::new(0) }
    }

    /// Asks every policy that has the hook, in order. They may change the headers.
    pub async fn before(&self, endpoint: String, request: &mut Request<RequestBody>) -> Result<(), Answered> {
        self.made.set(self.made.get().saturating_add(1));
        let Some(mut turn) = self.desk.take().await else { return Err(Answered) };
        let shown = Shown::show(turn.case(), request);
        let attempt = Attempt { number: self.made.get(), endpoint };
        shown.case.exchange.subject = Subject::Attempt(Box::new(attempt));
        for number in 0..self.policies.len() {
            if self.policies.ask(number, Phase::Upstream, shown.case).await == Some(Verdict::Reply) {
                self.desk.answer();
                return Err(Answered);
            }
        }
        Ok(())
    }
}

impl<'a> Shown<'a> {
    fn show(case: &'a mut Case, request: &'a mut Request<RequestBody>) -> Self {
        let mut shown = Shown { case, request };
        shown.swap();
        shown
    }

    fn swap(&mut self) {
        let own = &mut self.case.exchange.request;
        swap(own.method_mut(), self.request.method_mut());
        swap(own.uri_mut(), self.request.uri_mut());
        swap(own.headers_mut(), self.request.headers_mut());
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.case.exchange.subject = Subject::Heads;
        self.swap();
    }
}
