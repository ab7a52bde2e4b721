//! What two processes say to one another: one packet of JSON each, with descriptors beside it.
//!
//! An old and a new version speak with one another here, so that the words can't change: what is new
//! needs a message of its own.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde_json::{Value, json};

/// Descriptors in one packet, at most (the kernel takes 253).
const DESCRIPTORS: usize = 64;
/// A packet is a name and an address; a name has 128 bytes at most.
const LONGEST: usize = 4096;

#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// From the old one: sockets of a listener. There may be more of them in the next.
    Sockets { name: String, asked: Option<SocketAddr> },
    /// From the old one: that was all.
    End,
    /// From the new one: it serves.
    Ready,
    /// From the old one: it accepts no more connections.
    Gone,
}

impl Message {
    fn to_json(&self) -> Value {
        match self {
            Message::Sockets { name, asked } => {
                json!({ "is": "sockets", "name": name, "asked": asked.map(|at| at.to_string()) })
            }
            Message::End => json!({ "is": "end" }),
            Message::Ready => json!({ "is": "ready" }),
            Message::Gone => json!({ "is": "gone" }),
        }
    }

    fn from_json(value: &Value) -> Option<Message> {
        match value.get("is")?.as_str()? {
            "sockets" => Some(Message::Sockets {
                name: value.get("name")?.as_str()?.to_owned(),
                asked: value.get("asked").and_then(Value::as_str).and_then(|at| at.parse().ok()),
            }),
            "end" => Some(Message::End),
            "ready" => Some(Message::Ready),
            "gone" => Some(Message::Gone),
            _ => None,
        }
    }
}

pub fn send_sockets(
    to: &OwnedFd,
    name: &str,
    asked: Option<SocketAddr>,
    sockets: &[TcpListener],
) -> io::Result<()> {
    for some in sockets.chunks(DESCRIPTORS) {
        let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
        send(to, &Message::Sockets { name: name.to_owned(), asked }, &some)?;
    }
    Ok(())
}

pub fn send(to: &OwnedFd, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = message.to_json().to_string();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    rustix::net::sendmsg(to, &[IoSlice::new(text.as_bytes())], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

pub fn receive(from: &OwnedFd) -> io::Result<(Message, Vec<OwnedFd>)> {
    let mut text = [0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut text)];
    let got = match rustix::net::recvmsg(from, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
        Err(rustix::io::Errno::AGAIN) => {
            let what = "the other process does not answer: is it being taken over by a third?";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        got => got?,
    };
    let descriptors = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors = descriptors.flatten().collect();
    if got.bytes == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the other process ended before it was ready",
        ));
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(unexpected());
    }
    let text = text.get(..got.bytes).unwrap_or_default();
    let message = serde_json::from_slice(text).ok().and_then(|value| Message::from_json(&value));
    Ok((message.ok_or_else(unexpected)?, descriptors))
}

pub fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the other process says what this version does not understand")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_descriptors_arrive_as_they_were_sent() {
        let pair = || {
            let flags = rustix::net::SocketFlags::CLOEXEC;
            rustix::net::socketpair(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::SEQPACKET,
                flags,
                None,
            )
        };
        let (one, other) = pair().unwrap();
        let sockets: Vec<_> =
            (0..DESCRIPTORS + 2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let asked = "127.0.0.1:0".parse().ok();
        send_sockets(&one, "a \"name\"", asked, &sockets).unwrap();
        send(&one, &Message::End, &[]).unwrap();
        drop(one);
        let mut arrived = Vec::new();
        for _ in 0..2 {
            let (message, descriptors) = receive(&other).unwrap();
            assert_eq!(message, Message::Sockets { name: "a \"name\"".to_owned(), asked });
            arrived.extend(descriptors.into_iter().map(TcpListener::from));
        }
        let places =
            |sockets: &[TcpListener]| sockets.iter().map(|it| it.local_addr().unwrap()).collect::<Vec<_>>();
        assert_eq!(places(&arrived), places(&sockets));
        assert_eq!(receive(&other).unwrap().0, Message::End);
        assert_eq!(receive(&other).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
