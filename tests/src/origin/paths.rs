//! What the origin answers, by path. Anything not listed is echoed: what was asked, as JSON.
//!
//! | path | answer |
//! |---|---|
//! | `/status/N` | the status N |
//! | `/json` | a fixed JSON document, nested |
//! | `/encoded` | a body that says it is compressed |
//! | `/bytes/N`, `/bytes/N?chunked` | N bytes of the kit's pattern, their number announced or not |
//! | `/upload`, `/upload?pattern` | the length of the request's body; 422 if it should be the pattern and isn't |
//! | `/slow?ms=N` | `slow`, after N milliseconds (100) |
//! | `/drip?seconds=N` | a line every 100 ms for N seconds (1) |
//! | `/close` | a head, half of the body, then the connection is reset |
//! | `/hangup` | the connection is closed without a word |
//! | `/garbage` | bytes that are not HTTP |
//! | `/users/N`, `/orders/N` | the quickstart's demo data |

use super::demo;
use super::line::{Mischief, Wrong};
use crate::body::{self, Body, Checked};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io;
use std::time::Duration;

/// An error closes the connection without an answer.
pub(super) async fn answer(request: Request<Incoming>, mischief: Mischief) -> io::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let path: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    Ok(match path[..] {
        ["status", code] => match code.parse() {
            Ok(status) => with_status(status, text(format!("status {code}\n"))),
            Err(_) => with_status(StatusCode::BAD_REQUEST, text("no such status\n")),
        },
        ["json"] => as_json(&nested()),
        ["encoded"] => {
            let mut response = text("squeezed");
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        ["bytes", count] => match (count.parse(), &*query) {
            (Ok(count), "chunked") => Response::new(body::chunked(count)),
            (Ok(count), _) => Response::new(body::sized(count)),
            (Err(_), _) => with_status(StatusCode::BAD_REQUEST, text("no such number\n")),
        },
        ["upload"] => upload(request.into_body(), query == "pattern").await?,
        ["slow"] => {
            tokio::time::sleep(Duration::from_millis(number(&query, "ms").unwrap_or(100))).await;
            text("slow")
        }
        ["drip"] => drip(number(&query, "seconds").unwrap_or(1)),
        ["close"] => {
            mischief.plan(Wrong::ResetAfter(50_000));
            Response::new(body::sized(100_000))
        }
        ["hangup"] => return Err(io::Error::other("asked to hang up")),
        ["garbage"] => {
            mischief.plan(Wrong::Garbage);
            Response::new(body::empty())
        }
        ["users" | "orders", _] => demo::answer(&path, request.headers()),
        _ => echo(request).await?,
    })
}

async fn echo(request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(as_json(&json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "version": format!("{:?}", head.version),
        "host": head.uri.host(),
        "headers": headers_as_json(&head.headers, |_| true),
        "body": String::from_utf8_lossy(&body),
    })))
}

async fn upload(mut body: Incoming, pattern: bool) -> io::Result<Response<Body>> {
    let (mut bytes, mut checked) = (0, Checked::default());
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(io::Error::other)?.into_data() else { continue };
        bytes += piece.len();
        if pattern && let Err(why) = checked.take(&piece) {
            return Ok(with_status(StatusCode::UNPROCESSABLE_ENTITY, text(why)));
        }
    }
    Ok(text(bytes.to_string()))
}

fn drip(seconds: u64) -> Response<Body> {
    let (feed, body) = body::fed();
    tokio::spawn(async move {
        for drop in 0..seconds * 10 {
            if !feed.send(format!("drop {drop}\n")).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Response::new(body)
}

/// Something for policies to work on: nesting, arrays, every type, the same name at several depths.
fn nested() -> Value {
    json!({
        "id": 7,
        "name": "outer",
        "secret": "s1",
        "nothing": null,
        "flag": true,
        "ratio": 0.5,
        "owner": { "name": "inner", "secret": "s2", "tags": ["a", "b"] },
        "items": [{ "name": "first", "secret": "s3" }, { "name": "second", "secret": "s4" }],
    })
}

pub(super) fn as_json(value: &impl Serialize) -> Response<Body> {
    let mut content = serde_json::to_string_pretty(value).unwrap();
    content.push('\n');
    let mut response = text(content);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Headers as a JSON object; several of one name as an array.
pub(super) fn headers_as_json(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> Value {
    let mut all = Map::new();
    for name in headers.keys().filter(|name| wanted(name.as_str())) {
        let mut values: Vec<Value> =
            headers.get_all(name).iter().map(|it| String::from_utf8_lossy(it.as_bytes()).into()).collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        all.insert(name.to_string(), value);
    }
    Value::Object(all)
}

fn text(content: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(body::full(content.into()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

pub(super) fn with_status(status: StatusCode, mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = status;
    response
}

fn number(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}
