//! The kit's own parts against each other: what tests stand on.

use limen_tests::client::causes;
use limen_tests::{Answer, Certs, Client, Load, Origin, body, eventually};

async fn echoed(client: Client, origin: &Origin) -> Answer {
    client.post(origin.url("/echo?a=1")).header("x-two", "1").header("x-two", "2").body("hello").send().await
}

#[tokio::test]
async fn http1_and_http2_are_echoed() {
    let origin = Origin::start();
    for (client, version) in [(Client::http1(), "HTTP/1.1"), (Client::http2(), "HTTP/2.0")] {
        let seen = echoed(client, &origin).await.json();
        assert_eq!(seen["version"], version);
        assert_eq!(seen["method"], "POST");
        assert_eq!(seen["path"], "/echo");
        assert_eq!(seen["query"], "a=1");
        assert_eq!(seen["body"], "hello");
        assert_eq!(seen["headers"]["x-two"], serde_json::json!(["1", "2"]));
    }
}

#[tokio::test]
async fn tls_is_spoken_and_checked() {
    let certs = Certs::new();
    let origin = Origin::start_tls(&certs);
    for (client, version) in [(Client::http1(), "HTTP/1.1"), (Client::http2(), "HTTP/2.0")] {
        let seen = echoed(client.trusting(&certs), &origin).await.json();
        assert_eq!(seen["version"], version);
    }
    let stranger = Client::http1().trusting(&Certs::new());
    let refused = stranger.get(origin.url("/")).try_send().await.unwrap_err();
    assert!(causes(&*refused).contains("invalid peer certificate"), "{}", causes(&*refused));
    let misled = Client::http1().trusting(&certs).server_name("other.example.com");
    let refused = misled.get(origin.url("/")).try_send().await.unwrap_err();
    assert!(causes(&*refused).contains("not valid for name"), "{}", causes(&*refused));
}

#[tokio::test]
async fn curl_agrees_with_our_client() {
    let certs = Certs::new();
    let origin = Origin::start_tls(&certs);
    let url = origin.url("/status/418");
    let curl = move || {
        std::process::Command::new("curl").args(["-sS", "-i", "--cacert"]).arg(certs.ca()).arg(url).output()
    };
    let curl = tokio::task::spawn_blocking(curl).await.unwrap().unwrap();
    let answer = String::from_utf8(curl.stdout).unwrap();
    assert!(answer.starts_with("HTTP/2 418"), "{answer}{}", String::from_utf8_lossy(&curl.stderr));
}

#[tokio::test]
async fn large_bodies_stream_both_ways_and_are_checked() {
    const LENGTH: u64 = 64 << 20;
    let origin = Origin::start();
    for client in [Client::http1(), Client::http2()] {
        let announced = client.get(origin.url(&format!("/bytes/{LENGTH}"))).open().await;
        assert_eq!(announced.headers["content-length"], LENGTH.to_string());
        assert_eq!(announced.count().await.unwrap(), LENGTH);
        let unannounced = client.get(origin.url(&format!("/bytes/{LENGTH}?chunked"))).open().await;
        assert!(!unannounced.headers.contains_key("content-length"));
        assert_eq!(unannounced.count().await.unwrap(), LENGTH);
        let counted = client.post(origin.url("/upload?pattern")).stream(body::sized(LENGTH)).send().await;
        assert_eq!(counted.text(), LENGTH.to_string());
        let counted = client.post(origin.url("/upload?pattern")).stream(body::chunked(LENGTH)).send().await;
        assert_eq!(counted.text(), LENGTH.to_string());
    }
    let other = Client::http1().post(origin.url("/upload?pattern")).body("not the pattern").send().await;
    assert_eq!(other.status, 422);
}

#[tokio::test]
async fn a_body_can_be_fed_and_broken_off() {
    let origin = Origin::start();
    let client = Client::http1();
    let (feed, body) = body::fed();
    let feeding = async {
        assert!(feed.send("one, ").await);
        assert!(feed.send("two").await);
        drop(feed);
    };
    let (answer, ()) = tokio::join!(client.post(origin.url("/echo")).stream(body).send(), feeding);
    assert_eq!(answer.json()["body"], "one, two");

    let (feed, body) = body::fed();
    let breaking_off = async {
        assert!(feed.send("one, ").await);
        feed.fail().await;
    };
    let (answer, ()) = tokio::join!(client.post(origin.url("/echo")).stream(body).try_send(), breaking_off);
    assert!(answer.is_err());
}

#[tokio::test]
async fn the_origin_misbehaves_when_asked_to() {
    let origin = Origin::start();
    let client = Client::http1();

    let broken_off = client.get(origin.url("/close")).open().await;
    assert_eq!(broken_off.headers["content-length"], "100000");
    assert!(broken_off.count().await.is_err());

    let nothing = client.get(origin.url("/hangup")).try_send().await;
    assert!(nothing.is_err());

    let garbage = client.get(origin.url("/garbage")).try_send().await.unwrap_err();
    assert!(causes(&*garbage).contains("invalid HTTP"), "{}", causes(&*garbage));
}

#[tokio::test]
async fn the_origin_takes_its_time_when_asked_to() {
    let origin = Origin::start();
    assert_eq!(Client::http1().get(origin.url("/slow?ms=1")).send().await.text(), "slow");

    let mut drip = Client::http1().get(origin.url("/drip?seconds=60")).open().await;
    assert_eq!(drip.piece().await.unwrap().unwrap(), "drop 0\n");
    assert_eq!(drip.piece().await.unwrap().unwrap(), "drop 1\n");
}

#[tokio::test]
async fn a_connection_is_kept() {
    let origin = Origin::start();
    for client in [Client::http1(), Client::http2()] {
        let before = origin.connections();
        let mut connection = client.connect(origin.url("/")).await.unwrap();
        for status in [200, 404, 503] {
            assert_eq!(connection.get(&format!("/status/{status}")).send().await.status, status);
        }
        assert_eq!(origin.connections(), before + 1);
        assert!(!connection.is_closed());
    }
    assert_eq!(origin.requests(), 6);
}

#[tokio::test]
async fn another_host_can_be_named() {
    let origin = Origin::start();
    let asked = Client::http1().get(origin.url("/")).host("api.example.com").send().await.json();
    assert_eq!(asked["headers"]["host"], "api.example.com");
    let asked = Client::http2().get(origin.url("/")).host("api.example.com").send().await.json();
    assert_eq!(asked["host"], "api.example.com");
}

#[tokio::test]
async fn a_load_counts_answers_and_failures() {
    let origin = Origin::start();
    let load = Load::start(&Client::http1(), &origin.url("/status/200"), 4);
    load.wait_for_more(1000).await;
    let report = load.stop();
    report.assert_no_failures();
    assert_eq!(report.answers.keys().collect::<Vec<_>>(), ["status 200\n"]);
    assert!(origin.connections() >= 10, "{} connections", origin.connections());

    let load = Load::start(&Client::http1(), &origin.url("/status/500"), 1);
    let report = load.wait_for(|it| it.failed > 0).await;
    assert!(report.failures[0].starts_with("500"), "{:?}", report.failures);

    let load = Load::start(&Client::http1(), &origin.url("/slow?ms=1"), 1);
    load.wait_for(|it| it.succeeded > 0).await;
    drop(origin);
    load.wait_for(|it| it.failed > 0).await;
}

#[tokio::test]
async fn eventually_returns_what_it_found() {
    let mut asked = 0;
    let found = eventually("the third time", async || {
        asked += 1;
        (asked == 3).then_some("found")
    });
    assert_eq!(found.await, "found");
}
