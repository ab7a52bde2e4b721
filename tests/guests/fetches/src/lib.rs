//! Calls upstreams as the header `x-do` says, well and badly: `x-upstream` and `x-path` name what, `x-times`
//! how often.

use std::time::Duration;

use limen::fetch::{self, Answer, Call, FetchError};
use limen::prelude::*;

struct Fetches {
    /// Answers that are not read.
    held: Vec<Answer>,
}

#[limen::policy]
impl Fetches {
    fn configure() -> Result<Self> {
        // Not granted yet: it is an error and nothing more.
        ensure!(fetch::get("origin", "/").send().err() == Some(FetchError::Denied), "configure may call");
        Ok(Fetches { held: Vec::new() })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let Some(what) = request.header("x-do") else { return Ok(Flow::Next) };
        let times = request.header("x-times").and_then(|times| times.parse().ok()).unwrap_or(1);
        let call = || call(request);
        let told = match &*what {
            "one" => match call().send() {
                Ok(answer) => {
                    let kind = answer.header("content-type").unwrap_or_default();
                    let (status, kind) = (answer.status(), kind);
                    match answer.body() {
                        Ok(body) => format!("{status} {kind}\n{}", String::from_utf8_lossy(&body)),
                        Err(error) => format!("{status} {kind}\n{error:?}"),
                    }
                }
                Err(error) => format!("{error:?}"),
            },
            "post" => told(call_with("POST", request).header("x-mine", "1").body("from a policy").send()),
            "soon" => told(call().timeout(Duration::from_millis(100)).send()),
            "after-another" => {
                for _ in 0..times {
                    call().send()?.body()?;
                }
                "done".into()
            }
            "at-once" => {
                let calls: Vec<Call> = (0..times).map(|_| call()).collect();
                let mut ends: Vec<String> = fetch::send_all(&calls).into_iter().map(told).collect();
                ends.sort();
                let mut counted = Vec::new();
                for end in ends.chunk_by(|one, other| one == other) {
                    counted.push(format!("{} {}", end.len(), end[0]));
                }
                counted.join(", ")
            }
            "pieces" => {
                let mut answer = call().send()?;
                let (mut pieces, mut bytes) = (0, 0);
                while let Some(piece) = answer.read(1000)? {
                    ensure!(piece.len() <= 1000, "a piece of {} bytes", piece.len());
                    (pieces, bytes) = (pieces + 1, bytes + piece.len());
                }
                format!("{} {bytes}", if pieces > 1 { "pieces" } else { "piece" })
            }
            "hold" => {
                for _ in 0..times {
                    self.held.push(call().send()?);
                }
                return Ok(Flow::Next);
            }
            "forbidden" => {
                let names =
                    ["host", "content-length", "transfer-encoding", "connection", "via", "traceparent"];
                let taken = names
                    .iter()
                    .filter(|name| call().header(**name, "x").send().err() != Some(FetchError::Invalid));
                format!("taken: {:?}", taken.collect::<Vec<_>>())
            }
            "send-much" => told(call_with("POST", request).body(vec![0; 2 << 20]).send()),
            "send-split" => told(call().header("x-a", "b\r\nx-c: d").send()),
            // The same again, wherever it goes to.
            "circle" => {
                let path = request.path();
                let again = fetch::get("itself", &path).header("x-do", "circle").send()?;
                return Ok(Reply::new(again.status()).body(again.body()?).into());
            }
            "connect" => told(Call::new("origin", "CONNECT", "/").send()),
            "loop" => loop {
                let _ = call().send();
            },
            other => bail!("no such thing to do: {other}"),
        };
        Ok(Reply::new(200).text(told).into())
    }

    fn on_log(&mut self, request: &Request, _: &Response) {
        if request.has_header("x-log") {
            info!("at the end: {}", told(call(request).send()));
        }
    }
}

fn call(request: &Request) -> Call {
    call_with("GET", request)
}

fn call_with(method: &str, request: &Request) -> Call {
    let of = |name: &str, default: &str| request.header(name).unwrap_or_else(|| default.into());
    Call::new(of("x-upstream", "origin"), method, of("x-path", "/fetched"))
}

fn told(answer: Result<Answer, FetchError>) -> String {
    match answer {
        Ok(answer) => answer.status().to_string(),
        Err(error) => format!("{error:?}"),
    }
}
