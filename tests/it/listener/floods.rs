//! HTTP/2 frames that are cheap to send and cost work: each flood ends with its connection, and nobody
//! else notices.

use super::config;
use limen_tests::wire::{self, Http2, frame};
use limen_tests::{Client, Gateway, Origin};

async fn start(origin: &Origin) -> Gateway {
    Gateway::start(format!("[gateway]\nworkers = 1\n{}", config(origin, ""))).await
}

/// The gateway closes the connection long before it has read so much, and serves others.
async fn is_cut_off(gateway: &Gateway, http2: Http2, flood: &[u8], why: &str) {
    let mut sent = 0;
    let (mut reading, mut writing) = http2.split();
    let waste = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
    while sent < 64 << 20 {
        match limen_tests::within(
            "the gateway to read or to close",
            tokio::io::AsyncWriteExt::write_all(&mut writing, flood),
        )
        .await
        {
            Ok(()) => sent += flood.len(),
            Err(_) => break,
        }
    }
    assert!(sent < 64 << 20, "it took all of the flood");
    let _ = waste.await;
    gateway.wait_for_log(|line| line.contains(why) && line.contains("client=127.0.0.1:")).await;
    assert_eq!(Client::http2().get(gateway.url("/")).send().await.status, 200);
}

#[tokio::test]
async fn requests_that_are_reset_at_once() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let mut http2 = Http2::connect(gateway.addr("it")).await;
    let mut answered = false;
    // Each is sent for itself, so that the gateway has seen it when it is reset.
    for n in 0..20_000u32 {
        let stream = n * 2 + 1;
        let request =
            [wire::get(stream, "/slow?ms=100"), frame(wire::RST_STREAM, 0, stream, &8u32.to_be_bytes())];
        if http2.send(&request.concat()).await.is_err() {
            answered = true;
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(answered, "20,000 requests were reset and the connection is still there");
    gateway.wait_for_log(|line| line.contains("flood") && line.contains("client=127.0.0.1:")).await;
    assert_eq!(Client::http2().get(gateway.url("/")).send().await.status, 200);
}

#[tokio::test]
async fn continuation_frames_without_end() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let mut http2 = Http2::connect(gateway.addr("it")).await;
    // HEADERS without END_HEADERS.
    http2.send(&frame(wire::HEADERS, 0, 1, &[0x82])).await.unwrap();
    let flood = frame(wire::CONTINUATION, 0, 1, &[0x82; 1]).repeat(1000);
    is_cut_off(&gateway, http2, &flood, "refused: ").await;
}

#[tokio::test]
async fn settings_without_end() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let http2 = Http2::connect(gateway.addr("it")).await;
    is_cut_off(&gateway, http2, &frame(wire::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(1000), "flood")
        .await;
}

#[tokio::test]
async fn pings_without_end() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    for flags in [0, wire::ACK] {
        gateway.forget_log();
        let http2 = Http2::connect(gateway.addr("it")).await;
        is_cut_off(&gateway, http2, &frame(wire::PING, flags, 0, &[7; 8]).repeat(1000), "flood").await;
        let lines = gateway.log().len();
        assert!(lines < 50, "{lines} lines in the log");
    }
}

#[tokio::test]
async fn empty_data_without_end() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let mut http2 = Http2::connect(gateway.addr("it")).await;
    http2.send(&wire::post(1, "/upload")).await.unwrap();
    is_cut_off(&gateway, http2, &frame(wire::DATA, 0, 1, &[]).repeat(1000), "flood").await;
}

/// Pings whose answers nobody reads: they don't pile up, and the connection ends with the time to send.
#[tokio::test]
async fn pings_whose_answers_nobody_reads() {
    let origin = Origin::start();
    let gateway = start(&origin).await;
    let before = gateway.rss_bytes();
    let mut http2 = Http2::connect(gateway.addr("it")).await;
    let flood = frame(wire::PING, 0, 0, &[7; 8]).repeat(1000);
    for _ in 0..1000 {
        if http2.send(&flood).await.is_err() {
            break;
        }
    }
    let grown = gateway.rss_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "it remembers {grown} bytes of them");
}
