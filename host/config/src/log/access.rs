//! `access` of `[log]`

use std::path::{Path, PathBuf};

use http::HeaderName;
use toml::de::DeValue;

use super::{Field, LogFormat};
use crate::Place;
use crate::condition::header_name;
use crate::section::section;
use crate::value::{Value, choice, list, share, some, string};

section! {
    /// `access = { format = "json", fields = ["id", "status"], sample = 0.1 }` of `[log]`: what a line says
    /// of an exchange, and where it goes. Every line begins with its time. Control characters are escaped
    /// in every field: nothing that a client sends makes a line of its own.
    pub struct AccessLog(section, of_log: Option<LogFormat>) {
        /// `format`: "text" or "json". Default: that of `[log]`.
        pub format: LogFormat =
            section.or("format", choice(LogFormat::CHOICES), of_log.unwrap_or(LogFormat::Text)),

        /// `fields`: what is told, in this order; a field without a value is left out of its line.
        /// `id`: the request's. `client`: the address it came from; `peer`: with its port, as the connection
        /// has it. `consumer`: as a policy has named it. `listener`. `scheme`, `protocol`: "http" or "https"; "HTTP/1.1" or "HTTP/2". `tls`, `sni`:
        /// the version, and the name that was asked for. `method`, `host`, `path`, `query`: of the request as
        /// it came. `user_agent`, `referer`. `route`, `upstream`. `endpoint`: the last that was asked.
        /// `attempts`: how often one was. `policies`: each hook that was called, the time it took, and what it
        /// came to if that is not to go on: "reply", "failed" or "given-up". `status`: none if the client left
        /// before the answer. `reason`: why the gateway answered itself, like "no_route" or "upstream_slow";
        /// `why`: the same in words, with all that is known. (An exchange that was refused has one line: where
        /// this one goes to "stderr" and says `why`, there is no other.) `background`: "true" if no client waited
        /// for it: a cache asked for a newer response. `complete`: whether all of the answer was sent; `ended_by`: else who ended it, "client", "upstream" or "policy". `bytes_in`,
        /// `bytes_out`: of the bodies. `duration_us`: from the head of the request to the end of the answer;
        /// `upstream_us`: of these, until the upstream's head was there; `policy_us`: computing time of
        /// plugins, and `policy_memory`: the bytes of the largest memory that an isolate of them had. `trace_id`: with `[trace]`.
        /// `request.NAME`, `response.NAME`: a header. Default: id, client, consumer, method, host, path, status,
        /// reason, why, background, route, upstream, endpoint, attempts, policies, bytes_in, bytes_out, duration_us,
        /// policy_us, policy_memory, complete, ended_by.
        pub fields: Vec<Field> = section.or("fields", some(Field::read), Field::defaults()),

        /// `sample`: the share of exchanges that get a line, 0 to 1; default 1. Those with a status from 500
        /// on, and those that were cut off, always get one.
        pub sample: f64 = section.or("sample", share, 1.0),

        /// `output`: "stderr" (default, with the other lines), "stdout", or the path of a file. It is opened
        /// anew at every reload and on SIGHUP, as logrotate wants it.
        pub output: LogOutput = section.or("output", LogOutput::read, LogOutput::Stderr),

        /// `redact_headers`: of these, `[redacted]` is written in place of the value. Default: authorization,
        /// proxy-authorization, cookie, set-cookie, x-api-key, api-key, x-auth-token, x-access-token,
        /// x-csrf-token, x-xsrf-token, x-amz-security-token, x-forwarded-client-cert. Where policies are told to
        /// look for tokens and keys is redacted as well, in headers and `query`.
        pub redact_headers: Vec<HeaderName> =
            section.or("redact_headers", list(header_name), default_headers()),

        /// `redact_query`: the same for parameters of `query` and of the URLs in headers; case does not
        /// matter. Default: access_token, api_key, apikey, assertion, auth, client_secret, code, id_token, jwt,
        /// key, pass, passwd, password, pwd, refresh_token, secret, session, sig, signature, state, token,
        /// x-amz-credential, x-amz-security-token, x-amz-signature, x-goog-signature. A path is written as it is: secrets
        /// don't belong there.
        pub redact_query: Vec<String> = section.or("redact_query", list(string), default_query()),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogOutput {
    Stderr,
    Stdout,
    File(PathBuf),
}

impl AccessLog {
    pub(super) fn read_or_bool(value: &Value<'_>, format: Option<LogFormat>) -> Option<Option<AccessLog>> {
        match value.inner {
            DeValue::Boolean(false) => Some(None),
            DeValue::Boolean(true) => {
                let empty = Value { inner: value.sink.empty(), ..value.clone() };
                AccessLog::read(&empty.section()?, format).map(Some)
            }
            DeValue::Table(_) => AccessLog::read(&value.section()?, format).map(Some),
            _ => value.wrong_type("`true`, `false` or a table like { format = \"json\" }"),
        }
    }
}

impl LogOutput {
    /// The path, if it is a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            LogOutput::File(path) => Some(path),
            LogOutput::Stderr | LogOutput::Stdout => None,
        }
    }

    pub(super) fn read(value: &Value<'_>) -> Option<LogOutput> {
        const EXPECTED: &str = "\"stderr\", \"stdout\" or the path of a file";
        match value.text(EXPECTED)?.as_str() {
            "stderr" => Some(LogOutput::Stderr),
            "stdout" => Some(LogOutput::Stdout),
            text if text.is_empty() || text.contains('\0') => {
                value.fail(value.error("not a path").expected(EXPECTED))
            }
            text => Some(LogOutput::File(value.source.folder().join(text))),
        }
    }
}

fn default_headers() -> Vec<HeaderName> {
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x-auth-token",
        "x-access-token",
        "x-csrf-token",
        "x-xsrf-token",
        "x-amz-security-token",
        "x-forwarded-client-cert",
    ]
    .map(HeaderName::from_static)
    .to_vec()
}

pub(crate) fn default_query() -> Vec<String> {
    let names = "access_token api_key apikey assertion auth client_secret code id_token jwt key pass passwd \
                 password pwd refresh_token secret session sig signature state token x-amz-credential \
                 x-amz-security-token x-amz-signature x-goog-signature";
    names.split_whitespace().map(str::to_owned).collect()
}
