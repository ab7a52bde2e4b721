//! Writes to WASI's standard error in `configure`, which keeps the stream's handle in the C library's tables,
//! and uses it again in every hook: a memory image cannot hold such a handle, so the gateway must
//! notice, and configure each isolate instead. The hash map's seed comes from the host's random numbers
//! too. Without the SDK, which sends standard error to the gateway's log and holds no handles.

wit_bindgen::generate!({ path: "../../../wit", world: "policy" });

use std::cell::RefCell;
use std::collections::HashMap;

use exports::limen::policy::{hook_request, plugin};
use limen::policy::types::Verdict;
use limen::policy::{request, request_edit};

thread_local! {
    static WORDS: RefCell<Option<HashMap<String, String>>> = const { RefCell::new(None) };
}

struct RandomHandles;

impl plugin::Guest for RandomHandles {
    fn describe() -> String {
        r#"{"name":"random-handles","version":"0.1.0","description":"Keeps a handle of the host from configure on.","configSchema":{"type":"object","additionalProperties":false}}"#.into()
    }

    fn configure(_config: String) -> Result<(), String> {
        eprintln!("random-handles: configured");
        // Some milliseconds, that are to be in the plugin's account.
        std::hint::black_box(
            (0..3_000_000_u64).fold(1, |x: u64, i| std::hint::black_box(x.wrapping_mul(25) ^ i)),
        );
        let words = [("hello", "world"), ("ping", "pong")];
        WORDS.set(Some(words.map(|(word, answer)| (word.into(), answer.into())).into()));
        Ok(())
    }
}

impl hook_request::Guest for RandomHandles {
    /// `x-word: ping` becomes `x-answer: pong`, if what `configure` left is there.
    fn on_request() -> Verdict {
        eprintln!("random-handles: on_request");
        let answer = request::header("x-word")
            .and_then(|word| WORDS.with_borrow(|words| words.as_ref()?.get(&word).cloned()));
        match answer.map(|answer| request_edit::set_header("x-answer", &answer)) {
            None | Some(Ok(())) => Verdict::Next,
            Some(Err(_)) => Verdict::Fail,
        }
    }
}

export!(RandomHandles);
