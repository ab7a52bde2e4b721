//! Built for a version of the contract that no gateway speaks: it must be refused at load, with a
//! sentence that names both versions.

wit_bindgen::generate!({
    inline: r#"
        package limen:policy@9.9.0;

        interface types { enum verdict { next, reply, want-body, want-chunks, fail } }
        interface plugin {
            describe: func() -> string;
            configure: func(config: string) -> result<_, string>;
        }
        interface request { has-header: func(name: string) -> bool; }
        interface hook-request {
            use types.{verdict};
            on-request: func() -> verdict;
        }
        world policy {
            import request;
            export plugin;
            export hook-request;
        }
    "#,
});

use exports::limen::policy::{hook_request, plugin};
use limen::policy::request;
use limen::policy::types::Verdict;

struct WrongVersion;

impl plugin::Guest for WrongVersion {
    fn describe() -> String {
        r#"{"name":"wrong-version","version":"0.1.0","description":"","configSchema":{"type":"object"}}"#
            .into()
    }

    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }
}

impl hook_request::Guest for WrongVersion {
    fn on_request() -> Verdict {
        if request::has_header("x-naughty") { Verdict::Fail } else { Verdict::Next }
    }
}

export!(WrongVersion);
