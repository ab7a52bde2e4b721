//! Mistakes in the configuration: all of them at once, each where it is, and nothing bound.

use crate::common::{config, guest_plugin, plugin, route};
use limen_tests::{Finished, Gateway, Origin, Setup, guest};

const MAIN: &str = r#"include = [{ files = ["teams/*.toml"], may = ["route", "policy", "upstream"] }]

[gateway]
workers = 0

[[listener]]
name    = "plain"
address = "localhost:8080"

[plugin.login]
component = "missing.wasm"
on_error  = "ignore"

[plugin.region]
component = "region.wasm"
limits    = { cpu = 5, memry = "16MiB" }

[upstream.users]
endpoints = ["127.0.0.1:9001"]
timeout   = { first_byte = "soon" }

[[route]]
path     = "/users/{id}"
policies = ["region"]
upstream = "users"
"#;

const TEAM: &str = r#"[[route]]
path     = "shop/**"
upstream = "users"

[[route]]
path     = "/cart"
methods  = ["GET"]
policies = ["regin"]
upstream = "users"

[[route]]
path     = "/users/{name}"
upstream = "users"

[[route]]
path     = "/hats"
upstream = "usrs"
"#;

/// Where, what, and something of the expectation or the hint.
const TWELVE: [(&str, &str, &str); 12] = [
    ("limen.toml:4:11", "out of range: 0", "an integer from 1 to 1024"),
    ("limen.toml:8:11", "not an address: `localhost:8080`", "did you mean \"127.0.0.1:8080\"?"),
    ("limen.toml:11:13", "cannot read `missing.wasm`: no such file", "relative to the file that names it"),
    ("limen.toml:12:13", "unknown value `ignore`", "\"refuse\", \"skip\" or a table"),
    ("limen.toml:16:21", "a duration without a unit: 5", "did you mean \"5s\"?"),
    ("limen.toml:16:24", "unknown key `memry`", "did you mean `memory`?"),
    (
        "limen.toml:19:14",
        "an endpoint without `http://`: `127.0.0.1:9001`",
        "did you mean \"http://127.0.0.1:9001\"?",
    ),
    ("limen.toml:20:28", "not a duration: `soon`", "a duration from 1ms to 24h"),
    ("teams/shop.toml:2:12", "a path must start with `/`: `shop/**`", "did you mean \"/shop/**\"?"),
    ("teams/shop.toml:8:13", "no policy, plugin or built-in policy `regin`", "did you mean `region`?"),
    (
        "teams/shop.toml:11:1",
        "duplicate route: it matches the same requests as `/users/{id}`",
        "limen.toml:22:1",
    ),
    ("teams/shop.toml:17:12", "no upstream `usrs`", "did you mean `users`?"),
];

/// The errors that were printed, each with all its lines.
fn errors(finished: &Finished) -> Vec<&str> {
    finished.stderr.split("\n\n").filter(|block| block.starts_with("error: ")).collect()
}

/// It said no, and did nothing else.
#[track_caller]
fn assert_refused(finished: &Finished) {
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    assert_eq!(finished.stdout, "", "nothing is bound, and nobody is told that it is");
}

async fn refusals(setup: impl Fn() -> Setup) -> [Finished; 2] {
    let both = [setup().check().await, setup().run().await];
    both.iter().for_each(assert_refused);
    assert_eq!(both[0].stderr, both[1].stderr, "`check` and `run` say the same");
    both
}

#[tokio::test]
async fn twelve_mistakes_in_two_files_are_twelve_errors() {
    let setup = || Gateway::with(MAIN).file("teams/shop.toml", TEAM).copy("region.wasm", guest("raw"));
    for finished in refusals(setup).await {
        let errors = errors(&finished);
        assert_eq!(errors.len(), TWELVE.len(), "{}", finished.stderr);
        for (error, (place, what, help)) in errors.iter().zip(TWELVE) {
            assert!(error.starts_with(&format!("error: {what}\n")), "{what:?} is not in {error}");
            assert!(error.contains(&format!("--> {place}\n")), "{place} is not in {error}");
            assert!(error.contains(help), "{help:?} is not in {error}");
            assert!(error.contains("= key: "), "{error}");
        }
        assert!(finished.stderr.ends_with("12 errors in 2 files\n"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn settings_are_checked_against_the_plugin_s_schema() {
    let origin = Origin::start();
    let attached = |settings: &str| format!("{{ use = \"api-key\", with = {{ {settings} }} }}");
    let rest = [
        plugin("api-key", limen_tests::plugin("api-key"), ""),
        route("/undeclared", &attached(r#"keys = { ada = "k" }, heder = "x""#)),
        route("/type", &attached("keys = 5")),
        route("/nested", &attached("keys = { ada = true }")),
        route("/missing", "\"api-key\""),
        // What is there under another name is not missing as well.
        route("/misspelt", &attached(r#"kyes = { ada = "k" }"#)),
        route("/built-in", r#"{ use = "headers", with = { respones = {} } }"#),
        route("/good", &attached(r#"keys = { ada = "k" }"#)),
    ];
    let text = config(&origin, &rest.join("\n"));
    for finished in refusals(|| Gateway::with(&text)).await {
        let errors = errors(&finished);
        assert_eq!(errors.len(), 6, "{}", finished.stderr);
        for (error, (line, what, help)) in errors.iter().zip([
            ("/undeclared", "unknown setting `heder`", "did you mean `header`?"),
            ("/type", "5 is not of type \"object\"", "route[1].policies[0].with.keys\n"),
            ("/nested", "true is not of type \"string\"", "route[2].policies[0].with.keys.ada\n"),
            ("/missing", "\"keys\" is a required property", "route[3].policies[0]\n"),
            ("/misspelt", "unknown setting `kyes`", "did you mean `keys`?"),
            ("/built-in", "respones", "response"),
        ]) {
            // Each is shown on the line of its `policies`, which is two below that of its name.
            let number = 2 + text.lines().position(|it| it == format!("name = {line:?}")).unwrap() + 1;
            assert!(error.contains(&format!("--> limen.toml:{number}:")), "line {number} is not in {error}");
            assert!(error.contains(what), "{what:?} is not in {error}");
            assert!(error.contains(help), "{help:?} is not in {error}");
        }
    }
}

#[tokio::test]
async fn one_without_settings_takes_none() {
    let origin = Origin::start();
    let given = r#"{ use = "logs", with = { limit = 1, other = {} } }"#;
    let checked =
        Gateway::with(config(&origin, &[guest_plugin("logs"), route("/**", given)].join("\n"))).check().await;
    for said in [
        "unknown setting `limit`",
        "unknown setting `other`",
        "nothing here: there are no settings",
        "2 errors",
    ] {
        assert!(checked.stderr.contains(said), "{said:?} is not in {}", checked.stderr);
    }
}

#[tokio::test]
async fn what_was_never_built_is_told_how() {
    let origin = Origin::start();
    let rest = plugin("mine", std::path::PathBuf::from("target/mine.wasm"), "");
    let checked = Gateway::with(config(&origin, &[rest, route("/**", "\"mine\"")].join("\n"))).check().await;
    assert!(checked.stderr.contains("limen.toml:"), "{}", checked.stderr);
    assert!(checked.stderr.contains("`limen policy build` builds a policy"), "{}", checked.stderr);
}

#[tokio::test]
async fn components_that_are_none_are_told_apart() {
    let origin = Origin::start();
    let truncated = std::fs::read(guest("raw")).unwrap();
    let truncated = &truncated[..truncated.len() / 2];
    let kinds: [(&str, &[u8], &str); 4] = [
        ("core", b"\0asm\x01\0\0\0", "this is a core WebAssembly module, not a component"),
        ("empty", b"", "the file is empty"),
        ("text", b"not wasm at all", "this is not WebAssembly"),
        ("truncated", truncated, "the component is broken"),
    ];
    let plugins = kinds.map(|(name, ..)| plugin(name, format!("{name}.wasm"), "")).join("\n");
    let routes = kinds.map(|(name, ..)| route(&format!("/{name}"), &format!("{name:?}"))).join("\n");
    let text = config(&origin, &format!("{plugins}\n{routes}"));
    let setup = || {
        let files = kinds.into_iter();
        files.fold(Gateway::with(&text), |setup, (name, bytes, _)| setup.file(&format!("{name}.wasm"), bytes))
    };
    for finished in refusals(setup).await {
        assert_eq!(errors(&finished).len(), kinds.len(), "{}", finished.stderr);
        for (name, _, what) in kinds {
            let error = errors(&finished).into_iter().find(|it| it.contains(&format!("[plugin.{name}]")));
            let error = error.unwrap_or_else(|| panic!("nothing on {name}: {}", finished.stderr));
            assert!(error.contains(&format!("plugin `{name}`: {what}")), "{error}");
        }
    }
}

#[tokio::test]
async fn a_certificate_and_a_key_that_do_not_fit_are_refused() {
    let (origin, certs) = (Origin::start(), limen_tests::Certs::new());
    let other = certs.issue(&["other.example.com"]);
    let tls = format!(
        "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ cert = {:?}, key = {:?} }}] }}\n",
        certs.local().cert,
        other.key
    );
    let text = config(&origin, &format!("{tls}\n{}", route("/", "")));
    for finished in refusals(|| Gateway::with(&text)).await {
        assert!(
            finished.stderr.contains("is this the key that the certificate was made for?"),
            "{}",
            finished.stderr
        );
    }
}

#[tokio::test]
async fn a_good_configuration_is_one_line() {
    let origin = Origin::start();
    let text = config(&origin, &[guest_plugin("raw"), route("/", "\"raw\"")].join("\n"));
    let good = Gateway::with(text).check().await;
    assert!(good.status.success(), "{}", good.stderr);
    assert!(good.stdout.starts_with("limen.toml: good. 1 route, 1 upstream, 1 plugin ("), "{}", good.stdout);
    assert_eq!((good.stdout.lines().count(), &*good.stderr), (1, ""));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let origin = Origin::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = config(&origin, &route("/", "")).replace("127.0.0.1:0", &address);
    let refused = Gateway::with(text).run().await;
    assert_refused(&refused);
    assert!(refused.stderr.contains(&format!("can't listen on {address}")), "{}", refused.stderr);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let setup = Gateway::with("");
    let refused = setup.finish(&["check", "other.toml"]).await;
    assert_refused(&refused);
    assert!(refused.stderr.contains("other.toml"), "{}", refused.stderr);
}

/// A component or an included file that is a pipe would be waited for without end, at each reload again.
#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    let origin = Origin::start();
    let text = config(&origin, &[plugin("pipe", "pipe", ""), route("/**", "\"pipe\"")].join("\n"));
    for text in
        [text, format!("include = [{{ files = [\"pipe\"] }}]\n{}", config(&origin, &route("/**", "")))]
    {
        let setup = Gateway::with(text);
        let made = std::process::Command::new("mkfifo").arg(setup.path("pipe")).status().unwrap();
        assert!(made.success());
        let checked = setup.check().await;
        assert!(!checked.status.success());
        assert!(checked.stderr.contains("it is not a regular file"), "{}", checked.stderr);
    }
}
