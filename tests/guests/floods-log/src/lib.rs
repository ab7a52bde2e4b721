//! Writes a million lines for `x-naughty`: `log` through the gateway's log, `stderr` through WASI's standard
//! error; `long` is one line of a megabyte, and `lines` two lines in one. Without the SDK, which sends standard error to the
//! gateway's log by itself.

wit_bindgen::generate!({ path: "../../../wit", world: "policy" });

use exports::limen::policy::{hook_request, plugin};
use limen::policy::types::{Level, Verdict};
use limen::policy::{log, request};

const LINES: u32 = 1_000_000;

struct FloodsLog;

impl plugin::Guest for FloodsLog {
    fn describe() -> String {
        r#"{"name":"floods-log","version":"0.1.0","description":"Writes a million lines to the log.","configSchema":{"type":"object","additionalProperties":false}}"#.into()
    }

    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }
}

impl hook_request::Guest for FloodsLog {
    fn on_request() -> Verdict {
        match request::header("x-naughty").as_deref() {
            Some("log") => (0..LINES).for_each(|line| log::write(Level::Error, &format!("flood {line}"))),
            Some("stderr") => (0..LINES).for_each(|line| eprintln!("flood {line}")),
            Some("lines") => log::write(Level::Error, "first line\nsecond line"),
            Some("long") => log::write(Level::Error, &"long ".repeat(200_000)),
            _ => {}
        }
        Verdict::Next
    }
}

export!(FloodsLog);
