//! What operators see: a line for each exchange, whole, true, and without anybody's secrets.

use crate::common::{config, config_of_one_worker, route};
use limen_tests::{Client, Gateway, Origin, eventually, wire};
use serde_json::Value;

/// `[log.access]` in JSON, with these keys.
fn access(keys: &str) -> String {
    format!("[log.access]\nformat = \"json\"\n{keys}\n")
}

/// The access lines so far.
fn lines(gateway: &Gateway) -> Vec<Value> {
    parse(&gateway.log())
}

fn parse(lines: &[String]) -> Vec<Value> {
    let read = lines.iter().filter(|line| line.contains("\"target\":\"access\""));
    read.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The first access line of which this is so.
async fn line(gateway: &Gateway, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually("a line of the access log", async || lines(gateway).into_iter().find(&wanted)).await
}

async fn line_of(gateway: &Gateway, path: &str) -> Value {
    line(gateway, |line| line["path"] == path).await
}

#[tokio::test]
async fn a_line_tells_what_was() {
    let origin = Origin::start();
    let fields = "fields = ['id', 'client', 'peer', 'listener', 'scheme', 'protocol', 'method', 'host', 'path', \
                  'query', 'user_agent', 'referer', 'route', 'upstream', 'endpoint', 'attempts', 'status', \
                  'reason', 'complete', 'ended_by', 'bytes_in', 'bytes_out', 'duration_us', 'upstream_us', \
                  'request.x-tenant', 'response.content-type', 'tls', 'sni']";
    let gateway = Gateway::start(config(&origin, &[access(fields), route("/echo/**", "")].join("\n"))).await;
    for (client, protocol) in [(Client::http1(), "HTTP/1.1"), (Client::http2(), "HTTP/2.0")] {
        gateway.forget_log();
        let request = client.post(gateway.url("/echo/a?b=c")).header("user-agent", "me/1");
        let request = request.header("x-tenant", "blue").header("x-tenant", "green").body("12345");
        let answer = request.send().await;
        assert_eq!(answer.status, 200);
        let line = line_of(&gateway, "/echo/a").await;
        for (field, value) in [
            ("target", Value::from("access")),
            ("client", "127.0.0.1".into()),
            ("listener", "plain".into()),
            ("scheme", "http".into()),
            ("protocol", protocol.into()),
            ("method", "POST".into()),
            ("query", "b=c".into()),
            ("user_agent", "me/1".into()),
            ("route", "/echo/**".into()),
            ("upstream", "origin".into()),
            ("endpoint", origin.address().to_string().into()),
            ("attempts", 1.into()),
            ("status", 200.into()),
            ("complete", true.into()),
            ("bytes_in", 5.into()),
            ("bytes_out", answer.body.len().into()),
            ("request.x-tenant", "blue, green".into()),
        ] {
            assert_eq!(line[field], value, "{field}: {line}");
        }
        let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        for absent in ["reason", "ended_by", "referer", "tls", "sni"] {
            assert!(!keys.contains(&absent), "{absent}: {line}");
        }
        assert_eq!(line["id"].as_str().unwrap().len(), 32);
        assert!(line["host"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line["response.content-type"].is_string(), "{line}");
        let (all, upstream) = (line["duration_us"].as_u64().unwrap(), line["upstream_us"].as_u64().unwrap());
        assert!(0 < upstream && upstream <= all, "{line}");
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z') && time.starts_with("20"), "{time}");
    }
}

#[tokio::test]
async fn a_line_says_why_the_gateway_answered_itself() {
    let origin = Origin::start();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rest = [
        access(""),
        route("/here", ""),
        format!(
            "[upstream.gone]\nendpoints = [\"http://{nobody}\"]\n[[route]]\npath = \"/gone\"\nupstream = \"gone\""
        ),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    let client = Client::http1();
    assert_eq!(client.get(gateway.url("/nowhere")).send().await.status, 404);
    assert_eq!(client.get(gateway.url("/gone")).send().await.status, 502);
    let (nowhere, gone) = (line_of(&gateway, "/nowhere").await, line_of(&gateway, "/gone").await);
    assert_eq!((&nowhere["reason"], &nowhere["status"]), (&"no_route".into(), &404.into()), "{nowhere}");
    assert!(nowhere["route"].is_null() && nowhere["upstream"].is_null(), "{nowhere}");
    assert_eq!((&gone["reason"], &gone["status"]), (&"upstream_unreachable".into(), &502.into()), "{gone}");
    assert_eq!(
        (&gone["upstream"], &gone["endpoint"]),
        (&"gone".into(), &nobody.to_string().into()),
        "{gone}"
    );
}

#[tokio::test]
async fn a_line_says_who_ended_it() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &[access(""), route("/**", "")].join("\n"))).await;
    for client in [Client::http1(), Client::http2()] {
        gateway.forget_log();
        let mut stream = client.get(gateway.url("/drip?seconds=60")).open().await;
        stream.piece().await.unwrap().unwrap();
        drop(stream);
        let left = line_of(&gateway, "/drip").await;
        assert_eq!((&left["complete"], &left["ended_by"]), (&false.into(), &"client".into()), "{left}");
        assert_eq!(left["status"], 200, "{left}");
    }
}

/// What a client sends makes no line of its own, and nothing that a terminal would obey.
#[tokio::test]
async fn nothing_a_client_sends_breaks_a_line() {
    let origin = Origin::start();
    for format in ["json", "text"] {
        let keys = format!(
            "[log.access]\nformat = \"{format}\"\nfields = [\"path\", \"user_agent\", \"request.x-odd\"]"
        );
        let gateway = Gateway::start(config(&origin, &[keys, route("/**", "")].join("\n"))).await;
        let head = "GET /%0a%1b[2J HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
        let odd = b"user-agent: a\"} \\\" x=\"y\" \xc2\x9b31m \xe2\x80\xae\xff\r\nx-odd: \ttab\tbed\r\n\r\n";
        let answer = wire::exchange(gateway.addr("plain"), [head.as_bytes(), odd].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        let is_access = |line: &str| line.contains("\"access\"") || line.contains(" access: ");
        let line = gateway.wait_for_log(is_access).await;
        assert!(line.is_ascii() || line.contains('\u{fffd}'), "{line}");
        assert!(!line.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{line:?}");
        assert!(line.contains(r#"a\"} \\\" x=\"y\""#), "{line}");
        if format == "json" {
            let read: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["request.x-odd"], "tab\tbed");
            assert_eq!(read.as_object().unwrap().len(), 6, "{line}");
        }
    }
}

/// A mark in every place where a secret may stand: no output of the gateway has it.
#[tokio::test]
async fn secrets_are_not_told() {
    const MARK: &str = "s3cr3t-m4rk";
    let origin = Origin::start();
    let headers = ["authorization", "cookie", "x-api-key", "proxy-authorization", "referer", "x-link"];
    let fields: Vec<_> = headers.iter().map(|name| format!("'request.{name}'")).collect();
    let fields = format!("fields = ['path', 'query', 'user_agent', 'referer', {}]", fields.join(", "));
    let rest = ["[log]\nlevel = 'trace'".to_owned(), access(&fields), route("/**", "")];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    for client in [Client::http1(), Client::http2()] {
        gateway.forget_log();
        let query = format!("page=2&token={MARK}&%61ccess_token={MARK}&Password={MARK}&sig={MARK}#");
        let url = format!("/x?{}", query.trim_end_matches('#'));
        let mut request = client.get(gateway.url(&url)).header("x-unnamed", MARK);
        for name in &headers[..4] {
            request = request.header(name, &format!("Bearer {MARK}"));
        }
        let link = format!("https://ann:{MARK}@example.com/cb?code={MARK}&page=3");
        let request = request.header("referer", &link).header("x-link", &link);
        assert_eq!(request.send().await.status, 200);
        let line = line_of(&gateway, "/x").await;
        assert_eq!(
            line["query"],
            "page=2&token=[redacted]&%61ccess_token=[redacted]&Password=[redacted]&sig=[redacted]"
        );
        assert_eq!(line["request.cookie"], "[redacted]");
        assert_eq!(line["referer"], "https://[redacted]@example.com/cb?code=[redacted]&page=3");
    }
    let told: Vec<_> = gateway.log().into_iter().filter(|line| line.contains(MARK)).collect();
    assert!(told.is_empty(), "{told:#?}");
}

/// The lists of the configuration stand in place of the usual ones.
#[tokio::test]
async fn what_is_a_secret_can_be_said() {
    let origin = Origin::start();
    let keys = "fields = ['path', 'query', 'request.x-card', 'request.authorization']
                redact_headers = ['x-card']
                redact_query = ['Iban']";
    let gateway = Gateway::start(config(&origin, &[access(keys), route("/**", "")].join("\n"))).await;
    let request = Client::http1().get(gateway.url("/x?iban=DE1&token=t")).header("x-card", "4000");
    assert_eq!(request.header("authorization", "Bearer b").send().await.status, 200);
    let line = line_of(&gateway, "/x").await;
    assert_eq!(line["query"], "iban=[redacted]&token=t");
    assert_eq!(
        (&line["request.x-card"], &line["request.authorization"]),
        (&"[redacted]".into(), &"Bearer b".into())
    );
}

/// Whoever looks for a request's id finds why it was refused, once.
#[tokio::test]
async fn what_is_refused_is_told_once() {
    let origin = Origin::start();
    let gone = "[upstream.gone]\nendpoints = [\"http://127.0.0.1:1\"]\n[[route]]\npath = \"/gone\"\nupstream = \"gone\"\n";
    for (keys, is_access) in [
        (access(""), true),
        (access("sample = 0"), false),
        (access("fields = [\"id\", \"status\"]\nsample = 0"), false),
        (String::new(), false),
    ] {
        let gateway = Gateway::start(config(&origin, &[keys.as_str(), gone].join("\n"))).await;
        for (path, level, why) in
            [("/nowhere", "INFO", "refused: no route matches"), ("/gone", "WARN", "upstream: 127.0.0.1:1: ")]
        {
            let answer = Client::http1().get(gateway.url(path)).send().await;
            let id = answer.header("x-request-id").unwrap();
            let line = gateway.wait_for_log(|line| line.contains(id) && line.contains(why)).await;
            assert!(line.contains(level), "{line}");
            // Failures have a line of the access log whatever the sample.
            let expected =
                is_access || path == "/gone" && keys.contains("sample") && !keys.contains("fields");
            assert_eq!(line.contains("\"access\""), expected, "{line}");
        }
        let told = gateway.log().iter().filter(|line| line.contains("no route matches")).count();
        assert_eq!(told, 1, "{keys}");
    }
}

/// Errors are told whatever the sample.
#[tokio::test]
async fn of_many_exchanges_a_share_is_told() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &[access("sample = 0"), route("/**", "")].join("\n"))).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    for _ in 0..20 {
        assert_eq!(connection.get("/fine").send().await.status, 200);
    }
    assert_eq!(connection.get("/status/503").send().await.status, 503);
    line_of(&gateway, "/status/503").await;
    assert_eq!(lines(&gateway).len(), 1);
}

#[tokio::test]
async fn lines_go_to_a_file_that_can_be_moved_away() {
    let origin = Origin::start();
    let keys = access("output = \"access.log\"");
    let text = config_of_one_worker(&origin, &[keys, route("/**", "")].join("\n"));
    let gateway = Gateway::start(text).await;
    let read = |file: &str| {
        let text = std::fs::read_to_string(gateway.path(file)).unwrap_or_default();
        parse(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let has = |file: &'static str, path: &'static str| {
        eventually("a line in the file", async move || {
            read(file).iter().any(|it| it["path"] == path).then_some(())
        })
    };
    assert_eq!(Client::http1().get(gateway.url("/first")).send().await.status, 200);
    has("access.log", "/first").await;
    std::fs::rename(gateway.path("access.log"), gateway.path("access.log.1")).unwrap();
    gateway.sighup();
    eventually("the file to be made again", async || gateway.path("access.log").exists().then_some(())).await;
    assert_eq!(Client::http1().get(gateway.url("/second")).send().await.status, 200);
    has("access.log", "/second").await;
    assert_eq!((read("access.log").len(), read("access.log.1").len()), (1, 1));
    assert!(!gateway.log().iter().any(|line| line.contains("\"access\"")));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_a_mistake_of_the_configuration() {
    let origin = Origin::start();
    for place in [".", "no/such/folder/access.log"] {
        let text = config(&origin, &[access(&format!("output = {place:?}")), route("/**", "")].join("\n"));
        let checked = Gateway::with(text).check().await;
        assert!(!checked.status.success());
        assert!(checked.stderr.contains("can't write the access log"), "{}", checked.stderr);
    }
}

/// Who checks may be another user than who runs: the gateway could not write into that file.
#[tokio::test]
async fn a_check_leaves_no_file_behind() {
    let origin = Origin::start();
    let text = config(&origin, &[access("output = \"access.log\""), route("/**", "")].join("\n"));
    let setup = Gateway::with(text);
    let file = setup.path("access.log");
    // The folder is gone with the setup: what is in it is looked at before that.
    let gateway = setup.start().await;
    assert!(file.exists());
    std::fs::remove_file(&file).unwrap();
    let checked = gateway.successor().check().await;
    assert!(checked.status.success(), "{}", checked.stderr);
    assert!(!file.exists());
}

/// An id is taken over from those who may give one, and only if it is one.
#[tokio::test]
async fn ids_are_made_or_taken_over() {
    let origin = Origin::start();
    for (keys, trusted) in [
        ("request_id = { trust = 'always' }", true),
        ("request_id = { trust = 'proxies' }\ntrusted_proxies = ['127.0.0.1']", true),
        ("request_id = { trust = 'proxies' }", false),
        ("request_id = {}", false),
    ] {
        let rest = [access(""), route("/**", "")].join("\n");
        let text = format!("[gateway]\n{keys}\n{}", config(&origin, &rest));
        let gateway = Gateway::start(text).await;
        for client in [Client::http1(), Client::http2()] {
            let longest = "x".repeat(128);
            for (brought, is_usable) in [
                ("abc-1", true),
                (&*longest, true),
                ("a b", false),
                (&*format!("{longest}x"), false),
                ("", false),
                ("\"}{\"level\":\"ERROR\"", false),
                ("$(reboot)", false),
                ("<script>", false),
                ("a,b", false),
            ] {
                gateway.forget_log();
                let answer = client.get(gateway.url("/id")).header("x-request-id", brought).send().await;
                let id = answer.header("x-request-id").unwrap().to_owned();
                assert_eq!(id == brought, trusted && is_usable, "{keys}: {id}");
                assert!(id == brought || id.len() == 32, "{keys}: {id}");
                assert_eq!(answer.json()["headers"]["x-request-id"], *id);
                line(&gateway, |line| line["id"] == *id).await;
            }
        }
    }
}
