//! Policies that read and change what follows a body. (The trailers of gRPC are tested beside gRPC.)

use crate::common::{body_plugin, config, guest_plugin, route};
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Client, Gateway, Origin, wire};

fn chunked(path: &str, sum: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: {sum}\r\nx-more: 1\r\n\r\n"
    )
}

async fn start(origin: &Origin) -> Gateway {
    let upper = "{ use = \"streams\", with = { request = \"upper\" } }";
    let buffered = "{ use = \"bodies\", with = { request = \"upper\" } }";
    let rest = [
        guest_plugin("trailers"),
        body_plugin("streams"),
        body_plugin("bodies"),
        route("/trailers", "\"trailers\""),
        route("/streamed", &format!("{upper}, \"trailers\"")),
        route("/buffered", &format!("{buffered}, \"trailers\"")),
    ];
    Gateway::start(config(origin, &rest.join("\n"))).await
}

#[tokio::test]
async fn trailers_of_a_request_are_shown_where_there_are_any() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for (path, body) in [("/trailers", "hello"), ("/streamed", "HELLO")] {
        let answer = wire::exchange(gateway.addr("plain"), chunked(path, "1")).await;
        assert!(answer.contains(&format!("\"body\": \"{body}\"")), "{answer}");
        gateway.wait_for_log_containing(&format!("request trailers of {path}: 1, 2 in all")).await;

        // They may still decide: nothing was answered yet.
        let answer = wire::exchange(gateway.addr("plain"), chunked(path, "wrong")).await;
        assert!(answer.starts_with("HTTP/1.1 422") && answer.ends_with("wrong sum\n"), "{answer}");
        gateway.wait_for_log_containing(&format!("request trailers of {path}: wrong")).await;
    }
    gateway.forget_log();
    let without = Client::http1().post(gateway.url("/trailers")).body("hello").send().await;
    assert_eq!(without.json()["body"], "hello");
    let answer = wire::exchange(gateway.addr("plain"), chunked("/buffered", "wrong")).await;
    assert!(answer.contains("\"body\": \"HELLO\""), "a buffered body goes on without them: {answer}");
    assert!(!gateway.log().iter().any(|line| line.contains("request trailers of")), "nobody was asked");
}

#[tokio::test]
async fn trailers_of_an_answer_are_changed() {
    let origin = Origin::start();
    let raw = RawOrigin::start(|head| {
        let status = if head.contains("fail") { "99" } else { "11" };
        let text = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status, grpc-message, x-status\r\n\r\n\
             5\r\nhello\r\n0\r\ngrpc-status: {status}\r\ngrpc-message: why\r\n\r\n"
        );
        Reply::Keep(text.into())
    })
    .await;
    let rest = format!(
        "{}\n[upstream.raw]\nendpoints = [\"{}\"]\n[[route]]\nupstream = \"raw\"\npolicies = [\"trailers\"]\n",
        guest_plugin("trailers"),
        raw.url()
    );
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n");
    let answer = wire::exchange(gateway.addr("plain"), get("/")).await;
    assert!(answer.contains("hello"), "{answer}");
    assert!(answer.contains("grpc-status: 3\r\n") && answer.contains("x-status: 11\r\n"), "{answer}");
    assert!(!answer.contains("grpc-message: why"), "{answer}");
    // What fails now can't be told any more: the answer breaks off.
    let broken = wire::exchange(gateway.addr("plain"), get("/fail")).await;
    assert!(broken.contains("hello") && !broken.contains("0\r\n"), "{broken}");
    gateway.wait_for_log_containing("told to fail").await;
}
