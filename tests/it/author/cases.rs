//! `limen policy test`: cases that pass, cases that don't and what is said of them, and nonsense.

use super::text;

use limen_tests::rcgen::{CertificateParams, DnType};
use limen_tests::{Certs, Finished, Gateway, guest, plugin};
use serde_json::{Value, json};

/// Plays these cases against a guest. CPU limits are ones that a busy machine does not meet by chance.
async fn play(name: &str, cases: &str, arguments: &[&str]) -> Finished {
    let component = guest(name);
    let mut all = vec!["policy", "test", "cases.toml", "--component", text(&component)];
    all.extend(arguments);
    Gateway::with("").file("cases.toml", cases).finish(&all).await
}

async fn passes(name: &str, cases: &str) {
    let played = play(name, cases, &[]).await;
    assert!(played.status.success(), "{name}\n{}\n{}", played.stdout, played.stderr);
    assert!(played.stdout.contains(" 0 failed"), "{}", played.stdout);
}

/// Those of the reference plugins say what their READMEs say.
#[tokio::test]
async fn the_reference_plugins_pass_their_cases() {
    for name in ["api-key", "external-auth", "redact-json", "region"] {
        let folder = format!("{}/../plugins/{name}", env!("CARGO_MANIFEST_DIR"));
        let component = plugin(name);
        let played =
            Gateway::with("").finish(&["policy", "test", &folder, "--component", text(&component)]).await;
        assert!(played.status.success(), "{name}\n{}\n{}", played.stdout, played.stderr);
        assert!(played.stdout.contains("who has a key passes") == (name == "api-key"), "{}", played.stdout);
    }
}

#[tokio::test]
async fn cases_reach_all_that_policies_reach() {
    passes(
        "ticks",
        r#"
        [plugin]
        grants = { fetch = ["origin"], kv = ["sessions"] }
        limits = { cpu = "1s", wall = "5s" }

        [store.sessions]

        [[case]]
        name = "a tick fills what requests find"

        [[case.step]]
        expect = { body = "none none none" }

        [[case.step]]
        tick   = true
        answer = { body = "fetched" }
        expect = { upstream = { target = "/slow?ms=20" } }

        [[case.step]]
        expect = { body = "1 1 fetched", hooks = { request = "reply" }, upstream = false }

        [[case]]
        name   = "what stores hold can be given, and what a case has stored is gone"
        kv     = { sessions = { most = "3" } }
        expect = { body = "none 3 none" }
        "#,
    )
    .await;
    passes(
        "fetches",
        r#"
        [plugin]
        grants = { fetch = ["authz"] }
        limits = { cpu = "1s", wall = "5s" }

        [fetch]
        authz = [{ target = "/good", method = "POST", status = 201 }, { status = 403 }]

        [[case]]
        name = "an upstream answers calls as the case says"

        [[case.step]]
        request = { headers = { x-do = "post", x-upstream = "authz", x-path = "/good" } }
        [case.step.expect]
        body     = { contains = "201" }
        upstream = false
        fetch    = { authz = { method = "POST", headers = { x-mine = "1" }, body = "from a policy" } }

        [[case.step]]
        request = { headers = { x-do = "post", x-upstream = "authz", x-path = "/bad" } }
        expect  = { body = { contains = "403" } }

        [[case.step]]
        request = { headers = { x-do = "one", x-upstream = "authz" } }
        fetch   = { authz = { close = true } }
        expect  = { body = { lacks = "403" } }

        [[case.step]]
        expect = { status = 200, upstream = true, fetch = { authz = false } }
        "#,
    )
    .await;
    passes(
        "hashes",
        r#"
        [plugin]
        grants = { secrets = { webhook = "sign" } }

        [secret]
        webhook = "swordfish"

        [[case]]
        name    = "a secret of the case"
        request = { headers = { x-data = "data", x-secret = "webhook" } }
        expect  = { headers = { x-signed = "942f72fe1198643c2a3ad8fa5af940410e291d6d7a2fe77769648fd4a4992079" } }
        "#,
    )
    .await;
}

#[tokio::test]
async fn cases_say_who_asks_and_how() {
    passes(
        "reads-consumer",
        r#"
        plugin.grants.consumer = "read"

        [[case]]
        name    = "somebody whom a policy before has named"
        request = { consumer = { id = "ada", attributes = { plan = "gold" } } }
        expect  = { upstream = { headers = { x-consumer = "ada", x-plan = "gold" } } }
        "#,
    )
    .await;
    passes(
        "names-consumer",
        r#"
        plugin.grants.consumer = "set"

        [[case]]
        name    = "somebody whom it names itself"
        request = { headers = { x-key = "ada" } }
        expect  = { consumer = "ada" }

        [[case]]
        name    = "nobody, as its reply drops its edits"
        request = { headers = { x-key = "ada", x-reply = "1" } }
        expect  = { status = 429, consumer = false }

        [[case]]
        name    = "nor does its failure leave any"
        request = { headers = { x-key = "ada", x-fail = "1" } }
        expect  = { failure = "failed", consumer = false }
        "#,
    )
    .await;
    passes(
        "trailers",
        r#"
        [[case]]
        name   = "trailers, both ways"
        answer = { body = "x", trailers = { grpc-status = "11", grpc-message = "gone" } }
        [case.request]
        body     = ["a", "b"]
        trailers = { x-sum = "12" }
        [case.expect]
        trailers = { grpc-status = "3", grpc-message = false }
        upstream = { body = "ab", trailers = { x-sum = "12" } }
        log      = ["request trailers of /: 12, 1 in all", { lacks = "told to fail" }]
        "#,
    )
    .await;
    passes(
        "streams",
        r#"
        with = { response = "upper" }

        [plugin]
        grants = { request_body = true, response_body = true }
        limits = { cpu = "1s" }

        [[case]]
        name   = "pieces are what the case says"
        answer = { body = { text = "abc", repeat = 100, pieces = 30 } }
        [case.expect]
        body  = { length = 300, matches = "(ABC)*" }
        hooks = { response = "want-chunks", response-chunk = "emit", request = "next", request-chunk = "none" }
        log   = "down 300 bytes in 11 pieces, 30 at most, 1 last"

        [[case]]
        name   = "a response breaks off"
        with   = { response = { fail-at = 1 } }
        answer = { body = ["a", "b"] }
        expect = { broken = true, failure = "failed" }
        "#,
    )
    .await;

    let certs = Certs::new();
    let mut about = CertificateParams::new(vec!["ada.example.com".to_owned()]).unwrap();
    about.distinguished_name.push(DnType::CommonName, "Ada");
    let ada = certs.issue_client("ada", about);
    let cases = format!(
        r#"
        [[case]]
        name    = "a client with a certificate"
        request = {{ certificate = {:?}, client = "203.0.113.7" }}
        [case.expect.upstream]
        headers = {{ x-certificate = {{ contains = ["CN=Ada", "ada.example.com"] }}, x-forwarded-for = "203.0.113.7" }}

        [[case]]
        name   = "and one without"
        expect = {{ upstream = {{ headers = {{ x-certificate = {{ lacks = "Ada" }} }} }} }}
        "#,
        ada.cert
    );
    passes("certificate", &cases).await;
}

/// Counters, caches and stores are as a process has them that has just begun.
#[tokio::test]
async fn each_case_begins_anew() {
    let case = |name: &str, last: &str| {
        format!(
            "[[case]]\nname = {name:?}\n\
             [[case.step]]\nrepeat = 3\nexpect = {{ status = 200 }}\n\
             [[case.step]]\nrequest = {{ client = \"203.0.113.7\" }}\nexpect = {{ status = 200 }}\n\
             [[case.step]]\nexpect = {last}\n"
        )
    };
    let limited = "{ status = 429, headers = { x-remaining = \"0\" }, upstream = false }";
    passes(
        "ungranted",
        &format!("plugin.grants.counters = true\n{}{}", case("one", limited), case("two", limited)),
    )
    .await;
    let cached = r#"
        [[case]]
        name = "NAME"
        [[case.step]]
        request = { target = "/key", method = "POST", headers = { x-value = "1", x-ttl = "60000" } }
        expect  = { status = 201 }
        [[case.step]]
        request = { target = "/key" }
        expect  = { status = 200, body = "1" }
    "#;
    let cached = ["one", "two"].map(|name| cached.replace("NAME", name)).concat();
    passes("caches", &format!("plugin.grants.cache = true\n{cached}")).await;
}

#[tokio::test]
async fn a_case_that_fails_shows_what_is_different_and_where() {
    let cases = r#"
[plugin]
grants = { consumer = "read" }

[[case]]
name   = "this one passes"
expect = { status = 200 }

[[case]]
name    = "this one does not"
request = { consumer = "ada" }
answer  = { headers = { x-a = "one" }, body = "same\nfound\n" }

[case.expect]
status   = 201
headers  = { x-a = { contains = "two" }, x-b = "1" }
body     = "same\nexpected\n"
log      = "never said"
upstream = { headers = { x-consumer = "bob" } }
"#;
    let shown = play("reads-consumer", cases, &[]).await;
    assert_eq!(shown.status.code(), Some(1));
    for expected in [
        "ok      this one passes",
        "FAILED  this one does not",
        "cases.toml:15:12: case[1].expect.status\n            expected  201\n            found     200\n",
        "case[1].expect.headers.x-a\n            expected  something with \"two\"\n            found     \"one\"\n",
        "case[1].expect.headers.x-b\n            expected  \"1\"\n            found     absent\n",
        "             same\n            -expected\n            +found\n",
        "cases.toml:18:12: case[1].expect.log\n            expected  something with \"never said\"\n",
        "cases.toml:19:39: case[1].expect.upstream.headers.x-consumer\n            expected  \"bob\"\n",
        "2 cases: 1 passed, 1 failed",
    ] {
        assert!(shown.stdout.contains(expected), "{expected}\nis not in\n{}", shown.stdout);
    }

    let json = play("reads-consumer", cases, &["--json"]).await;
    assert_eq!(json.status.code(), Some(1));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&json!(1), &json!(1)));
    let first = &json["cases"][1]["misses"][0];
    let told = json!({
        "file": "cases.toml", "line": 15, "column": 12, "key": "case[1].expect.status",
        "expected": "201", "found": "200", "time": null,
    });
    assert_eq!(*first, told);

    let one = play("reads-consumer", cases, &["--filter", "passes"]).await;
    assert!(one.status.success(), "{}", one.stdout);
    assert!(one.stdout.contains("1 case: 1 passed, 0 failed, 1 left out"), "{}", one.stdout);
    let none = play("reads-consumer", cases, &["--filter", "nobody"]).await;
    assert_eq!(none.status.code(), Some(1), "{}", none.stdout);
}

#[tokio::test]
async fn traps_and_limits_are_the_gateways_own() {
    passes(
        "traps",
        r#"
        [[case]]
        name    = "a panic"
        request = { headers = { x-naughty = "panic" } }
        [case.expect]
        status   = 503
        failure  = "trap"
        upstream = false
        log      = "asked to panic in on_request"

        [[case]]
        name    = "in the hook that is called last"
        request = { headers = { x-naughty = "panic-log" } }
        expect  = { status = 200, failure = "trap", hooks = { log = "failed", response = "next" } }

        [[case]]
        name = "again and again"
        [[case.step]]
        repeat  = 20
        request = { headers = { x-naughty = "panic" } }
        expect  = { failure = "trap" }
        [[case.step]]
        expect = { status = 503, failure = "held-back" }
        "#,
    )
    .await;
    let looping = "plugin.on_error = \"skip\"\n[[case]]\nname = \"it loops\"\nrequest = { headers = { x-naughty = \"loop\" } }\n";
    passes("loops", &format!("{looping}expect = {{ status = 200, failure = \"cpu-limit\" }}")).await;
    passes(
        "eats-memory",
        "[plugin]\nlimits = { memory = \"4MiB\", cpu = \"2s\", wall = \"5s\" }\non_error = { status = 507 }\n[[case]]\nname = \"eats\"\n\
         request = { headers = { x-naughty = \"eat\" } }\nexpect = { status = 507, failure = \"memory-limit\" }\n",
    )
    .await;

    // A failure that `on_error` hides fails the case that does not expect it.
    let hidden = play("loops", &format!("{looping}expect = {{ status = 200 }}"), &[]).await;
    assert_eq!(hidden.status.code(), Some(1));
    assert!(hidden.stdout.contains("found     cpu-limit in the request hook"), "{}", hidden.stdout);
    let other = play("loops", &format!("{looping}expect = {{ failure = \"trap\" }}"), &[]).await;
    assert!(other.stdout.contains("expected  trap"), "{}", other.stdout);
}

#[tokio::test]
async fn settings_and_grants_are_checked_as_the_gateway_does() {
    let refused = "plugin.grants = { request_body = true, response_body = true }\n[[case]]\nname = \"x\"\nwith = { phase = \"never\" }\nrefused = \"never\"\n";
    passes("fails", refused).await;
    let taken = "plugin.grants = { request_body = true, response_body = true }\n[[case]]\nname = \"x\"\nwith = { phase = \"log\" }\nrefused = \"never\"\n";
    let taken = play("fails", taken, &[]).await;
    assert!(taken.stdout.contains("expected  the settings are refused"), "{}", taken.stdout);
    let ungranted = play("ungranted", "[[case]]\nname = \"x\"\n", &[]).await;
    assert_eq!(ungranted.status.code(), Some(1));
    assert!(ungranted.stdout.contains("which it is not granted"), "{}", ungranted.stdout);
    let loops = play("configure-loops", "[[case]]\nname = \"x\"\n", &[]).await;
    assert!(loops.stdout.contains("configure took longer than 5 s"), "{}", loops.stdout);
}

#[tokio::test]
async fn nonsense_is_told_with_its_line() {
    let setup = Gateway::with("")
        .file("typo.toml", "[[case]]\nname = \"x\"\nrequest = { mehtod = \"GET\" }\n")
        .file("broken.toml", "[[case]]\nname = [\n")
        .file("good.toml", "[[case]]\nname = \"x\"\n")
        .file("text.wasm", "hello")
        .file("huge.toml", "#".repeat(17 << 20));
    let component = guest("traps");
    for (file, component, said) in [
        ("typo.toml", text(&component), "typo.toml:3:13"),
        ("typo.toml", text(&component), "did you mean `method`?"),
        ("broken.toml", text(&component), "invalid TOML"),
        ("huge.toml", text(&component), "more than 16MiB"),
        ("none.toml", text(&component), "cannot read `none.toml`"),
        (".", text(&component), "there is no tests/*.toml"),
        ("good.toml", "text.wasm", "not WebAssembly"),
        ("good.toml", "none.wasm", "could not read it"),
    ] {
        let refused = setup.again().finish(&["policy", "test", file, "--component", component]).await;
        assert_eq!(refused.status.code(), Some(1), "{file} {component}: {}", refused.stdout);
        assert!(refused.stderr.contains(said), "{file} {component}: {}", refused.stderr);
    }
    let nowhere = setup.again().finish(&["policy", "test", "good.toml"]).await;
    assert!(nowhere.stderr.contains("not the folder of a policy"), "{}", nowhere.stderr);
}
