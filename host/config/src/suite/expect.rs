//! `expect` of a step

use http::{Method, StatusCode};
use toml::de::DeValue;

use super::answer::status;
use super::message::Message;
use super::text::TextMatch;
use super::{At, UnderTest, at, entries, word};
use crate::route::method;
use crate::section::{Section, section};
use crate::value::{Value, boolean, list, string};

section! {
    /// `expect = { status = 200, headers = { server = false }, upstream = { headers = { x-gate = "north" } } }`: what has to
    /// come of a step. What is not here may be as it likes, but for one thing: a policy that fails, whatever its `on_error`
    /// makes of that, fails the case unless `failure` says so.
    pub struct Expect(section, under_test: &UnderTest<'_>) {
        /// `status`: that of the response.
        pub status: Option<At<StatusCode>> = section.optional("status", at(status)),

        /// `headers`, `body`, `json`, `has`, `trailers`: the response (see Messages).
        pub message: Message = Message::of(section),

        /// `broken`: whether the response breaks off in the middle. Default false.
        pub broken: Option<At<bool>> = section.optional("broken", at(boolean)),

        /// `upstream`: what the route's upstream was asked; false: nothing at all, true: anything. With retries, the last time.
        pub upstream: Option<At<Asked>> = section.optional("upstream", at(Asked::read)),

        /// `fetch`: what the policy has called upstreams for, by their name: `{ authz = { target = "/check" } }`; an array for
        /// several calls, in their order and no others; false: it has not called.
        pub fetch: Vec<(String, At<Vec<Asked>>)> =
            entries(section, "fetch", |name, value| Some((name.to_owned(), at(calls)(value)?))),

        /// `log`: lines that the policy or the gateway has to write to the log: a text that a line contains, or a table (see
        /// Texts). `{ lacks = "x" }`: no line contains it.
        pub log: Vec<At<TextMatch>> = log(section),

        /// `failure`: the way in which the policy fails: "failed" (it gave up itself), "trap", "cpu-limit", "wall-limit",
        /// "memory-limit", "host-call-limit", "no-isolate", "held-back", "contract" or "body".
        pub failure: Option<At<&'static str>> = section.optional("failure", at(word(under_test.failures))),

        /// `hooks`: what its hooks come to, by phase: `{ request = "reply", log = "next" }`: "next", "reply", "failed", or
        /// "none" where it is not called.
        pub hooks: Vec<(String, At<&'static str>)> =
            entries(section, "hooks", |name, value| hook(name, value, under_test)),

        /// `consumer`: the id of whom the policy has named; false: nobody.
        pub consumer: Option<At<Option<String>>> = section.optional("consumer", at(consumer)),
    }
}

/// What an upstream was asked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// It was not.
    Nothing,
    Anything,
    This(Box<Request>),
}

section! {
    /// `upstream = { method = "PUT", headers = { x-user = "ada" } }`: a request as an upstream has to see it.
    pub struct Request(section) {
        /// `method`: its method.
        pub method: Option<At<Method>> = section.optional("method", at(method)),

        /// `target`: path and query, a text (see Texts).
        pub target: Option<At<TextMatch>> = section.optional("target", at(TextMatch::read_any)),

        /// `headers`, `body`, `json`, `has`, `trailers`: head and body (see Messages).
        pub message: Message = Message::of(section),
    }
}

impl Asked {
    fn read(value: &Value<'_>) -> Option<Asked> {
        match value.inner {
            DeValue::Boolean(true) => Some(Asked::Anything),
            DeValue::Boolean(false) => Some(Asked::Nothing),
            DeValue::Table(_) => Some(Asked::This(Box::new(Request::read(&value.section()?)?))),
            _ => value.wrong_type("`true`, `false` or a table like `{ headers = { x-user = \"ada\" } }`"),
        }
    }
}

fn calls(value: &Value<'_>) -> Option<Vec<Asked>> {
    match value.inner {
        DeValue::Array(_) => list(Asked::read)(value),
        DeValue::Boolean(false) => Some(Vec::new()),
        _ => Some(vec![Asked::read(value)?]),
    }
}

fn log(section: &Section<'_>) -> Option<Vec<At<TextMatch>>> {
    let line = at(TextMatch::within);
    let Some(value) = section.get("log") else { return Some(Vec::new()) };
    match value.inner {
        DeValue::Array(_) => list(line)(&value),
        _ => Some(vec![line(&value)?]),
    }
}

fn hook(name: &str, value: &Value<'_>, under_test: &UnderTest<'_>) -> Option<(String, At<&'static str>)> {
    if !under_test.phases.contains(&name) {
        let error = value.error(format!("no phase `{name}`"));
        let error = error.expected(crate::suggest::one_of(under_test.phases.iter().copied()));
        return value.fail(error.maybe_hint(crate::did_you_mean(name, under_test.phases.iter().copied())));
    }
    Some((name.to_owned(), at(word(under_test.outcomes))(value)?))
}

fn consumer(value: &Value<'_>) -> Option<Option<String>> {
    match value.inner {
        DeValue::Boolean(false) => Some(None),
        _ => string(value).map(Some),
    }
}
