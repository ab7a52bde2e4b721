//! One policy names the consumer, a later one and the access log go by it.

use crate::common::{PATIENT, config, guest_plugin_with, route};
use limen_tests::{Client, Gateway, Origin, eventually};
use serde_json::Value;

fn config_with(origin: &Origin, names: &str, reads: &str) -> String {
    let plugin = |name: &str, grants: &str| guest_plugin_with(name, &format!("{grants}\n{PATIENT}"));
    let rest = [
        "[log]\naccess = { format = \"json\" }".to_owned(),
        plugin("names-consumer", names),
        plugin("reads-consumer", reads),
        route("/**", r#"{ use = "names-consumer", on_error = "skip" }, "reads-consumer""#),
        route("/before/**", r#""reads-consumer", "names-consumer""#),
    ];
    config(origin, &rest.join("\n"))
}

async fn access_line(gateway: &Gateway, path: &str) -> Value {
    eventually("a line of the access log", async || {
        let lines = gateway.log();
        let lines = lines.iter().filter(|line| line.contains("\"target\":\"access\""));
        lines.map(|line| serde_json::from_str(line).unwrap()).find(|line: &Value| line["path"] == path)
    })
    .await
}

#[tokio::test]
async fn whom_a_policy_names_later_ones_and_the_log_know() {
    let origin = Origin::start();
    let text = config_with(&origin, "grants = { consumer = \"set\" }", "grants = { consumer = \"read\" }");
    let gateway = Gateway::start(text).await;
    let client = Client::http1();

    let known = client.get(gateway.url("/echo/known")).header("x-key", "ada").send().await;
    assert_eq!(known.header("x-late"), Some("refused"), "a consumer is named in the request phases");
    let seen = known.json();
    assert_eq!((&seen["headers"]["x-consumer"], &seen["headers"]["x-plan"]), (&"ada".into(), &"gold".into()));
    assert_eq!(access_line(&gateway, "/echo/known").await["consumer"], "ada");

    let nobody = client.get(gateway.url("/echo/nobody")).send().await.json();
    assert_eq!(nobody["headers"]["x-consumer"], "");
    assert!(access_line(&gateway, "/echo/nobody").await.get("consumer").is_none());

    let before = client.get(gateway.url("/before/1")).header("x-key", "ada").send().await.json();
    assert_eq!(before["headers"]["x-consumer"], "", "who comes before the naming knows nobody");
    assert_eq!(access_line(&gateway, "/before/1").await["consumer"], "ada");

    let failed = client.get(gateway.url("/echo/failed")).header("x-key", "ada").header("x-fail", "1");
    assert_eq!(failed.send().await.json()["headers"]["x-consumer"], "", "a failing policy leaves no trace");
    assert!(access_line(&gateway, "/echo/failed").await.get("consumer").is_none());

    let odd = client.get(gateway.url("/echo/odd")).header("x-key", &"a".repeat(257)).send().await.json();
    assert_eq!(odd["headers"]["x-consumer"], "", "an id that is too long is none");
}

#[tokio::test]
async fn reading_is_not_naming() {
    let origin = Origin::start();
    let read = "grants = { consumer = \"read\" }";
    for (names, reads, said) in [
        ("", read, "imports `consumer-edit`, which it is not granted"),
        (read, read, "imports `consumer-edit`, which it is not granted"),
        ("grants = { consumer = \"set\" }", "", "imports `consumer`, which it is not granted"),
    ] {
        let refused = Gateway::with(config_with(&origin, names, reads)).check().await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains(said), "{said:?} is not in {}", refused.stderr);
        let hint = if said.contains("edit") { "consumer = \"set\"" } else { "consumer = \"read\"" };
        assert!(refused.stderr.contains(&format!("grants = {{ {hint} }}")), "{}", refused.stderr);
    }
}
