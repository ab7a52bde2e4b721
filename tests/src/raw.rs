//! An origin that says anything, below everything that speaks HTTP properly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An origin that answers with whatever bytes a test wants, and keeps its connections open.
pub struct RawOrigin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

/// What a [`RawOrigin`] does when a request head has come.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Sends these bytes and waits for the next request.
    Keep(Vec<u8>),
    /// Sends these bytes and closes the connection in order.
    Close(Vec<u8>),
    /// Sends these bytes and resets the connection.
    Reset(Vec<u8>),
    /// Sends these bytes, and those a moment later, when the others have arrived.
    Later(Vec<u8>, Vec<u8>),
}

impl RawOrigin {
    /// `reply` is asked with each request head, its lines ended by CR LF.
    pub async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> RawOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, closed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (made, ended) = (connections.clone(), closed.clone());
        let reply = Arc::new(reply);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                made.fetch_add(1, Ordering::Relaxed);
                let (reply, ended) = (reply.clone(), ended.clone());
                tokio::spawn(async move {
                    serve_raw(socket, &*reply).await;
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        RawOrigin { address, connections, closed }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections have been made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many of them have ended, by either side.
    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }
}

async fn serve_raw(mut socket: TcpStream, reply: &(impl Fn(&str) -> Reply + Send + Sync)) {
    let _ = socket.set_nodelay(true);
    loop {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            match socket.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let written = match reply(&String::from_utf8_lossy(&head)) {
            Reply::Keep(bytes) => socket.write_all(&bytes).await,
            Reply::Close(bytes) => {
                let _ = socket.write_all(&bytes).await;
                return;
            }
            Reply::Reset(bytes) => {
                let _ = socket.write_all(&bytes).await;
                let _ = socket.set_zero_linger();
                return;
            }
            Reply::Later(bytes, more) => {
                let _ = socket.write_all(&bytes).await;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                socket.write_all(&more).await
            }
        };
        if written.is_err() {
            return;
        }
    }
}
