//! What a good configuration means, value by value.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use limen_config::{
    Condition, Config, HeaderTest, Host, IsolateMode, Level, LogFormat, Natives, OnError, Segment, Target,
};
use serde_json::json;

const NATIVES: Natives<'static> = Natives(&["cors", "headers", "jwt"]);

fn load(name: &str) -> Config {
    match Config::load(format!("tests/ui/good/{name}.toml"), &NATIVES) {
        Ok(config) => config,
        Err(errors) => panic!("{errors}"),
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = load("smallest");
    assert_eq!(config.gateway.workers, None);
    assert_eq!(config.gateway.drain, Duration::from_secs(30));
    assert_eq!(
        (config.log.level, config.log.format, config.log.access),
        (Level::Info, LogFormat::Text, false)
    );
    assert_eq!(config.listeners[0].name, "127.0.0.1:8080");
    assert!(config.listeners[0].tls.is_none());
    let timeout = &config.upstreams["users"].timeout;
    let seconds = [timeout.connect, timeout.first_byte, timeout.idle].map(|timeout| timeout.as_secs());
    assert_eq!(seconds, [1, 30, 60]);
    let route = &config.routes[0];
    assert_eq!(route.name, "/**");
    assert_eq!(route.listeners, [0]);
    assert_eq!(route.host, Host::Any);
    assert!(route.path.rest && route.path.segments.is_empty());
    assert!(route.methods.is_none() && route.when.is_empty() && route.policies.is_empty());

    let config = load("complete");
    let plugin = &config.plugins["plain"];
    assert_eq!(
        (plugin.isolate, plugin.on_error, plugin.grants.counters),
        (IsolateMode::Fresh, OnError::Refuse, false)
    );
    assert_eq!((plugin.limits.cpu, plugin.limits.wall), (Duration::from_millis(5), Duration::from_secs(1)));
    assert_eq!((plugin.limits.memory, plugin.limits.body), (16 << 20, 1 << 20));
}

#[test]
fn what_is_written_is_what_it_means() {
    let config = load("complete");
    assert_eq!(config.file, Path::new("tests/ui/good/complete.toml"));
    assert_eq!(
        config.files,
        ["tests/ui/good/complete.toml", "tests/ui/good/teams/orders.toml"].map(PathBuf::from)
    );
    assert_eq!((config.gateway.workers, config.gateway.drain), (Some(2), Duration::from_secs(60)));
    assert_eq!(
        (config.log.level, config.log.format, config.log.access),
        (Level::Debug, LogFormat::Json, true)
    );

    let names: Vec<_> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["127.0.0.1:0", "127.0.0.1:0 #2", "public"]);
    assert_eq!(config.listeners[2].address, "[::1]:8443".parse().unwrap());
    let certificate = &config.listeners[2].tls.as_ref().unwrap().certificates[0];
    assert_eq!(certificate.cert, Path::new("tests/ui/good/../files/certs/api.pem"));
    assert_eq!(certificate.key, Path::new("tests/ui/good/../files/certs/api.key"));

    let plugin = &config.plugins["region"];
    assert_eq!(
        (plugin.name.as_str(), plugin.isolate, plugin.grants.counters),
        ("region", IsolateMode::Reused, true)
    );
    assert_eq!(plugin.component, Path::new("tests/ui/good/../files/region.wasm"));
    assert_eq!(
        (plugin.limits.cpu, plugin.limits.wall),
        (Duration::from_millis(10), Duration::from_millis(1500))
    );
    assert_eq!((plugin.limits.memory, plugin.limits.body), (32 << 20, 4096));
    assert_eq!(plugin.on_error, OnError::Status(StatusCode::SERVICE_UNAVAILABLE));

    let users = &config.upstreams["users"];
    let endpoints: Vec<_> = users.endpoints.iter().map(|it| (it.host.as_str(), it.port)).collect();
    assert_eq!(endpoints, [("127.0.0.1", 9001), ("users.internal", 80), ("::1", 9003)]);
    assert_eq!(
        (users.timeout.connect, users.timeout.first_byte),
        (Duration::from_millis(250), Duration::from_secs(120))
    );
    assert!(config.upstreams.contains_key("orders"));
}

#[test]
fn routes() {
    let config = load("complete");
    let names: Vec<_> = config.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["user", "*.example.com/v1/", "*.example.com/v1/ #2", "/orders/**"]);

    let route = &config.routes[0];
    assert_eq!(route.listeners, [2, 1]);
    assert_eq!(route.host, Host::Exact("api.example.com".to_owned()));
    let literal = |text: &str| Segment::Literal(text.to_owned());
    assert_eq!(route.path.segments, [literal("v1"), literal("users"), Segment::Parameter("id".to_owned())]);
    assert_eq!(route.methods, Some(vec![Method::GET, Method::PUT]));
    let condition = |header, test| Condition { header: HeaderName::from_static(header), test };
    assert_eq!(
        route.when,
        [
            condition("x-beta", HeaderTest::Equals("1".to_owned())),
            condition("x-a", HeaderTest::Prefix("b".to_owned())),
            condition("x-old", HeaderTest::Present(false)),
        ]
    );
    assert_eq!(config.routes[1].host, Host::Wildcard(".example.com".to_owned()));
    assert_eq!(config.routes[1].path.segments, [literal("v1"), literal("")]);
    assert_eq!(config.routes[1].listeners, [0, 1, 2]);
    assert_eq!(config.routes[3].upstream, "orders");
    assert_eq!(config.routes[3].place.to_string(), "tests/ui/good/teams/orders.toml:8:1");
}

#[test]
fn policies() {
    let config = load("complete");
    let attached = |n: usize| {
        let policies = config.routes[n].policies.iter();
        policies.map(|it| (it.name.clone(), it.target.clone(), it.on_error)).collect::<Vec<_>>()
    };
    let plugin = |name: &str| Target::Plugin(name.to_owned());
    let native = |name: &str| Target::Native(name.to_owned());
    assert_eq!(
        attached(0),
        [
            ("login".to_owned(), native("jwt"), Some(OnError::Refuse)),
            ("region".to_owned(), plugin("region"), Some(OnError::Skip)),
            ("headers".to_owned(), plugin("headers"), None),
            ("builtin:headers".to_owned(), native("headers"), None),
        ]
    );
    assert_eq!(attached(1)[0], ("cors".to_owned(), native("cors"), None));
    assert_eq!(attached(2), []);
    assert_eq!(attached(3), [("mark".to_owned(), plugin("headers"), None)]);
}

#[test]
fn settings_and_their_places() {
    let config = load("complete");
    let settings = &config.routes[0].policies[0].settings;
    assert_eq!(
        *settings.value(),
        json!({
            "issuer": "https://id.example.com",
            "literal": "${X}",
            "since": "1979-05-27T07:32:00Z",
            "list": [{ "n": 1.5 }, true],
            "a/b~c": -7,
        })
    );
    for (pointer, key) in [
        ("", "policy.login.with"),
        ("/issuer", "policy.login.with.issuer"),
        ("/list/0/n", "policy.login.with.list[0].n"),
        ("/list/0/nothing/there", "policy.login.with.list[0]"),
        ("/a~1b~0c", "policy.login.with.\"a/b~c\""),
        ("/none", "policy.login.with"),
        ("nonsense", "policy.login.with"),
    ] {
        assert_eq!(settings.place(pointer).key, key, "{pointer}");
    }
    let without = &config.routes[0].policies[2];
    assert_eq!(*without.settings.value(), json!({}));
    assert_eq!(without.settings.place("/any").key, "route[0].policies[1]");
}
