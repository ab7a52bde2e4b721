//! Kept connections that are closed under a request: nothing is lost that can be sent again.

use crate::common::{assert_problem, config_of_one_worker};
use http::Method;
use limen_tests::{Client, Gateway, Load, Origin, body, within};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How an endpoint that leaves its clients without a word ends its connections.
#[derive(Clone, Copy, Debug)]
enum End {
    /// When it has had nothing to do for so long.
    Idle(Duration),
    /// When the second request has come.
    Close,
    Reset,
    /// When the second answer has begun.
    InHead,
}

/// An endpoint that answers the first request of each connection.
struct Fickle {
    address: SocketAddr,
    /// Requests that came.
    requests: Arc<AtomicUsize>,
}

impl Fickle {
    async fn start(end: End) -> Fickle {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<AtomicUsize>::default();
        let count = requests.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                tokio::spawn(serve(BufReader::new(socket), end, count.clone()));
            }
        });
        Fickle { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    async fn gateway(&self, keys: &str) -> (Origin, Gateway) {
        let origin = Origin::start();
        let rest = format!(
            "[upstream.fickle]\nendpoints = [\"http://{}\"]\n{keys}\n[[route]]\nupstream = \"fickle\"\n",
            self.address
        );
        let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
        (origin, gateway)
    }
}

async fn serve(mut socket: BufReader<TcpStream>, end: End, requests: Arc<AtomicUsize>) {
    for number in 0.. {
        let wait = match end {
            End::Idle(time) if number > 0 => time,
            _ => Duration::from_secs(3600),
        };
        let Ok(Some(request)) = tokio::time::timeout(wait, read(&mut socket)).await else { return };
        requests.fetch_add(1, Ordering::Relaxed);
        match end {
            End::Close if number > 0 => return,
            End::Reset if number > 0 => return drop(socket.get_ref().set_zero_linger()),
            End::InHead if number > 0 => {
                let _ = socket.write_all(b"HTTP/1.1 200").await;
                return;
            }
            _ => {}
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{request}", request.len());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The request in words: its line, the names of its fields, its body.
async fn read(socket: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut head, mut names, mut length) = (String::new(), BTreeSet::new(), 0);
    socket.read_line(&mut head).await.ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        names.insert(name.to_owned());
        if name == "content-length" {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some(format!("{} {names:?} {}", head.trim_end(), String::from_utf8_lossy(&body)))
}

/// Thousands of requests, each of which may meet a connection that is being closed.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_under_load() {
    for end in [End::Idle(Duration::from_micros(300)), End::Close, End::Reset] {
        let fickle = Fickle::start(end).await;
        let (_origin, gateway) = fickle.gateway("").await;
        let load = Load::start(&Client::http1(), &gateway.url("/x?y=1"), 8);
        load.wait_for_more(3000).await;
        let report = load.stop();
        report.assert_no_failures();
        assert_eq!(report.answers.len(), 1, "the same request, another form: {:?}", report.answers);
        if !matches!(end, End::Idle(_)) {
            let requests = fickle.requests() as u64;
            assert!(requests > report.succeeded, "{end:?}: no connection was kept");
            assert!(requests <= 2 * report.succeeded, "{end:?}: {requests} for {}", report.succeeded);
        }
    }
}

#[tokio::test]
async fn what_may_not_be_sent_twice_is_not() {
    for end in [End::Close, End::Reset] {
        let fickle = Fickle::start(end).await;
        let (_origin, gateway) = fickle.gateway("").await;
        let client = Client::http1();
        // Each of these is the second request on its connection.
        let first = async || assert_eq!(client.get(gateway.url("/x")).send().await.status, 200);
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
            first().await;
            let before = fickle.requests();
            let asked = client.request(method.clone(), gateway.url("/x")).body("the body").send();
            let answer = within("an answer", asked).await;
            assert_eq!(answer.status, 200, "{method}: {}", answer.text());
            assert!(answer.text().ends_with("the body"), "{}", answer.text());
            assert_eq!(fickle.requests() - before, 2, "{method}");
            // The next one is the second on that connection.
            assert_problem(&client.post(gateway.url("/x")).body("once").send().await, 502);
            assert_eq!(fickle.requests() - before, 3, "{method}");
        }
        // More than what is kept.
        first().await;
        let long = client.request(Method::PUT, gateway.url("/x")).stream(body::sized(100_000));
        assert_problem(&long.send().await, 502);
    }
    // Somebody has begun to answer.
    let fickle = Fickle::start(End::InHead).await;
    let (_origin, gateway) = fickle.gateway("").await;
    assert_eq!(Client::http1().get(gateway.url("/x")).send().await.status, 200);
    assert_problem(&Client::http1().get(gateway.url("/x")).send().await, 502);
    assert_eq!(fickle.requests(), 2);
}

/// It is no try of `retries`, but within their budget.
#[tokio::test]
async fn it_is_paid_for_by_the_budget() {
    let fickle = Fickle::start(End::Close).await;
    let (_origin, gateway) =
        fickle.gateway("retries = { on = [\"503\"], budget = { percent = 0, minimum = 2 } }").await;
    let mut statuses = vec![];
    for _ in 0..6 {
        statuses.push(Client::http1().get(gateway.url("/x")).send().await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 502, 200, 502]);
}
