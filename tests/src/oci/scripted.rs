//! A registry, or what a registry leads to, that answers each request as the test says.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::Certs;

/// It runs; displayed, it is its host and port. It ends with the test's runtime.
pub struct Registry {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Ask>>>,
    busy: Arc<Busy>,
}

/// How many requests are being answered, and how many there were at most.
#[derive(Default)]
struct Busy {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// With its query.
    pub path: String,
    pub authorization: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This body.
    Whole(Vec<u8>),
    /// This body, after a moment.
    Late(Vec<u8>),
    /// This status, header and body.
    Head(u16, (&'static str, String), Vec<u8>),
    /// The connection ends after these bytes, though more were announced.
    Cut(Vec<u8>),
    /// This, once it is let go: until then the connection is there, and nothing comes.
    Held(watch::Receiver<bool>, Box<Reply>),
    /// A body without end.
    Endless,
    /// A byte now and then.
    Drip,
    /// Something that is not HTTP.
    Nonsense,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::Head(status, ("x-nothing", String::new()), Vec::new())
    }

    pub fn redirect(to: String) -> Reply {
        Reply::Head(307, ("location", to), Vec::new())
    }

    /// A 401 with this challenge.
    pub fn challenge(challenge: String) -> Reply {
        Reply::Head(401, ("www-authenticate", challenge), Vec::new())
    }

    /// What there is, or 404.
    pub fn of(found: Option<&[u8]>) -> Reply {
        found.map_or(Reply::status(404), |bytes| Reply::Whole(bytes.to_vec()))
    }
}

impl Registry {
    pub async fn start(script: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Registry {
        Registry::serve(None, script).await
    }

    /// With the certificate for `localhost`.
    pub async fn start_tls(
        certs: &Certs,
        script: impl Fn(&Ask) -> Reply + Send + Sync + 'static,
    ) -> Registry {
        let mut config = certs.server_config();
        config.alpn_protocols.clear();
        Registry::serve(Some(TlsAcceptor::from(Arc::new(config))), script).await
    }

    async fn serve(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Ask) -> Reply + Send + Sync + 'static,
    ) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry =
            Registry { address: listener.local_addr().unwrap(), asked: Arc::default(), busy: Arc::default() };
        let (script, asked, busy) = (Arc::new(script), registry.asked.clone(), registry.busy.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (script, asked, tls, busy) = (script.clone(), asked.clone(), tls.clone(), busy.clone());
                tokio::spawn(async move {
                    busy.most.fetch_max(busy.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    match tls {
                        None => converse(socket, &*script, &asked).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                converse(stream, &*script, &asked).await;
                            }
                        }
                    }
                    busy.now.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        registry
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests were being answered at the same time, at most.
    pub fn most_busy(&self) -> usize {
        self.busy.most.load(Ordering::Relaxed)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// One request and its answer; how it goes on is the other side's to notice.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &(dyn Fn(&Ask) -> Reply + Send + Sync),
    asked: &Mutex<Vec<Ask>>,
) {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line).await {
            Ok(1..) if !line.trim_end().is_empty() => lines.push(line.trim_end().to_owned()),
            Ok(1..) => break,
            _ => return,
        }
    }
    let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else { return };
    let header = |line: &String| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    };
    let ask = Ask { path: path.to_owned(), authorization: lines.iter().find_map(header) };
    asked.lock().unwrap().push(ask.clone());
    let _ = answer(script(&ask), &mut stream).await;
    let _ = stream.shutdown().await;
}

async fn answer(mut reply: Reply, stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    while let Reply::Held(mut is_let_go, held) = reply {
        if is_let_go.wait_for(|it| *it).await.is_err() {
            return Ok(()); // nobody is left who could
        }
        reply = *held;
    }
    let head = |status: u16, more: &str, length: usize| {
        format!("HTTP/1.1 {status} Scripted\r\n{more}connection: close\r\ncontent-length: {length}\r\n\r\n")
    };
    if let Reply::Late(_) = reply {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match reply {
        Reply::Whole(body) | Reply::Late(body) => {
            stream.write_all(head(200, "", body.len()).as_bytes()).await?;
            stream.write_all(&body).await
        }
        Reply::Head(status, (name, value), body) => {
            let more = format!("{name}: {value}\r\n");
            stream.write_all(head(status, &more, body.len()).as_bytes()).await?;
            stream.write_all(&body).await
        }
        Reply::Cut(body) => {
            stream.write_all(head(200, "", body.len() + 1).as_bytes()).await?;
            stream.write_all(&body).await
        }
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'{'; 4096]).await?;
            }
        }
        Reply::Drip => {
            stream.write_all(head(200, "", 1000).as_bytes()).await?;
            loop {
                stream.write_all(b"{").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Reply::Held(..) => Ok(()), // see above
        Reply::Nonsense => stream.write_all(b"\x00\xff this was never HTTP\r\n\r\n").await,
    }
}
