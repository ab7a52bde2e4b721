//! What the tests of the whole have in common: how a config is put together, what a refusal looks like.

use limen_tests::{Answer, Origin, guest};
use std::path::Path;

/// A config with the listener `plain`, the upstream `origin`, and what is added.
pub fn config(origin: &Origin, rest: &str) -> String {
    format!(
        r#"
        [[listener]]
        name    = "plain"
        address = "127.0.0.1:0"

        [upstream.origin]
        endpoints = ["{origin}"]

        {rest}
        "#
    )
}

/// A listener on a port that the system chooses.
pub fn listener() -> &'static str {
    "[[listener]]\naddress = \"127.0.0.1:0\"\n"
}

/// A config like [`config`], served by one worker: what is asked one after another meets the same isolates.
pub fn config_of_one_worker(origin: &Origin, rest: &str) -> String {
    format!("[gateway]\nworkers = 1\n{}", config(origin, rest))
}

/// `[plugin.NAME]` of a component, with further keys.
pub fn plugin(name: &str, component: impl AsRef<Path>, keys: &str) -> String {
    format!("[plugin.{name}]\ncomponent = {:?}\n{keys}\n", component.as_ref())
}

/// `[plugin.NAME]` of the guest with that name. Its CPU limit is one that a busy machine doesn't meet by chance.
pub fn guest_plugin(name: &str) -> String {
    plugin(name, guest(name), PATIENT)
}

/// `[plugin.NAME]` of the guest with that name, with keys of the test's own.
pub fn guest_plugin_with(name: &str, keys: &str) -> String {
    plugin(name, guest(name), keys)
}

/// The same, for one that reads bodies.
pub fn body_plugin(name: &str) -> String {
    plugin(name, guest(name), &format!("{PATIENT}\n{BODIES}"))
}

/// Limits that only a policy without end meets.
pub const PATIENT: &str = r#"limits = { cpu = "2s", wall = "10s" }"#;

/// Grants of a policy that wants bodies.
pub const BODIES: &str = "grants = { request_body = true, response_body = true }";

/// A route to `origin`, with these items of `policies`.
pub fn route(path: &str, policies: &str) -> String {
    format!("[[route]]\nname = {path:?}\npath = {path:?}\npolicies = [{policies}]\nupstream = \"origin\"\n")
}

/// The answer is the gateway's own, names its request, and says nothing of the inside.
#[track_caller]
pub fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
    assert!(answer.text().ends_with("}\n"), "a line of its own in a terminal");
    let problem = answer.json();
    let mut keys: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["detail", "request_id", "status", "title", "type"]);
    assert_eq!(problem["status"], status);
    let id = problem["request_id"].as_str().unwrap();
    assert_eq!(id.len(), 32, "{id}");
    assert_eq!(answer.header("x-request-id"), Some(id));
    let text = format!("{:?} {}", answer.headers, answer.text()).to_ascii_lowercase();
    for inside in
        ["trap", "wasm", "panic", "unreachable", "backtrace", "cpu", "memory", "asked to", "told to"]
    {
        assert!(!text.contains(inside), "the client reads {inside:?}: {text}");
    }
}
