//! Bytes on a socket, for what a proper client or server would not send.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
