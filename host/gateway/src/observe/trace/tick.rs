//! Ticks of plugins: each is a trace of its own, and what it calls is part of that.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use limen_policy::{Failure, Outcome};

use super::context::{Parent, SpanId, TraceId};
use super::span::{Kind, Span};
use super::{Traced, Tracer, nanos};

/// A tick under way. Its span ends with it; one that is dropped without a word was given up.
pub struct TracedTick {
    tracer: Arc<Tracer>,
    traced: Traced,
    plugin: String,
    outcome: Outcome,
    error: &'static str,
}

impl TracedTick {
    pub fn begin(tracer: &Arc<Tracer>, plugin: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let traced = Traced {
            trace: TraceId::random(),
            span: SpanId::random(),
            parent: None,
            sampled: tracer.samples(),
            begun: nanos(now),
            started: Instant::now(),
            user_agent: None,
        };
        let (outcome, error) = (Outcome::GivenUp, "");
        TracedTick { tracer: tracer.clone(), traced, plugin: plugin.to_owned(), outcome, error }
    }

    /// The `traceparent` of what it calls.
    pub fn parent(&self) -> Option<HeaderValue> {
        let Traced { trace, span, sampled, .. } = self.traced;
        Parent { trace, span, sampled }.header()
    }

    pub fn end(mut self, result: Result<(), &Failure>) {
        (self.outcome, self.error) = match result {
            Ok(()) => (Outcome::Next, ""),
            Err(failure) => (Outcome::Failed, failure.kind.name()),
        };
    }
}

impl Drop for TracedTick {
    fn drop(&mut self) {
        let TracedTick { tracer, traced, plugin, outcome, error } = self;
        if !traced.sampled {
            return;
        }
        let mut attributes = vec![
            ("limen.policy", plugin.as_str().into()),
            ("limen.phase", "tick".into()),
            ("limen.outcome", outcome.name().into()),
        ];
        if !error.is_empty() {
            attributes.push(("error.type", (*error).into()));
        }
        tracer.exporter.send(Span {
            trace: traced.trace,
            id: traced.span,
            parent: None,
            kind: Kind::Internal,
            name: format!("tick {plugin}"),
            start: traced.begun,
            end: traced.at(Instant::now()),
            attributes,
            is_error: *outcome == Outcome::Failed,
        });
    }
}
