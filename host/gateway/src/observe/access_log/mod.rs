//! One line for each exchange, when it has ended.
//!
//! Written by hand into the buffer that it leaves from: what a line says is settled at load.

mod escape;
mod redact;
mod time;

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use limen_config::{ConfigError, Field, LogFormat, LogOutput};
use limen_policy::{Outcome, SecretPlace};

use super::detail::Detail;
use super::log;
use super::output::{self, Output, Writer};
use super::watch::{End, Ended, Told};
use escape::{number, quote};
use redact::REDACTED;
pub use redact::Redaction;

/// What is told of an exchange, and where.
pub struct AccessLog {
    format: LogFormat,
    columns: Vec<Column>,
    sample: f64,
    redaction: Redaction,
    /// None for standard error, whose lines go with the other ones of their thread.
    output: Option<Arc<Output>>,
    /// Who reads the lines there knows why an exchange was refused.
    tells_why: bool,
    /// The headers to note when an exchange begins, and when its answer is there.
    pub request_headers: Vec<HeaderName>,
    pub response_headers: Vec<HeaderName>,
}

struct Column {
    /// What stands before the value: ` status=` or `,"status":`.
    lead: String,
    value: Value,
}

enum Value {
    Field(Field),
    /// The header that was noted at this place.
    Request(usize, Shown),
    Response(usize, Shown),
}

/// How a header is told.
#[derive(Clone, Copy)]
enum Shown {
    Value,
    /// That it is there, and no more.
    Presence,
}

/// The access log of one worker.
pub struct Recorder {
    pub log: Arc<AccessLog>,
    writer: Option<Writer>,
}

impl AccessLog {
    pub fn new(terms: &limen_config::AccessLog, secrets: &[SecretPlace]) -> Result<Self, ConfigError> {
        let output = match &terms.output {
            LogOutput::Stderr => None,
            other => Some(Output::open(other).map_err(|error| {
                ConfigError::new(
                    terms.place.clone(),
                    format!("can't write the access log to {}: {error}", output::name(other)),
                )
                .expected("a file that can be made or written")
            })?),
        };
        let redaction = Redaction::new(&terms.redact_headers, &terms.redact_query, secrets);
        let (mut request_headers, mut response_headers) = (Vec::new(), Vec::new());
        let columns = terms.fields.iter().map(|field| {
            let name = field.name();
            let lead = match terms.format {
                LogFormat::Text => format!(" {name}="),
                LogFormat::Json => format!(",\"{name}\":"),
            };
            let shown = |name| if redaction.hides(name) { Shown::Presence } else { Shown::Value };
            let mut of_request = |name| Value::Request(place_of(name, &mut request_headers), shown(name));
            let value = match field {
                Field::RequestHeader(name) => of_request(name),
                Field::UserAgent => of_request(&header::USER_AGENT),
                Field::Referer => of_request(&header::REFERER),
                Field::ResponseHeader(name) => {
                    Value::Response(place_of(name, &mut response_headers), shown(name))
                }
                other => Value::Field(other.clone()),
            };
            Column { lead, value }
        });
        let columns = columns.collect();
        let format = terms.format;
        let sample = terms.sample;
        let tells_why = output.is_none() && terms.fields.contains(&Field::Why);
        Ok(AccessLog {
            format,
            columns,
            sample,
            redaction,
            output,
            tells_why,
            request_headers,
            response_headers,
        })
    }
}

fn place_of(name: &HeaderName, names: &mut Vec<HeaderName>) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.clone());
        names.len() - 1
    })
}

/// The values of these headers. Several of one name are one, as lists are (RFC 9110, section 5.3).
pub fn note(headers: &HeaderMap, names: &[HeaderName]) -> Vec<Option<HeaderValue>> {
    let value = |name| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?.clone();
        let Some(second) = values.next() else { return Some(first) };
        let all: Vec<&[u8]> = [first.as_bytes(), second.as_bytes()]
            .into_iter()
            .chain(values.map(HeaderValue::as_bytes))
            .collect();
        HeaderValue::from_bytes(&all.join(&b", "[..])).ok()
    };
    names.iter().map(value).collect()
}

impl Recorder {
    pub fn new(log: Arc<AccessLog>) -> Self {
        let writer = log.output.as_ref().map(Output::writer);
        Recorder { log, writer }
    }

    /// Writes the line of an exchange, if it is to have one.
    pub fn write(&self, ended: &Ended<'_>, detail: &Detail) -> Told {
        let is_error = ended.end != End::Complete || ended.status.is_none_or(|it| it.is_server_error());
        if self.log.sample < 1.0 && !is_error && fastrand::f64() >= self.log.sample {
            return Told::Not;
        }
        let write = |line: &mut Vec<u8>| self.log.line(ended, detail, line);
        match &self.writer {
            Some(writer) => writer.line(write),
            None => log::line(write),
        }
        if self.log.tells_why { Told::Already } else { Told::Not }
    }
}

impl AccessLog {
    /// Whether lines say what policies did.
    pub fn tells_policies(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.value, Value::Field(Field::Policies)))
    }

    fn line(&self, ended: &Ended<'_>, detail: &Detail, line: &mut Vec<u8>) {
        let now = SystemTime::now();
        // As bad as a line of its own would say.
        let needs_care = ended.exchange.refusal.as_ref().is_some_and(|refusal| !refusal.by_client);
        let level = if needs_care { "WARN" } else { "INFO" };
        match self.format {
            LogFormat::Text => {
                time::write(now, line);
                line.extend_from_slice(b"  ");
                line.extend_from_slice(level.as_bytes());
                line.extend_from_slice(b" access:");
            }
            LogFormat::Json => {
                line.extend_from_slice(b"{\"timestamp\":\"");
                time::write(now, line);
                line.extend_from_slice(b"\",\"level\":\"");
                line.extend_from_slice(level.as_bytes());
                line.extend_from_slice(b"\",\"target\":\"access\"");
            }
        }
        let mut told = Line { line, format: self.format, redaction: &self.redaction };
        for column in &self.columns {
            let before = told.line.len();
            told.line.extend_from_slice(column.lead.as_bytes());
            if !told.value(&column.value, ended, detail) {
                told.line.truncate(before);
            }
        }
        line.extend_from_slice(match self.format {
            LogFormat::Text => b"\n",
            LogFormat::Json => b"}\n",
        });
    }
}

/// A line being written.
struct Line<'a> {
    line: &'a mut Vec<u8>,
    format: LogFormat,
    redaction: &'a Redaction,
}

impl Line<'_> {
    /// Appends a value; whether there is one.
    fn value(&mut self, value: &Value, ended: &Ended<'_>, detail: &Detail) -> bool {
        match value {
            Value::Field(field) => self.field(field, ended, detail),
            Value::Request(place, shown) => self.header(detail.request_headers.get(*place), *shown),
            Value::Response(place, shown) => {
                self.header(detail.response_headers.borrow().get(*place), *shown)
            }
        }
    }

    fn field(&mut self, field: &Field, ended: &Ended<'_>, detail: &Detail) -> bool {
        let Ended { exchange, status, .. } = ended;
        let client = &exchange.client;
        match field {
            Field::Id => self.word(&exchange.id),
            Field::Client => self.word(&client.address.ip()),
            Field::Peer => self.word(&client.peer),
            Field::Consumer => {
                exchange.consumer.as_ref().is_some_and(|consumer| self.quoted(consumer.id().as_bytes()))
            }
            Field::Listener => self.quoted(ended.listener.as_bytes()),
            Field::Scheme => self.word(&if client.tls.is_some() { "https" } else { "http" }),
            Field::Protocol => self.word(&format_args!("{:?}", detail.version)),
            Field::Tls => client.tls.as_ref().is_some_and(|tls| self.word(&tls.version)),
            Field::Sni => {
                let name = client.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
                name.is_some_and(|name| self.quoted(name.as_bytes()))
            }
            Field::Method => self.word(&detail.method),
            Field::Host => match (detail.target.authority(), &detail.host) {
                (Some(authority), _) => self.quoted(authority.as_str().as_bytes()),
                (None, host) => host.as_ref().is_some_and(|host| self.quoted(host.as_bytes())),
            },
            Field::Path => self.quoted(detail.target.path().as_bytes()),
            Field::Query => {
                let query = detail.target.query().map(|query| self.redaction.query(query));
                query.is_some_and(|query| self.quoted(query.as_bytes()))
            }
            Field::Route => self.some(&exchange.route.name),
            Field::Upstream => self.some(ended.upstream),
            Field::Endpoint => self.some(&detail.endpoint.borrow()),
            Field::Attempts => self.number(ended.attempts.into()),
            Field::Policies => self.policies(ended),
            Field::Status => status.is_some_and(|status| self.number(status.as_u16().into())),
            Field::Reason => self.some(exchange.reason),
            Field::Why => exchange.refusal.as_ref().is_some_and(|refusal| self.some(&refusal.why)),
            Field::Background => ended.is_background && self.bare("true"),
            Field::Complete => self.bare(if ended.end == End::Complete { "true" } else { "false" }),
            Field::EndedBy => match ended.end {
                End::Complete => false,
                End::Client => self.word(&"client"),
                End::Upstream => self.word(&"upstream"),
                End::Policy => self.word(&"policy"),
            },
            Field::BytesIn => self.number(ended.received),
            Field::BytesOut => self.number(ended.sent),
            Field::Duration => self.number(micros(ended.time)),
            Field::UpstreamTime => detail.upstream_time.get().is_some_and(|time| self.number(micros(time))),
            Field::PolicyTime => !exchange.policy_time.is_zero() && self.number(micros(exchange.policy_time)),
            Field::PolicyMemory => exchange.policy_memory > 0 && self.number(exchange.policy_memory),
            Field::TraceId => ended.trace.as_ref().is_some_and(|trace| self.word(trace)),
            // They have places of their own.
            Field::UserAgent | Field::Referer | Field::RequestHeader(_) | Field::ResponseHeader(_) => false,
        }
    }

    /// `api-key request 34us, region request 12us reply`.
    fn policies(&mut self, ended: &Ended<'_>) -> bool {
        let mut text = String::new();
        for (name, hook) in ended.hooks() {
            let separator = if text.is_empty() { "" } else { ", " };
            let took = hook.took.as_micros();
            // Writing into memory does not fail.
            let _ = fmt::write(&mut text, format_args!("{separator}{name} {} {took}us", hook.phase.name()));
            if hook.outcome != Outcome::Next {
                text.extend([" ", hook.outcome.name()]);
            }
        }
        self.some(&text)
    }

    fn header(&mut self, value: Option<&Option<HeaderValue>>, shown: Shown) -> bool {
        let Some(Some(value)) = value else { return false };
        match shown {
            Shown::Presence => self.quoted(REDACTED.as_bytes()),
            Shown::Value => {
                let text = String::from_utf8_lossy(value.as_bytes());
                self.quoted(self.redaction.url(&text).as_bytes())
            }
        }
    }

    /// Text that is left out if it is empty.
    fn some(&mut self, text: &str) -> bool {
        !text.is_empty() && self.quoted(text.as_bytes())
    }

    fn quoted(&mut self, text: &[u8]) -> bool {
        quote(text, self.line);
        true
    }

    /// What the gateway says itself, or has checked to be harmless: in quotes only where JSON wants them.
    fn word(&mut self, word: &dyn std::fmt::Display) -> bool {
        // Writing into memory does not fail.
        let _ = match self.format {
            LogFormat::Text => write!(self.line, "{word}"),
            LogFormat::Json => write!(self.line, "\"{word}\""),
        };
        true
    }

    fn bare(&mut self, text: &str) -> bool {
        self.line.extend_from_slice(text.as_bytes());
        true
    }

    fn number(&mut self, value: u64) -> bool {
        number(value, self.line);
        true
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
