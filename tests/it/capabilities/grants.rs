//! What a component imports and exports has to be granted by name.

use crate::common::{BODIES, PATIENT, config, guest_plugin_with, route};
use limen_tests::{Client, Gateway, Origin};

fn config_with(origin: &Origin, grants: &str) -> String {
    let attached = r#"{ use = "bodies", with = { request = "upper", response = { append = "!" } } }"#;
    let rest = [guest_plugin_with("bodies", &format!("{PATIENT}\n{grants}")), route("/**", attached)];
    config(origin, &rest.join("\n"))
}

#[tokio::test]
async fn bodies_are_refused_by_the_names_of_their_hooks() {
    let origin = Origin::start();
    for (grants, lacks, hint) in [
        ("", &["request", "response"][..], "grants = { request_body = true, response_body = true }"),
        ("grants = { request_body = true }", &["response"], "grants = { response_body = true }"),
        ("grants = { response_body = true }", &["request"], "grants = { request_body = true }"),
    ] {
        let refused = Gateway::with(config_with(&origin, grants)).check().await;
        assert_eq!(refused.status.code(), Some(1));
        let said = &refused.stderr;
        for side in ["request", "response"] {
            let what = format!("`{side}-body`");
            assert_eq!(said.contains(&what), lacks.contains(&side), "{what} with {grants:?}: {said}");
        }
        assert!(said.contains("key: plugin.bodies") && said.contains(hint), "{said}");
    }

    let gateway = Gateway::start(config_with(&origin, BODIES)).await;
    let answer = Client::http1().post(gateway.url("/echo")).body("hello").send().await;
    assert!(answer.text().contains("HELLO") && answer.text().ends_with('!'), "{}", answer.text());
}
