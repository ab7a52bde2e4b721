//! The reference plugins do what their READMEs say, in whatever way a client speaks to the gateway.

use crate::common::{PATIENT, assert_problem, config, plugin, route};
use http::Version;
use limen_tests::{Certs, Client, Gateway, Origin};
use std::path::Path;
use std::process::Command;

/// The three plugins behind a listener in clear and one with TLS.
async fn start(origin: &Origin, certs: &Certs) -> Gateway {
    let pair = certs.local();
    let tls = format!(
        "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ cert = {:?}, key = {:?} }}] }}\n",
        pair.cert, pair.key
    );
    let redacts = format!("{PATIENT}\ngrants = {{ response_body = true }}");
    let plugins = [("api-key", PATIENT), ("region", PATIENT), ("redact-json", &redacts)]
        .map(|(name, keys)| plugin(name, limen_tests::plugin(name), keys))
        .join("\n");
    let routes = [
        route(
            "/orders/**",
            r#"{ use = "api-key", with = { keys = { ada = "k-ada", bob = "k-bob" }, consumer_header = "x-consumer" } }"#,
        ),
        route("/shop/**", r#""by-country""#),
        route("/json", r#"{ use = "redact-json", with = { keys = ["secret"], pointers = ["/owner/tags/0"] } }"#),
    ]
    .join("\n");
    let by_country = r#"
        [policy.by-country]
        use = "region"
        [policy.by-country.with]
        default = { request = { x-region = "world" } }
        [policy.by-country.with.regions]
        DE = { request = { x-region = "eu" }, response = { x-served-for = "eu" } }
    "#;
    Gateway::start(config(origin, &format!("{tls}\n{plugins}\n{by_country}\n{routes}"))).await
}

/// A way to speak to the gateway.
struct Way {
    client: Client,
    listener: &'static str,
    version: Version,
}

fn ways(certs: &Certs) -> [Way; 4] {
    let (http1, http2) = (Version::HTTP_11, Version::HTTP_2);
    [
        Way { client: Client::http1(), listener: "plain", version: http1 },
        Way { client: Client::http2(), listener: "plain", version: http2 },
        Way { client: Client::http1().trusting(certs), listener: "tls", version: http1 },
        Way { client: Client::http2().trusting(certs), listener: "tls", version: http2 },
    ]
}

#[tokio::test]
async fn api_key_over_each_protocol() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let gateway = start(&origin, &certs).await;
    for Way { client, listener, version } in ways(&certs) {
        let url = gateway.url_of(listener, "/orders/7");
        let before = origin.requests();

        let missing = client.get(&url).send().await;
        assert_eq!((missing.status.as_u16(), missing.version), (401, version));
        assert_eq!(missing.header("content-type"), Some("application/problem+json"));
        assert_eq!(missing.header("www-authenticate"), Some("ApiKey header=\"x-api-key\""));
        let unknown = client.get(&url).header("x-api-key", "k-eve").send().await;
        assert_eq!(unknown.status, 401);
        assert_ne!(missing.json()["detail"], unknown.json()["detail"]);
        assert_eq!(origin.requests(), before, "the origin is not asked");

        let known = client.get(&url).header("x-api-key", "k-bob").header("x-consumer", "ada").send().await;
        assert_eq!((known.status.as_u16(), known.version), (200, version));
        let known = known.json();
        assert_eq!(known["asked_with"]["x-consumer"], "bob");
        assert!(known["asked_with"]["x-api-key"].is_null(), "the key goes no further");
    }
}

#[tokio::test]
async fn region_over_each_protocol() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let gateway = start(&origin, &certs).await;
    for Way { client, listener, version } in ways(&certs) {
        let url = gateway.url_of(listener, "/shop/hats");

        let german = client.get(&url).header("x-country", "de").header("x-region", "claimed").send().await;
        assert_eq!((german.status.as_u16(), german.version), (200, version));
        assert_eq!(german.json()["headers"]["x-region"], "eu");
        assert_eq!(german.header("x-served-for"), Some("eu"));

        let other = client.post(&url).body("anything").send().await;
        assert_eq!(other.json()["headers"]["x-region"], "world");
        assert_eq!(other.json()["body"], "anything");
        assert_eq!(other.header("x-served-for"), None);
    }
}

#[tokio::test]
async fn redact_json_over_each_protocol() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let gateway = start(&origin, &certs).await;
    for Way { client, listener, version } in ways(&certs) {
        let answer = client.get(gateway.url_of(listener, "/json")).send().await;
        assert_eq!((answer.status.as_u16(), answer.version), (200, version));
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
        let expected = serde_json::json!({
            "id": 7,
            "name": "outer",
            "nothing": null,
            "flag": true,
            "ratio": 0.5,
            "owner": { "name": "inner", "tags": [null, "b"] },
            "items": [{ "name": "first" }, { "name": "second" }],
        });
        assert_eq!(answer.json(), expected);
    }
}

#[tokio::test]
async fn curl_meets_the_plugins_over_each_protocol() {
    if !has_curl_with_http2() {
        eprintln!("skipped: curl_meets_the_plugins_over_each_protocol, there is no curl that speaks HTTP/2");
        return;
    }
    let (origin, certs) = (Origin::start(), Certs::new());
    let gateway = start(&origin, &certs).await;
    let ca = certs.ca();
    for (listener, version, flags) in [
        ("plain", "HTTP/1.1", &["--http1.1"][..]),
        ("plain", "HTTP/2", &["--http2-prior-knowledge"]),
        ("tls", "HTTP/1.1", &["--http1.1"]),
        ("tls", "HTTP/2", &["--http2"]),
    ] {
        let ask =
            async |path: &str, header: &str| curl(flags, &ca, header, gateway.url_of(listener, path)).await;
        let refused = ask("/orders/7", "x-other: 1").await;
        assert!(refused.starts_with(&format!("{version} 401")), "{refused}");
        let passed = ask("/orders/7", "x-api-key: k-ada").await;
        assert!(passed.starts_with(&format!("{version} 200")), "{passed}");
        assert!(passed.contains(r#""x-consumer": "ada""#), "{passed}");
        let shop = ask("/shop/hats", "x-country: DE").await;
        assert!(shop.to_ascii_lowercase().contains("\r\nx-served-for: eu\r\n"), "{shop}");
        let json = ask("/json", "x-other: 1").await;
        assert!(json.contains(r#""name":"outer""#) && !json.contains("secret"), "{json}");
    }
}

fn has_curl_with_http2() -> bool {
    let version = Command::new("curl").arg("--version").output();
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2"))
}

/// The head and body of an answer, as `curl -i` shows them.
async fn curl(flags: &[&str], ca: &Path, header: &str, url: String) -> String {
    let mut command = Command::new("curl");
    command
        .args(["-sS", "-i", "--max-time", "30", "--cacert"])
        .arg(ca)
        .args(flags)
        .args(["-H", header, &url]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {flags:?} {url}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The service says yes, no, or nothing that makes sense; when it is slow or gone, nobody passes.
#[tokio::test]
async fn external_auth_asks_a_service() {
    let (origin, authz) = (Origin::start(), Origin::start());
    let asks = |path: &str, asked: &str| {
        let with =
            format!("upstream = \"authz\", path = {asked:?}, take = [\"content-type\"], timeout_ms = 2000");
        route(path, &format!("{{ use = \"external-auth\", with = {{ {with} }} }}"))
    };
    let rest = [
        format!("[upstream.authz]\nendpoints = [\"{authz}\"]"),
        plugin(
            "external-auth",
            limen_tests::plugin("external-auth"),
            &format!("{PATIENT}\ngrants = {{ fetch = [\"authz\"] }}"),
        ),
        asks("/yes/**", "/json"),
        asks("/no/**", "/status/403"),
        asks("/broken/**", "/status/500"),
        asks("/slow/**", "/slow?ms=60000"),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    let get = async |path: &str| Client::http1().get(gateway.url(path)).send().await;

    let yes = get("/yes/1").await;
    assert_eq!(
        (yes.status.as_u16(), &yes.json()["headers"]["content-type"]),
        (200, &"application/json".into())
    );
    let no = get("/no/1").await;
    assert_eq!((no.status.as_u16(), &*no.text()), (403, "status 403\n"));
    assert_problem(&get("/broken/1").await, 500);
    gateway.wait_for_log_containing("authz answered 500").await;
    assert_problem(&get("/slow/1").await, 500);
    assert_eq!((origin.requests(), authz.requests()), (1, 4));

    drop(authz);
    assert_problem(&get("/yes/2").await, 500);
    gateway.wait_for_log_containing("asking authz: no connection could be made").await;
    assert_eq!(origin.requests(), 1);
}
