//! A policy without the SDK: what any language with a wit-bindgen can do. It refuses requests that
//! carry `x-deny: 1` and marks the others with `x-policy: raw`.

wit_bindgen::generate!({ path: "../../../wit", world: "policy" });

use exports::limen::policy::{hook_request, plugin};
use limen::policy::types::Verdict;
use limen::policy::{reply, request, request_edit};

struct Raw;

impl plugin::Guest for Raw {
    fn describe() -> String {
        concat!(
            r#"{"name":"raw","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#"","description":""#,
            env!("CARGO_PKG_DESCRIPTION"),
            r#"","configSchema":{"type":"object","additionalProperties":false}}"#
        )
        .into()
    }

    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }
}

impl hook_request::Guest for Raw {
    fn on_request() -> Verdict {
        if request::header_equals("x-deny", "1") {
            let staged = reply::start(403)
                .and_then(|()| reply::header("content-type", "text/plain"))
                .and_then(|()| reply::body(b"denied by the raw policy\n"));
            return if staged.is_ok() { Verdict::Reply } else { Verdict::Fail };
        }
        match request_edit::set_header("x-policy", "raw") {
            Ok(()) => Verdict::Next,
            Err(_) => Verdict::Fail,
        }
    }
}

export!(Raw);
