//! A piece of work that has ended, as the collector is told of it.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as proto;

use super::context::{SpanId, TraceId};

/// One span. It becomes the collector's on the exporting thread.
pub struct Span {
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub kind: Kind,
    pub name: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub attributes: Vec<(&'static str, Value)>,
    pub is_error: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Within the gateway.
    Internal,
    Server,
    Client,
}

pub enum Value {
    Text(String),
    Number(i64),
}

impl From<Span> for proto::Span {
    fn from(span: Span) -> Self {
        let Span { trace, id, parent, kind, name, start, end, attributes, is_error } = span;
        let kind = match kind {
            Kind::Internal => proto::span::SpanKind::Internal,
            Kind::Server => proto::span::SpanKind::Server,
            Kind::Client => proto::span::SpanKind::Client,
        };
        let error =
            || proto::Status { code: proto::status::StatusCode::Error.into(), ..proto::Status::default() };
        proto::Span {
            trace_id: trace.0.to_be_bytes().to_vec(),
            span_id: id.0.to_be_bytes().to_vec(),
            parent_span_id: parent.map(|parent| parent.0.to_be_bytes().to_vec()).unwrap_or_default(),
            name,
            kind: kind.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
            status: is_error.then(error),
            ..proto::Span::default()
        }
    }
}

pub fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text),
        Value::Number(number) => any_value::Value::IntValue(number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Value::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Number(number.into())
    }
}
