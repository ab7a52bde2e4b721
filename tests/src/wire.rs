//! Bytes on a socket, for what a proper client or server would not send.

use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::eventually::within;

/// Sends these bytes and reads until the other side closes.
pub async fn exchange(address: impl AsRef<str>, bytes: impl AsRef<[u8]>) -> String {
    let talking = async {
        let mut socket = TcpStream::connect(address.as_ref()).await.unwrap();
        socket.write_all(bytes.as_ref()).await.unwrap();
        let mut answer = vec![];
        // A reset after the answer is an end as well.
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    within("the other side to answer and close", talking).await
}

/// Answers every connection with these bytes, once it has sent a request head, and closes it; ends
/// with the test's runtime. The heads are handed over.
pub async fn server(
    answer: impl Into<Vec<u8>>,
) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                match socket.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let _ = sender.send(String::from_utf8_lossy(&head).into_owned());
            let _ = socket.write_all(&answer).await;
        }
    });
    (address, heads)
}

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The bytes of an HTTP/2 frame (RFC 9113, section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The frame of a whole request.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(0x82, path))
}

/// The frame of a request whose body is to follow.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(0x83, path))
}

/// The method by its number in HPACK's table; `http`; the path and the host as they are.
fn head(method: u8, path: &str) -> Vec<u8> {
    let mut head = vec![method, 0x86, 0x04, u8::try_from(path.len()).expect("a short path")];
    head.extend(path.as_bytes());
    head.extend([0x01, 4]);
    head.extend(b"test");
    head
}

/// A frame that came.
#[derive(Debug)]
pub struct Received {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// An HTTP/2 connection of frames that the test makes itself.
pub struct Http2<S = TcpStream>(S);

impl Http2 {
    /// Connects, and sends the preface and settings of its own.
    pub async fn connect(address: impl AsRef<str>) -> Http2 {
        let socket = TcpStream::connect(address.as_ref()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Http2::over(socket).await
    }

    pub fn split(self) -> (tokio::net::tcp::OwnedReadHalf, tokio::net::tcp::OwnedWriteHalf) {
        self.0.into_split()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http2<S> {
    /// On what stands already, such as a TLS connection.
    pub async fn over(stream: S) -> Http2<S> {
        let mut http2 = Http2(stream);
        let first = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])];
        http2.send(&first.concat()).await.unwrap();
        http2
    }

    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match tokio::time::timeout(std::time::Duration::from_secs(5), self.write(bytes)).await {
            Ok(result) => result,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    pub async fn request(&mut self, stream: u32, path: &str) {
        self.send(&get(stream, path)).await.unwrap();
    }

    /// The next frame; `None` when the other side has closed.
    pub async fn receive(&mut self) -> Option<Received> {
        let receiving = async {
            let mut header = [0; 9];
            self.0.read_exact(&mut header).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = header;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(Received { kind, flags, stream: u32::from_be_bytes(stream), payload })
        };
        within("a frame", receiving).await
    }

    /// The next frame that is wanted; those before it are passed over.
    pub async fn wait_for(&mut self, wanted: impl Fn(&Received) -> bool) -> Received {
        loop {
            let frame = self.receive().await.expect("the other side closed before the frame came");
            if wanted(&frame) {
                return frame;
            }
        }
    }
}
