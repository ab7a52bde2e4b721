//! Listening sockets: one per worker and address, so that the kernel spreads connections.
//!
//! They outlive configurations and even processes: a reload finds those of an address again, and so
//! does a process that takes over. A connection that the kernel has put into a socket's queue is lost
//! with that socket, so each of them is accepted from, by some worker, for as long as it is open.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use limen_config::{ConfigError, Errors, Listener, Place};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that wait to be accepted, at most (the kernel caps it at `net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// The sockets of one listener. It is the same listener, whatever else changes, as long as these are
/// the same.
pub struct Sockets {
    /// What the configuration called it when they were opened.
    pub name: String,
    /// What the configuration asks for; the port may be 0.
    pub asked: SocketAddr,
    /// Where it is.
    pub address: SocketAddr,
    sockets: Vec<TcpListener>,
    /// What each worker is to accept from, until it takes it.
    shares: Mutex<Vec<Vec<TcpListener>>>,
}

/// Sockets that somebody else opened: the process before this one, or systemd.
pub struct Inherited {
    pub name: String,
    /// What the configuration asked for, as far as that is known.
    pub asked: Option<SocketAddr>,
    pub sockets: Vec<TcpListener>,
}

/// The sockets of every listener, in their order: those of `running` and `inherited` that are meant, and
/// new ones for the others. What is left of `inherited` no listener wants.
pub fn open(
    listeners: &[Listener],
    workers: usize,
    running: &[Arc<Sockets>],
    inherited: &mut Vec<Inherited>,
) -> Result<Vec<Arc<Sockets>>, Errors> {
    let mut errors = Vec::new();
    let mut opened = Vec::new();
    for listener in listeners {
        if let Some(same) = running.iter().find(|sockets| sockets.is_of(listener)) {
            opened.push(same.clone());
            continue;
        }
        let ours = |port| running.iter().any(|sockets| sockets.address.port() == port);
        let found = inherited.iter().position(|inherited| inherited.is_for(listener));
        let sockets = match found.map(|place| inherited.swap_remove(place)) {
            Some(inherited) => Ok(inherited.sockets),
            None => bind(listener.address, ours(listener.address.port())),
        };
        match sockets.and_then(|sockets| Sockets::share(listener, sockets, workers)) {
            Ok(sockets) => opened.push(Arc::new(sockets)),
            Err(error) => errors.push(refused(listener.address, &listener.place, &error)),
        }
    }
    if errors.is_empty() { Ok(opened) } else { Err(errors.into_iter().collect()) }
}

impl Sockets {
    /// What this worker accepts from, once. Empty when it has been taken.
    pub fn take(&self, worker: usize) -> Vec<TcpListener> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.get_mut(worker).map(std::mem::take).unwrap_or_default()
    }

    /// All of them, for a process that takes over.
    pub fn descriptors(&self) -> &[TcpListener] {
        &self.sockets
    }

    fn is_of(&self, listener: &Listener) -> bool {
        self.asked == listener.address && (self.asked.port() != 0 || self.name == listener.name)
    }

    /// Deals sockets out, so that every worker has one at least and every socket is somebody's. There
    /// can be more of them than workers, after a process with more of these; and fewer, as systemd
    /// opens one only.
    fn share(listener: &Listener, mut sockets: Vec<TcpListener>, workers: usize) -> io::Result<Sockets> {
        let Some(first) = sockets.first() else { return Err(io::ErrorKind::NotFound.into()) };
        let address = first.local_addr()?;
        if SockRef::from(first).reuse_port()? {
            while sockets.len() < workers {
                sockets.push(listen(address)?);
            }
        }
        let mut shares: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        for (number, socket) in (0..workers.max(sockets.len())).zip(sockets.iter().cycle()) {
            if let Some(share) = shares.get_mut(number % workers.max(1)) {
                socket.set_nonblocking(true)?;
                share.push(socket.try_clone()?);
            }
        }
        let (name, asked) = (listener.name.clone(), listener.address);
        Ok(Sockets { name, asked, address, sockets, shares: Mutex::new(shares) })
    }
}

impl Inherited {
    fn is_for(&self, listener: &Listener) -> bool {
        match self.asked {
            Some(asked) => asked == listener.address && (asked.port() != 0 || self.name == listener.name),
            None => {
                let here = |socket: &TcpListener| socket.local_addr().is_ok_and(|at| at == listener.address);
                self.name == listener.name || self.sockets.first().is_some_and(here)
            }
        }
    }
}

/// The first socket of an address. With port 0 it finds a port, and others share it.
fn bind(address: SocketAddr, shared_by_us: bool) -> io::Result<Vec<TcpListener>> {
    // A socket with SO_REUSEPORT joins those of any process of this user, and a gateway that was
    // started twice by mistake would take every other connection. One without it does not.
    if address.port() != 0 && !shared_by_us {
        socket(address)?.bind(&address.into())?;
    }
    Ok(vec![listen(address)?])
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Why the address that is asked for at this place can't be had.
pub fn refused(address: SocketAddr, place: &Place, error: &io::Error) -> ConfigError {
    let what = format!("can't listen on {address}: {error}");
    let error_of = ConfigError::new(place.clone(), what);
    match error.kind() {
        io::ErrorKind::AddrInUse => error_of.hint("another program listens there"),
        io::ErrorKind::AddrNotAvailable => error_of.hint("this machine has no such address"),
        io::ErrorKind::PermissionDenied => {
            error_of.hint("ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)")
        }
        _ => error_of,
    }
}
