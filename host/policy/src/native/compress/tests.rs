use std::io::Read;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::native::plain;
use crate::{Chunk, Subject};

fn policy(settings: Value) -> Box<dyn Policy> {
    plain(build, &settings).unwrap()
}

fn exchange(accept: &str, headers: &[(&'static str, &str)]) -> Box<Exchange> {
    let mut exchange = Box::<Exchange>::default();
    exchange.request.headers_mut().insert("accept-encoding", accept.parse().unwrap());
    exchange.response.headers_mut().insert("content-type", "text/html".parse().unwrap());
    for (name, value) in headers {
        exchange.response.headers_mut().insert(*name, value.parse().unwrap());
    }
    exchange
}

fn head(policy: &dyn Policy, exchange: &mut Box<Exchange>, seat: &mut Seat) -> Verdict {
    exchange.enter(Phase::Response, 0);
    match policy.call(Phase::Response, exchange, seat) {
        Answer::Ready(verdict) => verdict.unwrap(),
        Answer::Wait(_) => panic!("it waits"),
    }
}

/// What becomes of these pieces.
fn encoded(policy: &dyn Policy, exchange: &mut Box<Exchange>, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut seat = None;
    assert_eq!(head(policy, exchange, &mut seat), Verdict::WantChunks);
    let pieces = pieces.iter().enumerate().map(|(at, piece)| {
        let last = at + 1 == pieces.len();
        let chunk = Chunk { data: Bytes::copy_from_slice(piece), last, emitted: Vec::new() };
        exchange.enter(Phase::ResponseChunk, 0);
        exchange.subject = Subject::Chunk(Box::new(chunk));
        let answer = policy.call(Phase::ResponseChunk, exchange, &mut seat);
        assert!(matches!(answer, Answer::Ready(Ok(Verdict::Emitted))));
        drop(answer);
        exchange.chunk().unwrap().emitted.clone()
    });
    pieces.collect()
}

fn decoded(coding: &str, encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let _ = match coding {
        "gzip" => flate2::read::GzDecoder::new(encoded).read_to_end(&mut decoded),
        "br" => brotli::Decompressor::new(encoded, 4096).read_to_end(&mut decoded),
        _ => zstd::stream::read::Decoder::new(encoded).unwrap().read_to_end(&mut decoded),
    };
    decoded
}

#[test]
fn whatever_comes_in_comes_out_again() {
    let mut chance = fastrand::Rng::with_seed(7);
    let ours = policy(json!({ "br": 5 }));
    for coding in ["gzip", "br", "zstd"] {
        for round in 0..60 {
            let pieces: Vec<Vec<u8>> = (0..chance.usize(1..6))
                .map(|_| {
                    let length = [0, 1, 100, 5_000, 70_000][chance.usize(0..5)];
                    let letters = chance.u8(1..=255);
                    (0..length).map(|_| chance.u8(0..letters)).collect()
                })
                .collect();
            let whole = pieces.concat();
            // Half of them say how long they are.
            let length = whole.len().max(1024).to_string();
            let said = [("content-length", &*length)];
            let mut exchange = exchange(coding, if round % 2 == 0 { &said } else { &[] });
            let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
            let encoded = encoded(&*ours, &mut exchange, &pieces).concat();
            assert_eq!(decoded(coding, &encoded), whole, "{coding} {round}");
        }
    }
}

#[test]
fn no_piece_waits_for_the_next_one() {
    for coding in ["gzip", "br", "zstd"] {
        let pieces = [&b"the first line\n"[..], b"", b"the second line\n", b""];
        let encoded = encoded(&*policy(json!({})), &mut exchange(coding, &[]), &pieces);
        for (at, piece) in pieces.iter().enumerate() {
            let so_far = decoded(coding, &encoded[..=at].concat());
            assert_eq!(so_far, pieces[..=at].concat(), "{coding}: {piece:?}");
        }
    }
}

#[test]
fn the_head_says_what_became_of_the_body() {
    let mut compressed = exchange(
        "br",
        &[("etag", "\"a\""), ("accept-ranges", "bytes"), ("repr-digest", "sha-256=:x=:"), ("vary", "origin")],
    );
    assert_eq!(head(&*policy(json!({})), &mut compressed, &mut None), Verdict::WantChunks);
    let said = compressed.response.headers();
    assert_eq!(
        (&said["content-encoding"], &said["etag"]),
        (&"br".parse().unwrap(), &"W/\"a\"".parse().unwrap())
    );
    assert!(!said.contains_key("accept-ranges") && !said.contains_key("repr-digest"));
    let vary: Vec<_> = said.get_all("vary").iter().collect();
    assert_eq!(vary, ["origin", "accept-encoding"]);

    for (etag, wanted) in [("W/\"a\"", Some("W/\"a\"")), ("none", None)] {
        let mut compressed = exchange("br", &[("etag", etag), ("vary", "X-A, Accept-Encoding")]);
        head(&*policy(json!({})), &mut compressed, &mut None);
        let said = compressed.response.headers();
        assert_eq!(said.get("etag").map(|tag| tag.to_str().unwrap()), wanted);
        assert_eq!(said.get_all("vary").iter().count(), 1, "it is said already");
    }

    // Who does not want it gets it as it is, and caches learn that others may.
    let mut plain = exchange("identity", &[("etag", "\"a\""), ("content-length", "5000")]);
    assert_eq!(head(&*policy(json!({})), &mut plain, &mut None), Verdict::Next);
    let said = plain.response.headers();
    assert_eq!(
        (&said["vary"], &said["etag"]),
        (&"accept-encoding".parse().unwrap(), &"\"a\"".parse().unwrap())
    );
    assert!(!said.contains_key("content-encoding"));
}

#[test]
fn some_are_left_alone() {
    let ours = policy(json!({}));
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-encoding", "zstd, br"),
        ("content-length", "1023"),
        ("content-length", "0"),
        ("content-type", "image/png"),
        ("content-type", "text/event-stream"),
        ("content-type", "application/grpc-web+json"),
        ("cache-control", "public, No-Transform"),
        ("content-range", "bytes 0-1/2"),
    ] {
        let mut exchange = exchange("gzip", &[(name, value)]);
        assert_eq!(head(&*ours, &mut exchange, &mut None), Verdict::Next, "{name}: {value}");
        assert!(!exchange.response.headers().contains_key("vary"), "{name}: {value}");
    }
    for status in [204, 206, 304] {
        let mut exchange = exchange("gzip", &[]);
        *exchange.response.status_mut() = StatusCode::from_u16(status).unwrap();
        assert_eq!(head(&*ours, &mut exchange, &mut None), Verdict::Next, "{status}");
    }
    let mut refusing = exchange("gzip", &[]);
    refusing.request.headers_mut().insert("cache-control", "no-transform".parse().unwrap());
    assert_eq!(head(&*ours, &mut refusing, &mut None), Verdict::Next);
    // Who can't read it otherwise gets even a short picture compressed.
    let mut only = exchange("gzip, identity;q=0", &[("content-type", "image/png"), ("content-length", "9")]);
    assert_eq!(head(&*ours, &mut only, &mut None), Verdict::WantChunks);
}

#[test]
fn mistakes_are_found_at_load() {
    let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap();
    assert_eq!(mistake(json!({ "encodings": [] })), "/encodings");
    assert_eq!(mistake(json!({ "encodings": ["gzip", "deflate"] })), "/encodings/1");
    assert_eq!(mistake(json!({ "gzip": 0 })), "/gzip");
    assert_eq!(mistake(json!({ "zstd": 20 })), "/zstd");
    assert_eq!(mistake(json!({ "types": ["text"] })), "/types/0");
}
