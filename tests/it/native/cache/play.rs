//! Plays the tests of <https://github.com/http-tests/cache-tests>, as their own client and server do.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::Method;
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Answer, Client, Gateway};
use serde_json::Value;

/// How long a test waits where it says so.
const PAUSE: Duration = Duration::from_secs(3);

/// The requests of all tests under way, and what the server has seen of them, by the tests' ids.
#[derive(Clone, Default)]
pub struct Stage(Arc<Mutex<HashMap<String, Played>>>);

#[derive(Default)]
struct Played {
    requests: Vec<Value>,
    seen: Vec<Seen>,
}

/// A request as the server has seen it, and what it has answered.
#[derive(Clone)]
struct Seen {
    number: usize,
    method: String,
    headers: HashMap<String, String>,
    answered: Vec<(String, String)>,
}

/// Why a test was not passed.
pub enum Failed {
    /// What it needs was not so.
    Setup(String),
    Assertion(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failed::Setup(why) | Failed::Assertion(why)) = self;
        f.write_str(why)
    }
}

impl Stage {
    pub async fn origin(&self) -> RawOrigin {
        let stage = self.clone();
        RawOrigin::start(move |head| stage.answer(head)).await
    }

    /// What the server answers: `server/handle-test.mjs`.
    fn answer(&self, head: &str) -> Reply {
        let mut lines = head.trim_end().split("\r\n");
        let mut line = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let mut headers = HashMap::<String, String>::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            let joined = headers.entry(name).or_default();
            *joined = if joined.is_empty() { value.to_owned() } else { format!("{joined}, {value}") };
        }
        let id = path.split(['/', '?']).nth(2).unwrap_or_default();
        let mut stage = self.0.lock().unwrap();
        let played = stage.get_mut(id).unwrap_or_else(|| panic!("no test {id}"));
        let number = headers.get("req-num").and_then(|number| number.parse().ok());
        let number = number.unwrap_or(played.seen.len() + 1);
        let config = played.requests[number - 1].clone();
        let before = number.checked_sub(2).map(|place| played.requests[place].clone());

        let now = SystemTime::now();
        let mut status = config["response_status"][0].as_u64().unwrap_or(200);
        if text(&config["expected_type"]).ends_with("validated") {
            let told = |name: &str| before.as_ref().and_then(|before| header_of(before, name));
            let matches = |name: &str, condition: &str| {
                told(name).is_some_and(|told| headers.get(condition) == Some(&told))
            };
            let is_valid = matches("last-modified", "if-modified-since") || matches("etag", "if-none-match");
            status = if is_valid { 304 } else { 999 };
        }
        let mut answer: Vec<(String, String)> = vec![
            ("Server-Base-Url".into(), path.into()),
            ("Server-Request-Count".into(), (played.seen.len() + 1).to_string()),
            ("Client-Request-Count".into(), number.to_string()),
            ("Server-Now".into(), httpdate::fmt_http_date(now)),
        ];
        let mut answered = Vec::<(String, String)>::new();
        for header in list(&config["response_headers"]) {
            let name = text(&header[0]);
            let value = value(header, path, &config, now);
            answer.push((name.into(), value.clone()));
            if header.get(2).is_none_or(|saved| saved == true) {
                match answered.iter_mut().find(|(known, _)| known == name) {
                    Some((_, joined)) => *joined = format!("{joined}, {value}"),
                    None => answered.push((name.into(), value)),
                }
            }
        }
        // A client may be told again what it was told before.
        remember_dates(&mut played.requests[number - 1], &answer);
        let seen = Seen { number, method: method.into(), headers: headers.clone(), answered };
        played.seen.push(seen);
        let numbers: Vec<_> = played.seen.iter().map(|seen| seen.number.to_string()).collect();
        answer.push(("Request-Numbers".into(), numbers.join(" ")));
        let has = |name: &str| answer.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut body = config["response_body"].as_str().unwrap_or(id).to_owned();
        if matches!(status, 204 | 304) {
            body.clear();
        }
        let mut more = String::new();
        match has("content-length") {
            Some((_, length)) => body.truncate(length.parse().unwrap_or(usize::MAX)),
            None if status == 204 || status == 304 => {}
            None => more.push_str(&format!("Content-Length: {}\r\n", body.len())),
        }
        if has("content-type").is_none() {
            more.push_str("Content-Type: text/plain\r\n");
        }
        if has("date").is_none() {
            more.push_str(&format!("Date: {}\r\n", httpdate::fmt_http_date(SystemTime::now())));
        }
        if method == "HEAD" {
            body.clear();
        }
        if config["disconnect"] == true {
            return Reply::Reset(vec![]);
        }
        let head: String = answer.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Reply::Keep(format!("HTTP/1.1 {status} -\r\n{head}{more}\r\n{body}").into())
    }

    /// Plays one test: `client/test.mjs`.
    pub async fn play(&self, gateway: &Gateway, test: &Value) -> Result<(), Failed> {
        let id = text(&test["id"]).replace(['=', ' '], "_");
        let requests = list(&test["requests"]).to_vec();
        let played = Played { requests: requests.clone(), seen: Vec::new() };
        self.0.lock().unwrap().insert(id.clone(), played);
        let mut answers: Vec<Answer> = Vec::new();
        for (place, config) in requests.iter().enumerate() {
            let mut path = format!("/test/{id}");
            if let Some(name) = config["filename"].as_str() {
                path.push_str(&format!("/{name}"));
            }
            if let Some(query) = config["query_arg"].as_str() {
                path.push_str(&format!("?{query}"));
            }
            let method = config["request_method"].as_str().unwrap_or("GET");
            let mut asked = Client::http1().request(method.parse::<Method>().unwrap(), gateway.url(&path));
            if config["request_headers"].is_null() {
                asked = asked.header("Pragma", "foo").header("Cache-Control", "nothing-to-see-here");
            }
            let then = answers.last();
            for header in list(&config["request_headers"]) {
                let (name, mut value) = (text(&header[0]), text(&header[1]).to_owned());
                if let Some(delta) = header[1].as_i64() {
                    value = date(delta, server_now(then));
                }
                if list(&config["rfc850date"]).iter().any(|it| text(it) == name.to_ascii_lowercase()) {
                    value = rfc850(&value);
                }
                asked = asked.header(name, &value);
            }
            let number = (place + 1).to_string();
            let answer = asked.header("Test-ID", &id).header("Req-Num", &number).try_send().await;
            let answer = answer.map_err(|error| Failed::Setup(error.to_string()))?;
            judge(&id, place, config, &answer)?;
            answers.push(answer);
            if config["pause_after"] == true {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let seen = self.0.lock().unwrap()[&id].seen.clone();
        judge_seen(&requests, &answers, &seen)
    }
}

/// What the client has got: `checkResponse`.
fn judge(id: &str, place: usize, config: &Value, answer: &Answer) -> Result<(), Failed> {
    let number = place + 1;
    let check = |member: &str, holds: bool, what: String| check(config, member, holds, what);
    let from = answer.header("server-request-count").and_then(|count| count.parse::<usize>().ok());
    match text(&config["expected_type"]) {
        "cached" if answer.status == 304 && from.is_none() => {}
        "cached" => check(
            "expected_type",
            from.is_some_and(|from| from < number),
            format!("response {number} does not come from the cache"),
        )?,
        "not_cached" => {
            check("expected_type", from == Some(number), format!("response {number} comes from the cache"))?
        }
        _ => {}
    }
    let status = u64::from(answer.status.as_u16());
    if let Some(wanted) = config["expected_status"].as_u64() {
        check("expected_status", status == wanted, format!("status {number} is {status}, not {wanted}"))?;
    } else if let Some(wanted) = config["response_status"][0].as_u64() {
        setup(status == wanted, format!("status {number} is {status}, not {wanted}"))?;
    } else if status == 999 {
        check("expected_type", false, format!("request {number} should have been conditional"))?;
    } else {
        setup(status == 200, format!("status {number} is {status}, not 200"))?;
    }
    for header in list(&config["expected_response_headers"]) {
        let name = header.as_str().unwrap_or_else(|| text(&header[0]));
        let got = joined(answer, name);
        let holds = match (header.as_str(), text(&header[1]), header.get(2)) {
            (Some(_), ..) => got.is_some(),
            (None, "=", Some(other)) => got == joined(answer, text(other)),
            (None, ">", Some(least)) => {
                got.as_deref().and_then(|got| got.parse::<i64>().ok()) > least.as_i64()
            }
            _ => got == Some(value(header, "", config, server_now(Some(answer)))),
        };
        check("expected_response_headers", holds, format!("{number}: {name} is {got:?}, wanted {header}"))?;
    }
    for header in list(&config["expected_response_headers_missing"]) {
        let (name, part) = match header.as_str() {
            Some(name) => (name, None),
            None => (text(&header[0]), header[1].as_str()),
        };
        let got = joined(answer, name);
        let is_missing = match (&got, part) {
            (Some(got), Some(part)) => !got.contains(part),
            (got, _) => got.is_none(),
        };
        let what = format!("{number}: {name} should not be there: {got:?}");
        check("expected_response_headers_missing", is_missing, what)?;
    }
    let body = answer.text();
    if config["check_body"] == false {
        return Ok(());
    }
    match (&config["expected_response_text"], config["response_body"].as_str()) {
        (Value::String(wanted), _) => {
            check("expected_response_text", body == *wanted, format!("body {number} is {body:?}"))
        }
        (Value::Null, Some(wanted)) => setup(body == wanted, format!("body {number} is {body:?}")),
        (Value::Null, None) if !matches!(status, 204 | 304) && config["request_method"] != "HEAD" => {
            setup(body == id, format!("body {number} is {body:?}"))
        }
        _ => Ok(()),
    }
}

/// What the server has seen: `checkServerRequests`.
fn judge_seen(requests: &[Value], answers: &[Answer], seen: &[Seen]) -> Result<(), Failed> {
    let mut seen = seen.iter();
    for (place, (config, answer)) in requests.iter().zip(answers).enumerate() {
        let number = place + 1;
        let check = |member: &str, holds: bool, what: String| check(config, member, holds, what);
        let kind = text(&config["expected_type"]);
        if kind == "cached" {
            continue;
        }
        let asked = seen.next();
        if kind == "not_cached" {
            let holds = asked.is_some_and(|asked| asked.number == number);
            check("expected_type", holds, format!("response {number} comes from the cache"))?;
        }
        let validator = match kind {
            "etag_validated" => Some("if-none-match"),
            "lm_validated" => Some("if-modified-since"),
            _ => None,
        };
        let has = |name: &str| asked.and_then(|asked| asked.headers.get(&name.to_ascii_lowercase()));
        if let Some(validator) = validator {
            check("expected_type", has(validator).is_some(), format!("request {number} has no {validator}"))?;
        }
        for header in list(&config["expected_request_headers"]) {
            let (name, wanted) = match header.as_str() {
                Some(name) => (name, None),
                None => (text(&header[0]), header[1].as_str()),
            };
            let got = has(name);
            let holds = got.is_some() && wanted.is_none_or(|wanted| got.is_some_and(|got| got == wanted));
            check("expected_request_headers", holds, format!("request {number}: {name} is {got:?}"))?;
        }
        for (name, value) in asked.iter().flat_map(|asked| &asked.answered) {
            if !name.eq_ignore_ascii_case("date") {
                let got = joined(answer, name);
                setup(
                    got.as_ref() == Some(value),
                    format!("response {number}: {name} is {got:?}, not {value:?}"),
                )?;
            }
        }
        if let (Some(wanted), Some(asked)) = (config["expected_method"].as_str(), asked) {
            check(
                "expected_method",
                asked.method == wanted,
                format!("request {number} was {}", asked.method),
            )?;
        }
    }
    Ok(())
}

fn check(config: &Value, member: &str, holds: bool, what: String) -> Result<(), Failed> {
    let is_setup =
        config["setup"] == true || list(&config["setup_tests"]).iter().any(|name| text(name) == member);
    match (holds, is_setup) {
        (true, _) => Ok(()),
        (false, true) => Err(Failed::Setup(what)),
        (false, false) => Err(Failed::Assertion(what)),
    }
}

fn setup(holds: bool, what: String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(Failed::Setup(what)) }
}

/// A header as it is sent: `lib/header-fixup.mjs`.
fn value(header: &Value, base: &str, config: &Value, now: SystemTime) -> String {
    let name = text(&header[0]).to_ascii_lowercase();
    let is_date =
        matches!(&*name, "date" | "expires" | "last-modified" | "if-modified-since" | "if-unmodified-since");
    if let (true, Some(delta)) = (is_date, header[1].as_i64()) {
        let is_old = list(&config["rfc850date"]).iter().any(|it| text(it) == name);
        return if is_old { rfc850(&date(delta, now)) } else { date(delta, now) };
    }
    let value = match &header[1] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if matches!(&*name, "location" | "content-location") && config["magic_locations"] == true {
        return if value.is_empty() { base.to_owned() } else { format!("{base}/{value}") };
    }
    value
}

/// Keeps what relative dates came to, for whoever compares them later.
fn remember_dates(config: &mut Value, answered: &[(String, String)]) {
    for header in config["response_headers"].as_array_mut().into_iter().flatten() {
        if header[1].is_i64() {
            let name = text(&header[0]).to_owned();
            if let Some((_, value)) = answered.iter().find(|(known, _)| *known == name) {
                header[1] = Value::String(value.clone());
            }
        }
    }
}

/// The server's time, when it gave this answer.
fn server_now(answer: Option<&Answer>) -> SystemTime {
    let told = answer.and_then(|answer| httpdate::parse_http_date(answer.header("server-now")?).ok());
    told.unwrap_or_else(SystemTime::now)
}

fn date(delta: i64, now: SystemTime) -> String {
    let span = Duration::from_secs(delta.unsigned_abs());
    let at = if delta < 0 { now.checked_sub(span) } else { now.checked_add(span) };
    httpdate::fmt_http_date(at.unwrap_or(SystemTime::UNIX_EPOCH))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850(date: &str) -> String {
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let parts: Vec<_> = date.split([' ', ',']).filter(|part| !part.is_empty()).collect();
    let day = days.iter().find(|day| day.starts_with(parts[0])).unwrap();
    format!("{day}, {}-{}-{} {} GMT", parts[1], parts[2], &parts[3][2..], parts[4])
}

fn header_of(config: &Value, name: &str) -> Option<String> {
    let mut headers = list(&config["response_headers"]).iter();
    let found = headers.rfind(|header| text(&header[0]).eq_ignore_ascii_case(name))?;
    found[1].as_str().map(str::to_owned)
}

fn joined(answer: &Answer, name: &str) -> Option<String> {
    let values: Vec<_> =
        answer.headers.get_all(name).iter().map(|it| String::from_utf8_lossy(it.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
