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
    for (path, body) in [("/trailers", "hello"), ("/streamed", "HELLO"), ("/buffered", "HELLO")] {
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
    assert!(!gateway.log().iter().any(|line| line.contains("request trailers of")), "nobody was asked");
}

/// What a policy waits for goes on with what follows it, whoever else looks at it.
#[tokio::test]
async fn a_body_that_was_waited_for_keeps_its_trailers() {
    let origin = Origin::start();
    let raw = RawOrigin::start(|_| {
        let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status, x-more\r\n\r\n\
                    5\r\nhello\r\n0\r\ngrpc-status: 11\r\nx-more: 1\r\n\r\n";
        Reply::Keep(text.into())
    })
    .await;
    let routes = [("/keep", "keep"), ("/upper", "upper")].map(|(path, change)| {
        let both =
            format!("{{ use = \"bodies\", with = {{ request = {change:?}, response = {change:?} }} }}");
        let to = |path: &str, policies: &str| {
            format!("[[route]]\npath = {path:?}\nupstream = \"raw\"\npolicies = [{policies}]\n")
        };
        to(path, &both) + &to(&format!("{path}/read"), &format!("\"trailers\", {both}"))
    });
    let rest = format!(
        "{}{}\n[upstream.raw]\nendpoints = [\"{}\"]\n{}",
        guest_plugin("trailers"),
        body_plugin("bodies"),
        raw.url(),
        routes.concat()
    );
    let gateway = Gateway::start(config(&origin, &rest)).await;
    for (path, body, status) in [
        ("/keep", "hello", "11"),
        ("/upper", "HELLO", "11"),
        ("/keep/read", "hello", "3"),
        ("/upper/read", "HELLO", "3"),
    ] {
        let request = chunked(path, "1").replace("host: a", "host: a\r\nte: trailers");
        let answer = wire::exchange(gateway.addr("plain"), request).await;
        assert!(answer.contains(&format!("\r\n{body}\r\n")), "{path}: {answer}");
        assert!(answer.contains(&format!("grpc-status: {status}\r\n")), "{path}: {answer}");
        assert!(answer.contains("x-more: 1\r\n") && !answer.contains("content-length"), "{path}: {answer}");
    }
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
