//! The audit log: who has changed what. (Of keys `native/api_key.rs` tells.)

use limen_tests::{Answer, Client, Gateway, Origin, eventually};
use serde_json::Value;

use crate::common::{PATIENT, config, plugin, route};
use crate::swap::component;

/// A gateway with a cache, a quota and a plugin.
async fn start(origin: &Origin) -> Gateway {
    Gateway::with(text(origin, 10)).file("version.wasm", component(1)).start().await
}

fn text(origin: &Origin, limit: u64) -> String {
    let named = format!(
        "[policy.plan]\nuse = \"quota\"\nwith = {{ per = \"month\", limit = {limit}, by = [{{ header = \"x-user\" }}] }}\n"
    );
    let rest = [
        "[admin]\naddress = \"127.0.0.1:0\"\n[log]\naudit = \"audit.log\"\n",
        &named,
        &plugin("version", "version.wasm", PATIENT),
        &route("/**", r#""plan", "cache", "version""#),
    ];
    config(origin, &rest.join("\n"))
}

fn lines(gateway: &Gateway) -> Vec<Value> {
    let text = std::fs::read_to_string(gateway.path("audit.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The first line of what was done, once it is there.
async fn line(gateway: &Gateway, what: &str) -> Value {
    eventually(what, async || lines(gateway).into_iter().find(|line| line["what"] == what)).await
}

async fn ask(gateway: &Gateway, method: &str, page: &str) -> Answer {
    Client::http1().request(method.parse().unwrap(), gateway.admin_url(page)).send().await
}

fn is_by_admin(line: &Value) -> bool {
    let by = &line["by"];
    by["via"] == "admin" && by["user"].is_string() && by["peer"].as_str().unwrap().starts_with("127.0.0.1:")
}

#[tokio::test]
async fn purges_and_resets_are_noted_with_who_made_them() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for _ in 0..3 {
        Client::http1().get(gateway.url("/a")).header("x-user", "ada").send().await;
    }
    assert_eq!(ask(&gateway, "POST", "/caches/purge?tag=news").await.status, 200);
    let purged = line(&gateway, "cache.purge").await;
    assert!(is_by_admin(&purged), "{purged}");
    assert_eq!((&purged["tag"], &purged["purged"]), (&"news".into(), &0.into()), "{purged}");
    assert_eq!(purged["caches"].as_array().unwrap().len(), 1, "{purged}");

    let told = ask(&gateway, "GET", "/quotas?quota=plan").await.json();
    let (key, used) = told[0]["used"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(used, 3);
    let page = format!("/quotas?quota=plan&key={key}");
    let reset = ask(&gateway, "DELETE", &page).await;
    assert_eq!((reset.status.as_u16(), &reset.json()["used"]), (200, &3.into()));
    assert_eq!(ask(&gateway, "GET", &page).await.json()[0]["used"][key], 0);
    let noted = line(&gateway, "quota.reset").await;
    assert!(is_by_admin(&noted), "{noted}");
    assert_eq!(
        (&noted["quota"], &noted["key"], &noted["used"]),
        (&"plan".into(), &key.as_str().into(), &3.into())
    );
    for (page, status) in [("/quotas", 400), ("/quotas?quota=plan", 400), ("/quotas?quota=x&key=y", 404)] {
        assert_eq!(ask(&gateway, "DELETE", page).await.status, status, "{page}");
    }
    assert_eq!(ask(&gateway, "POST", "/caches/purge").await.status, 400);
    assert_eq!(lines(&gateway).len(), 3, "what was refused has no line");
}

#[tokio::test]
async fn versions_of_plugins_and_terms_of_quotas_are_noted() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    gateway.replace_file("version.wasm", component(2));
    let version = line(&gateway, "plugin").await;
    assert_eq!((&version["name"], &version["by"]["via"]), (&"version".into(), &"files".into()), "{version}");
    let [from, to] = ["from", "to"].map(|side| version[side].as_str().unwrap().to_owned());
    let plugins = ask(&gateway, "GET", "/plugins").await.json().to_string();
    assert!(from != to && plugins.contains(&to), "{version} {plugins}");

    gateway.write_config(text(&origin, 20));
    let terms = line(&gateway, "quota").await;
    let expected = ["plan", "10 per month of UTC", "20 per month of UTC"].map(Value::from);
    assert_eq!(["name", "from", "to"].map(|key| terms[key].clone()), expected);
    let what: Vec<_> = lines(&gateway).iter().map(|line| line["what"].as_str().unwrap().to_owned()).collect();
    assert_eq!(what, ["config", "config", "plugin", "config", "quota"], "each once");
}
