//! The request as it came from the gateway, for as long as it may have to be sent once more.

use std::cell::{Cell, RefCell};

use http::{Method, Request, request};
use limen_config::{Retries, Trouble};

use crate::body::RequestBody;

use super::super::attempt::Failed;
use super::Answer;
use super::replay::Replay;

pub struct Original {
    method: Method,
    /// What was not sent, or came back.
    whole: RefCell<Option<Box<Request<RequestBody>>>>,
    /// What is kept to make it anew.
    kept: Option<(request::Parts, Replay)>,
    /// How often somebody at the upstream has seen it, or may have.
    seen: Cell<usize>,
}

impl Original {
    /// It goes once; it can go again only if it comes back untouched.
    pub fn once(request: Box<Request<RequestBody>>) -> Self {
        Original {
            method: request.method().clone(),
            whole: RefCell::new(Some(request)),
            kept: None,
            seen: Cell::new(0),
        }
    }

    /// As much of it is kept as the upstream may be asked for again.
    pub fn keeping(request: Box<Request<RequestBody>>, retries: &Retries) -> Self {
        let worthwhile =
            retries.methods.contains(request.method()) || retries.on.contains(&Trouble::RefusedStream);
        if !worthwhile {
            return Self::once(request);
        }
        let (head, body) = request.into_parts();
        let body = Replay::new(body, retries.buffer);
        Original {
            method: head.method.clone(),
            whole: RefCell::new(None),
            kept: Some((head, body)),
            seen: Cell::new(0),
        }
    }

    /// The request, for a try. Until that has [ended](Self::ended), who knows how far it got.
    pub fn next(&self) -> Option<Box<Request<RequestBody>>> {
        let whole = self.whole.borrow_mut().take();
        let request = whole.or_else(|| {
            let (head, body) = self.kept.as_ref()?;
            Some(Box::new(Request::from_parts(head.clone(), body.body()?)))
        })?;
        self.seen.update(|seen| seen + 1);
        Some(request)
    }

    /// A try has ended: what trouble it had, if it is the upstream's. Takes back what was not sent.
    pub fn ended(&self, outcome: &mut Result<Answer, Box<Failed>>) -> Option<Trouble> {
        match outcome {
            Ok(answer) => {
                let status = answer.head.status();
                (status.as_u16() >= 400).then_some(Trouble::Status(status))
            }
            Err(failed) => {
                let unseen = matches!(failed.trouble, Some(Trouble::Connect | Trouble::RefusedStream));
                if unseen || failed.request.is_some() {
                    self.seen.update(|seen| seen.saturating_sub(1));
                }
                if let Some(request) = failed.request.take() {
                    *self.whole.borrow_mut() = Some(request);
                }
                failed.trouble
            }
        }
    }

    /// Whether somebody at the upstream has it, or had.
    pub fn is_seen(&self) -> bool {
        self.seen.get() > 0
    }

    /// Whether it is there, and may go again: nobody has seen it, or it does no harm twice.
    pub fn may_repeat(&self, retries: &Retries) -> bool {
        let is_there =
            self.whole.borrow().is_some() || self.kept.as_ref().is_some_and(|(_, body)| body.is_there());
        is_there && (self.seen.get() == 0 || retries.methods.contains(&self.method))
    }

    /// Whether it can be sent twice at the same time.
    pub fn can_fork(&self, retries: &Retries) -> bool {
        retries.methods.contains(&self.method) && self.kept.as_ref().is_some_and(|(_, body)| body.is_whole())
    }

    /// It will not be sent again.
    pub fn keep_no_more(&self) {
        if let Some((_, body)) = &self.kept {
            body.keep_no_more();
        }
    }
}
