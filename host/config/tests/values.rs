//! What a good configuration means, value by value.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::path::Path;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use limen_config::{
    Action, Condition, Config, FixedBody, Host, IsolateMode, Level, LogFormat, Natives, OnError, OriginHost,
    PathPattern, Piece, RedirectQuery, Retries, RoutePath, Segment, SplitBy, StandIn, Target, Test, Trouble,
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
        (config.log.level, config.log.format, config.log.access.is_some()),
        (Level::Info, LogFormat::Text, false)
    );
    assert_eq!(config.listeners[0].name, "127.0.0.1:8080");
    assert!(config.listeners[0].tls.is_none());
    let timeout = &config.upstreams["users"].timeout;
    let seconds = [timeout.connect, timeout.first_byte, timeout.idle].map(|timeout| timeout.as_secs());
    assert_eq!(seconds, [4, 30, 60]);
    let route = &config.routes[0];
    assert_eq!(route.name, "/**");
    assert_eq!(route.listeners, [0]);
    assert_eq!(route.host, Host::Any);
    assert!(pattern(&route.path).rest && pattern(&route.path).segments.is_empty());
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
    let files: Vec<_> = config.files.iter().map(|seen| seen.path.as_path()).collect();
    assert_eq!(files, ["tests/ui/good/complete.toml", "tests/ui/good/teams/orders.toml"].map(Path::new));
    assert_eq!((config.gateway.workers, config.gateway.drain), (Some(2), Duration::from_secs(60)));
    assert_eq!(
        (config.log.level, config.log.format, config.log.access.map(|access| access.format)),
        (Level::Debug, LogFormat::Json, Some(LogFormat::Json))
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
    assert_eq!(plugin.component.file(), Some(Path::new("tests/ui/good/../files/region.wasm")));
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
    assert_eq!(
        pattern(&route.path).segments,
        [literal("v1"), literal("users"), Segment::Parameter("id".to_owned())]
    );
    assert_eq!(route.methods, Some(vec![Method::GET, Method::PUT]));
    let condition = |header, test| Condition::Header(HeaderName::from_static(header), test);
    assert_eq!(
        route.when,
        [
            condition("x-beta", Test::Equals("1".to_owned())),
            condition("x-a", Test::Prefix("b".to_owned())),
            condition("x-old", Test::Present(false)),
        ]
    );
    assert_eq!(config.routes[1].host, Host::Wildcard(".example.com".to_owned()));
    assert_eq!(pattern(&config.routes[1].path).segments, [literal("v1"), literal("")]);
    assert_eq!(config.routes[1].listeners, [0, 1, 2]);
    assert_eq!(config.routes[3].action.upstream(), Some("orders"));
    assert_eq!(config.routes[3].place.to_string(), "tests/ui/good/teams/orders.toml:8:1");
}

fn pattern(path: &RoutePath) -> &PathPattern {
    match path {
        RoutePath::Pattern(pattern) => pattern,
        RoutePath::Regex(regex) => panic!("{regex:?}"),
    }
}

#[test]
fn what_routes_do() {
    let config = load("routes");
    let [split, canary, regex, rewrite, redirect, https, respond, file] = config.routes.as_slice() else {
        panic!("{}", config.routes.len())
    };
    let forward = |route: &limen_config::Route| match &route.action {
        Action::Forward(forward) => forward.clone(),
        other => panic!("{other:?}"),
    };
    let targets = forward(split).split.targets;
    let weights: Vec<_> = targets.iter().map(|target| (target.to.as_str(), target.weight)).collect();
    assert_eq!(weights, [("users", 95), ("users-next", 5), ("orders", 0)]);
    assert_eq!(forward(split).split.by, SplitBy::Cookie("session".to_owned()));
    assert_eq!(split.action.upstream(), None);

    assert_eq!(forward(canary).split.by, SplitBy::Chance);
    let whens: Vec<_> = canary.when.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(whens.len(), 4);
    assert!(matches!(&canary.when[0], Condition::Query(name, Test::Present(true)) if name == "next"));
    assert!(
        matches!(&canary.when[1], Condition::Cookie(name, Test::Regex(it)) if name == "tester" && it.matches(b"a7"))
    );
    assert!(matches!(&canary.when[2], Condition::Client(networks) if networks.len() == 2));
    assert!(matches!(&canary.when[3], Condition::Not(inner) if matches!(**inner, Condition::Header(..))));

    assert_eq!(regex.name, "~/v1/(?<kind>users|orders)/[0-9]+");
    assert!(matches!(&regex.path, RoutePath::Regex(it) if it.pattern.literal_prefix() == "/v1/"));
    let rewritten = forward(regex).rewrite.unwrap();
    let literal = |text: &str| Piece::Literal(text.to_owned());
    assert_eq!(rewritten.path.unwrap().pieces, [literal("/internal/"), Piece::Parameter("kind".to_owned())]);
    assert_eq!(rewritten.host.unwrap(), "users.internal:8080");
    assert_eq!(forward(rewrite).rewrite.unwrap().path.unwrap().pieces, [literal("/v2"), Piece::Rest]);

    let mirror = forward(rewrite).mirror.unwrap();
    assert_eq!((mirror.to.as_str(), mirror.millionths), ("users-next", 15_000));
    assert_eq!((mirror.buffer, mirror.in_flight, mirror.host), (1 << 20, 128, None));

    let Action::Redirect(to) = &redirect.action else { panic!("{:?}", redirect.action) };
    assert_eq!((to.status, to.query), (StatusCode::PERMANENT_REDIRECT, RedirectQuery::Keep));
    assert_eq!(to.to.pieces, [literal("/new/"), Piece::Parameter("id".to_owned()), Piece::Rest]);
    assert_eq!(to.to.origin, None);
    let Action::Redirect(to) = &https.action else { panic!("{:?}", https.action) };
    let origin = to.to.origin.as_ref().unwrap();
    assert_eq!(
        (origin.scheme, &origin.host, origin.port.as_str()),
        ("https://", &OriginHost::Asked, ":8443")
    );
    assert_eq!((&to.to.pieces, to.status), (&vec![Piece::Path], StatusCode::MOVED_PERMANENTLY));
    assert_eq!(to.query, RedirectQuery::Drop);

    let Action::Respond(fixed) = &respond.action else { panic!("{:?}", respond.action) };
    assert_eq!(
        (fixed.status, &fixed.body),
        (StatusCode::SERVICE_UNAVAILABLE, &FixedBody::Text("back soon".to_owned()))
    );
    assert_eq!(fixed.headers[0].0, "retry-after");
    assert_eq!(file.action.file().unwrap(), Path::new("tests/ui/good/../files/certs/api.pem"));
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

#[test]
fn what_upstreams_do_about_trouble() {
    let config = load("resilience");
    let users = &config.upstreams["users"];
    let retries = users.retries.as_ref().unwrap();
    let status = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(retries.on, [Trouble::Connect, Trouble::Status(status), Trouble::GatewayError]);
    assert_eq!((retries.max, &*retries.methods), (2, &[Method::GET, Method::POST][..]));
    assert_eq!((retries.buffer, retries.per_try), (1 << 20, Some(Duration::from_secs(2))));
    assert_eq!((retries.budget.percent, retries.budget.minimum), (10, 0));
    assert_eq!(
        (retries.backoff.base, retries.backoff.max),
        (Duration::from_millis(10), Duration::from_secs(1))
    );
    assert_eq!(users.hedge.map(|hedge| (hedge.after, hedge.max)), Some((Duration::from_millis(100), 1)));
    assert_eq!((users.limits.requests, users.limits.queue), (Some(100), 50));
    assert_eq!(
        users.breaker.map(|breaker| (breaker.errors, breaker.requests, breaker.probes)),
        Some((30, 20, 3))
    );
    assert_eq!(users.timeout.total, Some(Duration::from_secs(60)));
    let fallback = users.fallback.as_ref().unwrap();
    assert!(matches!(&fallback.stand_in, StandIn::Upstream { name, .. } if name == "spare"));
    assert_eq!(fallback.on, [Trouble::Open, Trouble::ServerError]);

    let spare = &config.upstreams["spare"];
    let (retries, never) = (spare.retries.as_ref().unwrap(), Retries::never());
    assert_eq!(retries.max, 1);
    assert_eq!(retries.on, [Trouble::Connect, Trouble::RefusedStream, Trouble::Reset]);
    assert_eq!((&retries.methods, retries.buffer, retries.per_try), (&never.methods, 64 << 10, None));
    assert_eq!((retries.backoff, retries.budget), (never.backoff, never.budget));
    let fallback = spare.fallback.as_ref().unwrap();
    assert_eq!(fallback.on.len(), 6);
    let StandIn::Answer { status, headers, body } = &fallback.stand_in else { panic!() };
    assert_eq!((status.as_u16(), headers.len(), body.bytes()), (503, 1, &b"later"[..]));

    assert!(Trouble::GatewayError.covers(Trouble::Status(*status)));
    assert!(!Trouble::GatewayError.covers(Trouble::Status(StatusCode::INTERNAL_SERVER_ERROR)));
    assert!(!Trouble::ServerError.covers(Trouble::Reset) && Trouble::Reset.covers(Trouble::Reset));
}

/// As many as there may be on one path: names and clashes are found without comparing all with all, which
/// would take minutes.
#[test]
fn thirty_thousand_routes_on_one_path_are_read_in_seconds() {
    let file = std::env::temp_dir().join(format!("limen-{}.toml", std::process::id()));
    let mut text = "[[listener]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for n in 0..30_000 {
        text += &format!("[[route]]\nwhen = [{{ header = \"x\", equals = \"{n}\" }}]\nrespond = {{}}\n");
    }
    std::fs::write(&file, text).unwrap();
    let started = std::time::Instant::now();
    let config = Config::load(&file, &Natives(&[])).unwrap_or_else(|errors| panic!("{errors}"));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(config.routes[29_999].name, "/** #30000");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}
