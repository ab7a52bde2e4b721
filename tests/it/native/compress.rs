use super::{gateway, mistake};
use crate::common::{assert_problem, config, route};
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Client, Gateway, Origin};

/// A page of some length that compresses well.
fn page(bytes: usize) -> String {
    "<p>the quick brown fox jumps over the lazy dog</p>\n".chars().cycle().take(bytes).collect()
}

/// A gateway that answers `/page` with a page, and everything else with what the origin says.
async fn compressing(origin: &Origin, with: &str) -> Gateway {
    let compress = format!("{{ use = \"compress\", with = {{ {with} }} }}");
    let respond = r#"{ use = "respond", with = { file = "page.html", headers = { etag = "\"1\"", accept-ranges = "bytes" } } }"#;
    let typed = r#"{ use = "headers", with = { response = { set = { content-type = "text/plain" } } } }"#;
    let text = [
        config(origin, ""),
        route("/page", &format!("{compress}, {respond}")),
        route("/drip", &format!("{compress}, {typed}")),
        route("/**", &compress),
    ];
    Gateway::with(text.concat()).file("page.html", page(100_000)).start().await
}

/// What curl makes of an answer, with its head before it.
fn curl(arguments: &[&str], url: &str) -> (String, Vec<u8>) {
    let mut curl = std::process::Command::new("curl");
    let out = curl.args(["-sS", "-D", "/dev/stderr"]).args(arguments).arg(url).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    (String::from_utf8_lossy(&out.stderr).to_ascii_lowercase(), out.stdout)
}

#[tokio::test]
async fn curl_reads_every_encoding() {
    let origin = Origin::start();
    let gateway = compressing(&origin, "").await;
    for coding in ["gzip", "br", "zstd"] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let accept = format!("accept-encoding: {coding}");
            let (head, body) = curl(&["--compressed", "-H", &accept, version], &gateway.url("/page"));
            assert_eq!(String::from_utf8(body).unwrap(), page(100_000), "{head}");
            assert!(head.contains(&format!("content-encoding: {coding}\r\n")), "{head}");
            assert!(
                head.contains("vary: accept-encoding\r\n") && head.contains("etag: w/\"1\"\r\n"),
                "{head}"
            );
            assert!(!head.contains("content-length") && !head.contains("accept-ranges"), "{head}");
            let (_, raw) = curl(&["-H", &accept, version], &gateway.url("/page"));
            assert!(raw.len() < 2_000, "{coding}: {} bytes", raw.len());
        }
    }
    let (head, body) = curl(&[], &gateway.url("/page"));
    assert!(body.len() == 100_000 && head.contains("content-length: 100000\r\n"), "{head}");
    assert!(head.contains("vary: accept-encoding\r\n") && head.contains("etag: \"1\"\r\n"), "{head}");
}

#[tokio::test]
async fn a_head_is_that_of_the_get() {
    let origin = Origin::start();
    let gateway = compressing(&origin, "").await;
    let ask = async |method: http::Method| {
        let asked = Client::http1().request(method, gateway.url("/page")).header("accept-encoding", "br");
        let mut headers = asked.send().await.headers;
        for of_its_own in ["date", "transfer-encoding"] {
            headers.remove(of_its_own);
        }
        headers
    };
    assert_eq!(ask(http::Method::HEAD).await, ask(http::Method::GET).await);
}

#[tokio::test]
async fn what_is_short_encoded_or_of_another_kind_stays_as_it_is() {
    let origin = Origin::start();
    let gateway = compressing(&origin, "").await;
    for path in ["/bytes/100000", "/encoded", "/status/204", "/status/404"] {
        let answer = Client::http1().get(gateway.url(path)).header("accept-encoding", "gzip").send().await;
        let encoding = answer.header("content-encoding");
        assert_eq!(encoding, (path == "/encoded").then_some("gzip"), "{path}");
        assert_eq!(answer.header("vary"), None, "{path}");
    }
    let asked = Client::http1().get(gateway.url("/json")).header("accept-encoding", "gzip").send().await;
    assert_eq!(asked.header("content-encoding"), None, "it is short");
}

#[tokio::test]
async fn nothing_that_was_sent_waits_for_what_was_not() {
    let origin = Origin::start();
    let gateway = compressing(&origin, "").await;
    for coding in ["gzip", "br", "zstd"] {
        let started = std::time::Instant::now();
        let asked = Client::http1().get(gateway.url("/drip?seconds=30")).header("accept-encoding", coding);
        let mut answer = asked.open().await;
        assert_eq!(answer.headers["content-encoding"], coding, "{:?}", answer.headers);
        for _ in 0..3 {
            assert!(!answer.piece().await.unwrap().unwrap().is_empty());
        }
        assert!(started.elapsed().as_secs() < 25, "{coding}: a piece came with the end only");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_compressed_as_well() {
    let broken = RawOrigin::start(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100000\r\n\r\n";
        Reply::Close(format!("{head}{}", page(50_000)).into_bytes())
    })
    .await;
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream.origin]\nendpoints = [\"{}\"]\n{}",
        broken.url(),
        route("/**", r#""compress""#)
    );
    let gateway = Gateway::start(text).await;
    for coding in ["gzip", "br", "zstd"] {
        let asked = Client::http1().get(gateway.url("/")).header("accept-encoding", coding).try_send().await;
        assert!(asked.is_err(), "{coding}: the client took half a page for all of it");
    }
}

#[tokio::test]
async fn requests_are_decompressed_for_those_behind() {
    let origin = Origin::start();
    let behind = r#"{ use = "decompress", with = { limit = "150kB" } }"#;
    let gateway = gateway(&origin, behind).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("page"), page(100_000)).unwrap();
    std::fs::write(file("bomb"), page(50_000_000)).unwrap();
    for (coding, tool) in [("gzip", "gzip"), ("x-gzip", "gzip"), ("zstd", "zstd")] {
        let pack = |name: &str| {
            let packed = std::process::Command::new(tool).args(["-c", &file(name)]).output().unwrap();
            packed.stdout
        };
        let post = |body: Vec<u8>| {
            let asked = Client::http1().post(gateway.url("/upload"));
            asked.header("content-encoding", coding).body(body).send()
        };
        let good = pack("page");
        assert!(post(good.clone()).await.text().contains("100000"), "{coding}");
        assert_problem(&post(pack("bomb")).await, 413);
        assert_problem(&post(good[..good.len() - 9].to_vec()).await, 400);
        assert_problem(&post(b"not encoded".to_vec()).await, 400);
    }
    let asked = Client::http1().post(gateway.url("/upload")).header("content-encoding", "deflate, gzip");
    let refused = asked.body("x").send().await;
    assert_problem(&refused, 415);
    assert_eq!(refused.header("accept-encoding"), Some("zstd, br, gzip"));
    assert_eq!(Client::http1().post(gateway.url("/upload")).body("plain").send().await.status, 200);
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "compress", with = { types = ["text/html", "html"] } }"#).await;
    assert!(
        said.contains("not a content type like \"text/html\"") && said.contains("with.types[1]"),
        "{said}"
    );
    assert!(mistake(r#"{ use = "compress", with = { br = 12 } }"#).await.contains("from 0 to 11"));
}
