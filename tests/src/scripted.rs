//! An origin that does with each request what the test says, below everything that speaks HTTP properly,
//! and remembers exactly what it was asked.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A running scripted origin; displayed, it is its URL. It ends with the test's runtime.
pub struct Scripted {
    address: SocketAddr,
    state: Arc<State>,
}

/// What it does with one request.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Answers with this status; the body says which request it was, counted from 0.
    Answer(u16),
    /// The same, after a while.
    Late(Duration, u16),
    /// Says nothing, and keeps the connection until the other side closes it.
    Silence,
    /// Resets the connection instead of answering.
    Reset,
    /// Resets it in the middle of the body.
    ResetInBody,
}

/// A request as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Such as `GET /path HTTP/1.1`.
    pub line: String,
    pub body: Vec<u8>,
}

type Script = dyn Fn(usize, &Seen) -> Act + Send + Sync;

struct State {
    script: Box<Script>,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    /// How many are being answered right now, and how many there were at most.
    busy: watch::Sender<(usize, usize)>,
}

impl Scripted {
    /// On a port that the system chooses. The script is asked for each request, counted from 0.
    pub async fn start(script: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Box::new(script),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            seen: Mutex::default(),
            busy: watch::Sender::new((0, 0)),
        });
        let serving = state.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let state = serving.clone();
                state.connections.fetch_add(1, Ordering::Relaxed);
                let open = state.open.fetch_add(1, Ordering::Relaxed) + 1;
                state.most_open.fetch_max(open, Ordering::Relaxed);
                tokio::spawn(async move {
                    state.serve(socket).await;
                    state.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Scripted { address, state }
    }

    /// What it was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many connections have been opened.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// How many connections were open at the same time, at most.
    pub fn most_open(&self) -> usize {
        self.state.most_open.load(Ordering::Relaxed)
    }

    /// How many requests have come, as a whole.
    pub fn requests(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// How many requests are being answered right now.
    pub fn busy(&self) -> usize {
        self.state.busy.borrow().0
    }

    /// How many requests there were at the same time, at most.
    pub fn most_busy(&self) -> usize {
        self.state.busy.borrow().1
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}

impl State {
    /// Errors are the other side's to notice.
    async fn serve(&self, socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        let mut socket = BufReader::new(socket);
        while let Some(seen) = read_request(&mut socket).await {
            let number = {
                let mut all = self.seen.lock().unwrap();
                all.push(seen.clone());
                all.len() - 1
            };
            self.busy.send_modify(|(now, most)| {
                *now += 1;
                *most = (*most).max(*now);
            });
            let busy = Busy(&self.busy);
            if !act((self.script)(number, &seen), number, &mut socket, busy).await {
                return;
            }
        }
    }
}

/// One of the requests that are being answered; not any more once the answer can be read.
struct Busy<'a>(&'a watch::Sender<(usize, usize)>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|(now, _)| *now -= 1);
    }
}

/// Whether the connection goes on.
async fn act(act: Act, number: usize, socket: &mut BufReader<TcpStream>, busy: Busy<'_>) -> bool {
    match act {
        Act::Late(_, status) | Act::Answer(status) => {
            if let Act::Late(late, _) = act {
                // A client that goes away is noticed at once.
                let gone = tokio::time::timeout(late, socket.fill_buf()).await;
                if gone.is_ok_and(|read| read.is_ok_and(<[u8]>::is_empty)) {
                    return false;
                }
            }
            let body = format!("{number}\n");
            let head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n\r\n", body.len());
            drop(busy);
            socket.write_all((head + &body).as_bytes()).await.is_ok()
        }
        Act::Silence => {
            let _ = socket.read_u8().await;
            false
        }
        Act::Reset => {
            let _ = socket.get_ref().set_zero_linger();
            false
        }
        Act::ResetInBody => {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf").await;
            let _ = socket.flush().await;
            // What is reset at once is lost before it is read.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let _ = socket.get_ref().set_zero_linger();
            false
        }
    }
}

async fn read_request(socket: &mut BufReader<TcpStream>) -> Option<Seen> {
    let first = read_line(socket).await?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = read_line(socket).await?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("transfer-encoding", _)) => chunked = true,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    while chunked {
        let size = usize::from_str_radix(read_line(socket).await?.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        socket.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(size);
        chunked = size > 0;
        body.append(&mut chunk);
    }
    Some(Seen { line: first, body })
}

async fn read_line(socket: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match socket.read_line(&mut line).await {
        Ok(1..) => Some(line.trim_end().to_owned()),
        _ => None,
    }
}
