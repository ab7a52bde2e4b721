//! Verdicts that are the policy's own failure, as `x-naughty` says: `want-body` and `want-chunks` without
//! such a hook, `reply` without a reply. Without the SDK, which makes the last two impossible.

wit_bindgen::generate!({ path: "../../../wit", world: "policy" });

use exports::limen::policy::{hook_request, plugin};
use limen::policy::types::Verdict;
use limen::policy::{request, request_edit};

struct Lies;

impl plugin::Guest for Lies {
    fn describe() -> String {
        r#"{"name":"lies","version":"0.1.0","description":"Answers with verdicts that it cannot mean.","configSchema":{"type":"object","additionalProperties":false}}"#.into()
    }

    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }
}

impl hook_request::Guest for Lies {
    fn on_request() -> Verdict {
        let _ = request_edit::set_header("x-staged", "lies");
        match request::header("x-naughty").as_deref() {
            Some("want-body") => Verdict::WantBody,
            Some("want-chunks") => Verdict::WantChunks,
            Some("reply") => Verdict::Reply,
            Some("fail") => Verdict::Fail,
            _ => Verdict::Next,
        }
    }
}

export!(Lies);
