//! Requests that two readers could understand differently. Each is refused, its connection closed and
//! nothing of it complete at the origin; or it is settled, and the origin sees exactly one request in the
//! one form that the gateway has given it.

use crate::common::{config, route};
use limen_tests::{Gateway, Origin, eventually, wire};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An origin that writes down every byte it is sent, and answers each connection once.
struct Recorder {
    address: SocketAddr,
    /// Of each connection.
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    async fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let recorder = Recorder { address, seen: seen.clone() };
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((mut socket, _)) = listener.accept().await else { return };
                seen.lock().unwrap().push(vec![]);
                let seen = seen.clone();
                tokio::spawn(async move {
                    let (mut here, mut answered) = (vec![], false);
                    while let Ok(1..) = socket.read_buf(&mut here).await {
                        seen.lock().unwrap()[number] = here.clone();
                        if !answered && is_complete(&here) {
                            answered = true;
                            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                            let _ = socket.write_all(answer).await;
                        }
                    }
                });
            }
        });
        recorder
    }

    /// What has come on connections where this was said.
    fn seen(&self, what: &str) -> String {
        let seen = self.seen.lock().unwrap();
        let seen = seen.iter().map(|bytes| String::from_utf8_lossy(bytes));
        seen.filter(|seen| seen.contains(what)).collect::<Vec<_>>().concat()
    }
}

/// Whether the bytes begin with a whole request, as the gateway writes one.
fn is_complete(seen: &[u8]) -> bool {
    let seen = String::from_utf8_lossy(seen).to_ascii_lowercase();
    let Some((head, body)) = seen.split_once("\r\n\r\n") else { return false };
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    match field("content-length: ") {
        Some(length) => body.len() >= length.trim().parse().unwrap(),
        None if field("transfer-encoding: ").is_some() => body.ends_with("0\r\n\r\n"),
        None => true,
    }
}

/// What has to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    /// It means one thing, or the gateway has made it so.
    Settled,
}
use Fate::{Refused, Settled};

/// Lines are ended with CRLF where they say `\n` alone; `\x01` stands for a bare LF, `\x02` for a bare CR.
fn bytes(text: &str) -> String {
    text.replace('\n', "\r\n").replace('\x01', "\n").replace('\x02', "\r")
}

/// A POST with these headers, and this body after the head.
fn post(headers: &str, body: &str) -> String {
    format!("POST /open HTTP/1.1\nhost: a\nconnection: close\n{headers}\n\n{body}")
}

fn chunked(body: &str) -> String {
    post("transfer-encoding: chunked", body)
}

fn requests() -> Vec<(&'static str, Fate, String)> {
    let hidden = "0\n\nGET /hidden HTTP/1.1\nhost: a\n\n";
    let get = |line: &str, headers: &str| format!("{line}\n{headers}connection: close\n\n");
    let with = |header: &str| get("GET /open HTTP/1.1", &format!("host: a\n{header}\n"));
    let length = |length: &str| post(&format!("content-length: {length}"), "abc");
    let coding = |coding: &str| post(&format!("transfer-encoding: {coding}"), hidden);
    vec![
        ("plain", Settled, with("x: 1")),
        ("a length", Settled, length("3")),
        ("chunks", Settled, chunked("3\nabc\n0\n\n")),
        ("two equal lengths", Settled, post("content-length: 3\ncontent-length: 3", "abc")),
        ("length, then coding", Settled, post("content-length: 3\ntransfer-encoding: chunked", "0\n\n")),
        ("coding, then length", Settled, post("transfer-encoding: chunked\ncontent-length: 3", "0\n\n")),
        ("two lengths", Refused, post("content-length: 3\ncontent-length: 4", "abcd")),
        ("two lengths in one", Refused, length("3, 4")),
        ("a length with a plus", Refused, length("+3")),
        ("a negative length", Refused, length("-3")),
        ("a length in hex", Refused, length("0x3")),
        ("a length with a space", Refused, length("3 3")),
        ("a length beyond 64 bits", Refused, length("18446744073709551619")),
        ("a length that is none", Refused, length("")),
        ("xchunked", Refused, coding("xchunked")),
        ("chunked, identity", Refused, coding("chunked, identity")),
        ("identity, chunked", Refused, coding("identity, chunked")),
        ("gzip, chunked", Refused, coding("gzip, chunked")),
        ("chunked twice", Refused, coding("chunked, chunked")),
        ("chunked on two lines", Refused, coding("chunked\ntransfer-encoding: chunked")),
        ("identity and chunked on two lines", Refused, coding("identity\ntransfer-encoding: chunked")),
        ("a vertical tab before chunked", Refused, coding("\u{b}chunked")),
        ("chunked in quotes", Refused, coding("\"chunked\"")),
        ("chunked with a parameter", Refused, coding("chunked;q=1")),
        ("coding in HTTP/1.0", Refused, chunked(hidden).replace("HTTP/1.1\nhost", "HTTP/1.0\nhost")),
        ("space before the colon", Refused, post("content-length : 3", "abc")),
        ("space before the coding's colon", Refused, post("transfer-encoding : chunked", hidden)),
        ("tab before the colon", Refused, post("transfer-encoding\t: chunked", hidden)),
        ("a folded line", Refused, with("x: a\n b")),
        ("a folded coding", Refused, post("transfer-encoding:\n chunked", hidden)),
        ("space before the first header", Refused, get("GET /open HTTP/1.1", " host: a\n")),
        ("NUL in a value", Refused, with("x: a\0b")),
        ("a bare CR in a value", Refused, with("x: a\x02b: c")),
        ("a bare LF in a value", Settled, with("x: a\x01b: c")),
        ("a control in a value", Refused, with("x: a\x08b")),
        ("DEL in a value", Refused, with("x: a\x7fb")),
        ("an odd name", Refused, with("x(y): 1")),
        ("a name beyond ASCII", Refused, with("xé: 1")),
        ("NUL in a name", Refused, with("x\0y: 1")),
        ("no name", Refused, with(": 1")),
        ("no colon", Refused, with("nonsense")),
        ("no host", Refused, get("GET /open HTTP/1.1", "")),
        ("two hosts", Refused, with("host: a")),
        ("two hosts that differ", Refused, with("host: b")),
        ("two hosts in one", Refused, get("GET /open HTTP/1.1", "host: a, b\n")),
        ("a host with a path", Refused, get("GET /open HTTP/1.1", "host: a/b\n")),
        ("a host with a user", Refused, get("GET /open HTTP/1.1", "host: u@a\n")),
        ("two spaces in the request line", Refused, get("GET  /open HTTP/1.1", "host: a\n")),
        ("a tab in the request line", Refused, get("GET\t/open HTTP/1.1", "host: a\n")),
        ("four words in the request line", Refused, get("GET /open x HTTP/1.1", "host: a\n")),
        ("a space at the end of the request line", Refused, get("GET /open HTTP/1.1 ", "host: a\n")),
        ("a control in the target", Refused, get("GET /op\x07en HTTP/1.1", "host: a\n")),
        ("NUL in the target", Refused, get("GET /op\0en HTTP/1.1", "host: a\n")),
        ("HTTP/2.0 in a line", Refused, get("GET /open HTTP/2.0", "host: a\n")),
        ("HTTP/1.2", Refused, get("GET /open HTTP/1.2", "host: a\n")),
        ("http in lower case", Refused, get("GET /open http/1.1", "host: a\n")),
        ("HTTP/0.9", Refused, "GET /open\n\n".to_owned()),
        ("an odd method", Refused, get("G(T /open HTTP/1.1", "host: a\n")),
        ("CONNECT", Refused, get("CONNECT a:1 HTTP/1.1", "host: a:1\n")),
        ("a target without a slash", Refused, get("GET open HTTP/1.1", "host: a\n")),
        ("an absolute target", Settled, get("GET http://b/open HTTP/1.1", "host: a\n")),
        ("chunks with an extension", Settled, chunked("3;a=b\nabc\n0\n\n")),
        ("extensions without end", Refused, chunked(&format!("3;{}\nabc\n0\n\n", "a".repeat(20_000)))),
        ("a bare LF in an extension", Refused, chunked("3;a\x01bc\nabc\n0\n\n")),
        ("a chunk size in 0x", Refused, chunked("0x3\nabc\n0\n\n")),
        ("a negative chunk", Refused, chunked("-3\nabc\n0\n\n")),
        ("a chunk with a plus", Refused, chunked("+3\nabc\n0\n\n")),
        ("a chunk size with a space in it", Refused, chunked("3 3\nabc\n0\n\n")),
        ("a chunk beyond 64 bits", Refused, chunked("10000000000000003\nabc\n0\n\n")),
        ("a chunk size that is none", Refused, chunked("\nabc\n0\n\n")),
        ("a chunk that is longer than it says", Refused, chunked("2\nabc\n0\n\n")),
        ("a chunk ended by LF", Refused, chunked("3\x01abc\n0\n\n")),
        ("chunk data ended by LF", Refused, chunked("3\nabc\x010\n\n")),
        ("a last chunk ended by LF", Refused, chunked("3\nabc\n0\x01\x01")),
        ("lines ended by LF", Settled, with("x: 1").replace('\n', "\x01")),
    ]
}

#[tokio::test]
async fn every_request_has_one_meaning() {
    let recorder = Recorder::start().await;
    let origin = Origin::start();
    let rest = format!(
        "[log]\naccess = true\n[upstream.raw]\nendpoints = [\"http://{}\"]\n[[route]]\nupstream = \"raw\"\n",
        recorder.address
    );
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let mut wrong = vec![];
    for (number, (name, fate, request)) in requests().into_iter().enumerate() {
        let place = format!("/open-{number}-");
        let request = request.replace("/open", &place);
        let answer = wire::exchange(gateway.addr("plain"), bytes(&request)).await;
        let seen = recorder.seen(&place);
        let status = answer.split(' ').nth(1).unwrap_or("-").to_owned();
        println!("{name}: {status}, at the origin: {seen:?}");
        let complete = is_complete(seen.as_bytes());
        let right = match fate {
            Refused => matches!(&*status, "-" | "400" | "414" | "431" | "501" | "505") && !complete,
            Settled => {
                let head = seen.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
                let count = |text: &str| head.matches(text).count();
                status == "200"
                    && complete
                    && seen.matches(" HTTP/1.1\r\n").count() == 1
                    && count("\r\nhost:") == 1
                    && count("\r\ncontent-length:") + count("\r\ntransfer-encoding:") <= 1
            }
        };
        if !right || answer.matches("HTTP/1.1 ").count() > 1 {
            wrong.push(format!(
                "{name}: {fate:?}\n  asked: {request:?}\n  answered: {answer:?}\n  seen: {seen:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(recorder.seen("hidden"), "");
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals, without Huffman coding.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// Sends one request in frames made by hand: whether it was answered, or reset or the connection ended.
async fn ask_in_frames(address: &str, fields: &[(&str, &str)], data: Option<&str>) -> bool {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let end = u8::from(data.is_none());
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend(frame(4, 0, 0, &[]));
    request.extend(frame(HEADERS, 4 | end, 1, &block(fields)));
    if let Some(data) = data {
        request.extend(frame(0, 1, 1, data.as_bytes()));
    }
    socket.write_all(&request).await.unwrap();
    limen_tests::within("a frame that says what became of it", async {
        loop {
            let mut head = [0; 9];
            if socket.read_exact(&mut head).await.is_err() {
                return false;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if socket.read_exact(&mut payload).await.is_err() {
                return false;
            }
            match head[3] {
                // 0x88 is `:status: 200` of the static table.
                HEADERS => return payload.first() == Some(&0x88),
                RESET | GOAWAY => return false,
                _ => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn every_request_of_http_2_has_one_meaning() {
    let origin = Origin::start();
    let gateway = Gateway::start(config(&origin, &route("/**", ""))).await;
    let usual = [(":method", "POST"), (":scheme", "http"), (":path", "/upload"), (":authority", "a")];
    let with = |more: &[(&'static str, &'static str)]| [&usual, more].concat();
    let without = |name: &str| usual.into_iter().filter(|(it, _)| *it != name).collect::<Vec<_>>();
    let instead = |name: &str, value: &'static str| {
        usual.map(|(it, old)| (it, if it == name { value } else { old })).to_vec()
    };
    assert!(ask_in_frames(&gateway.addr("plain"), &with(&[("x", "1")]), Some("abc")).await);
    assert!(ask_in_frames(&gateway.addr("plain"), &with(&[("content-length", "3")]), Some("abc")).await);
    eventually("both to be counted", async || (origin.requests() == 2).then_some(())).await;
    for (name, fields) in [
        (":path twice", with(&[(":path", "/b")])),
        (":method twice", with(&[(":method", "GET")])),
        ("a pseudo header after others", with(&[("x", "1"), (":extra", "1")])),
        ("an unknown pseudo header", [&[(":extra", "1")][..], &usual[..]].concat()),
        ("one of a response", [&[(":status", "200")][..], &usual[..]].concat()),
        ("a name in upper case", with(&[("X-Big", "1")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "1")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("te: gzip", with(&[("te", "gzip")])),
        ("CR LF in a value", with(&[("x", "a\r\nb: c")])),
        ("LF in a value", with(&[("x", "a\nb")])),
        ("NUL in a value", with(&[("x", "a\0b")])),
        ("a space in a name", with(&[("a b", "c")])),
        ("a colon in a name", with(&[("a:b", "c")])),
        ("too long a length", with(&[("content-length", "4")])),
        ("too short a length", with(&[("content-length", "2")])),
        ("two lengths", with(&[("content-length", "3"), ("content-length", "4")])),
        ("no path", without(":path")),
        ("an empty path", instead(":path", "")),
        ("a path without a slash", instead(":path", "upload")),
        ("a path with a space", instead(":path", "/a b")),
        ("no method", without(":method")),
        ("an odd method", instead(":method", "G T")),
        ("no scheme", without(":scheme")),
        ("an authority with a user", instead(":authority", "u@a")),
        ("two hosts", with(&[("host", "a"), ("host", "b")])),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "a:1")]),
    ] {
        let answered = ask_in_frames(&gateway.addr("plain"), &fields, Some("abc")).await;
        println!("{name}: answered {answered}");
        assert!(!answered, "{name}");
    }
    assert!(ask_in_frames(&gateway.addr("plain"), &with(&[("x", "1")]), Some("abc")).await);
}
