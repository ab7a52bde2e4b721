//! A new process takes the listening sockets over from the one before it, and no connection is lost.
//!
//! ```text
//! old   waits at `[gateway] takeover`      a Unix socket; only the same user (or root) is let in
//! new   connects                           before it builds its snapshot, which takes a while
//! old   sends every listening socket       and goes on serving
//! new   builds, accepts from all of them   both serve now
//! new   moves its own socket to the path   a third process would find it there
//! new   says `ready`
//! old   stops accepting, drains, ends      what the kernel has queued the new one accepts
//! ```
//!
//! If the new process ends before it is ready, the old one just goes on. Sockets are passed rather than
//! bound anew: one that shares the address (`SO_REUSEPORT`) and is closed takes its queue with it.

mod message;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::geteuid;

use crate::edition::{Editions, Stage};
use crate::listener::socket::Inherited;
use message::Message;

/// The other process answers at once, or is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process before this one, which serves until it is told that we do.
pub struct Predecessor(OwnedFd);

/// Where the next process finds this one.
pub struct Heirs {
    socket: OwnedFd,
    /// Where it is until it takes its place.
    beside: PathBuf,
    path: PathBuf,
    /// The socket's file: the next process puts another one into its place, which is not ours to remove.
    identity: (u64, u64),
}

/// Asks the process that waits at this path for its sockets. `None` if there is no such process.
pub fn ask(path: &Path) -> io::Result<Option<(Predecessor, Vec<Inherited>)>> {
    let socket = open()?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let_in(&socket)?;
    limit(&socket, Some(PATIENCE))?;
    let mut all: Vec<Inherited> = Vec::new();
    loop {
        let (message, descriptors) = message::receive(&socket)?;
        match message {
            Message::Sockets { name, asked } => {
                let sockets = descriptors.into_iter().map(TcpListener::from);
                match all.iter_mut().find(|known| known.name == name && known.asked == asked) {
                    Some(known) => known.sockets.extend(sockets),
                    None => all.push(Inherited { name, asked, sockets: sockets.collect() }),
                }
            }
            Message::End => return Ok(Some((Predecessor(socket), all))),
            Message::Ready | Message::Gone => return Err(message::unexpected()),
        }
    }
}

impl Predecessor {
    /// We accept from all of its sockets: it may go. Returns when it accepts no more.
    pub fn release(self) -> io::Result<()> {
        message::send(&self.0, &Message::Ready, &[])?;
        match message::receive(&self.0)?.0 {
            Message::Gone => Ok(()),
            _ => Err(message::unexpected()),
        }
    }
}

impl Heirs {
    /// Opens a socket beside this path, where somebody else may wait for us.
    pub fn prepare(path: &Path) -> io::Result<Heirs> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        private(folder)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let _ = fs::remove_file(&beside); // left by a process with our number
        let socket = open()?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(&beside)?)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
        rustix::net::listen(&socket, 8)?;
        let found = fs::metadata(&beside)?;
        Ok(Heirs { socket, beside, path: path.to_owned(), identity: (found.dev(), found.ino()) })
    }

    /// Waits at the path from now on, instead of whoever did.
    pub fn take_place(self) -> Heirs {
        if let Err(error) = fs::rename(&self.beside, &self.path) {
            tracing::error!("no process will be able to take over from this one: {error}");
        }
        self
    }

    /// Hands the sockets to each process that asks, until one of them is ready to serve. What it says
    /// then it says to `taken_over`, before the old process closes anything.
    pub fn serve(&self, editions: &Editions, more: impl Fn() -> Vec<Inherited>, taken_over: impl FnOnce()) {
        loop {
            let asked = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC);
            let handed = asked.map_err(io::Error::from).and_then(|heir| {
                let_in(&heir)?;
                let state = editions.current().snapshot.state.clone();
                hand_over(&heir, editions, &more()).inspect_err(|_| state.take_back())?;
                Ok(heir)
            });
            match handed {
                Ok(heir) => {
                    taken_over();
                    editions.drain(Stage::TakenOver);
                    tracing::info!("taken over by another process: draining");
                    // It serves, whether it hears this or not.
                    let _ = message::send(&heir, &Message::Gone, &[]);
                    return;
                }
                Err(error) => {
                    tracing::warn!("a takeover failed, this process serves on: {error}");
                    std::thread::sleep(Duration::from_millis(50)); // were it to fail without end
                }
            }
        }
    }

    /// To be called at the end: whoever starts next need not find that nobody answers. (As long as we
    /// have the socket no other file has its identity.)
    pub fn leave(&self) {
        if fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Heirs {
    /// If it has not taken its place, it never will.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.beside);
    }
}

/// Sends all sockets, and waits until the other side serves them.
fn hand_over(heir: &OwnedFd, editions: &Editions, more: &[Inherited]) -> io::Result<()> {
    limit(heir, Some(PATIENCE))?;
    tracing::info!("another process asks for the listening sockets");
    let edition = editions.current();
    for sockets in &edition.sockets {
        message::send_sockets(heir, &sockets.name, Some(sockets.asked), sockets.descriptors())?;
    }
    for Inherited { name, asked, sockets } in more {
        message::send_sockets(heir, name, *asked, sockets)?;
    }
    // What one process alone can have open it will open itself.
    edition.snapshot.save();
    edition.snapshot.state.hand_over();
    message::send(heir, &Message::End, &[])?;
    // It compiles its plugins now. Should it fail, its end of this is closed.
    limit(heir, None)?;
    match message::receive(heir)?.0 {
        Message::Ready => Ok(()),
        _ => Err(message::unexpected()),
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

fn limit(socket: &OwnedFd, limit: Option<Duration>) -> io::Result<()> {
    for direction in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(socket, direction, limit)?;
    }
    Ok(())
}

/// Only a process of this user, or of root, gets or gives sockets.
fn let_in(peer: &OwnedFd) -> io::Result<()> {
    let them = socket_peercred(peer)?.uid;
    if them == geteuid() || them.is_root() {
        return Ok(());
    }
    let what = format!("the other process belongs to another user ({})", them.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}

/// The folder of the socket, in which nobody else can put another one into its place.
fn private(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        fs::DirBuilder::new().mode(0o700).create(folder)?;
    }
    let found = fs::metadata(folder)?;
    let ours = found.uid() == geteuid().as_raw() || found.uid() == 0;
    if ours && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let what =
        format!("others can write into its folder {}: give it to this user, mode 0700", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}
