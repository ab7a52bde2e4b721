//! Who is at the other end of a connection to the admin listener.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use crate::observe::audit::Who;

/// The other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Whether every request on it needs the token.
    pub has_token: bool,
}

impl Peer {
    /// Who that is, as long as the connection lasts. Reads files: not on a worker.
    pub fn who(&self) -> Who {
        let is_here = self.address.ip().to_canonical().is_loopback();
        let user = is_here.then(|| owner(self.address, self.local).map(name_of)).flatten();
        Who::Admin { peer: self.address, user, has_token: self.has_token }
    }
}

/// The user of this process.
pub fn our_user() -> String {
    name_of(rustix::process::geteuid().as_raw())
}

/// The user whose socket this is, as the kernel tells it: of a connection within this machine both ends are
/// in its table.
fn owner(socket: SocketAddr, other_end: SocketAddr) -> Option<u32> {
    let table = if socket.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let (socket, other_end) = (in_table(socket), in_table(other_end));
    let table = fs::read_to_string(table).ok()?;
    table.lines().skip(1).find_map(|line| {
        // Number, its address, that of the other end, state, queues, timer, timeouts, user.
        let mut columns = line.split_whitespace().skip(1);
        let is_it = columns.next()? == socket && columns.next()? == other_end;
        is_it.then(|| columns.nth(4)?.parse().ok()).flatten()
    })
}

/// As the kernel writes it: words of four bytes as this machine reads them, and the port.
fn in_table(address: SocketAddr) -> String {
    let words = |bytes: &[u8]| -> String {
        let words = bytes.chunks_exact(4).filter_map(|word| word.first_chunk::<4>());
        words.map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect()
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    };
    format!("{ip}:{:04X}", address.port())
}

/// A user's name, or its number where it has none.
fn name_of(user: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut columns = line.split(':');
        let name = columns.next()?;
        (columns.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| user.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_owner_of_a_connection_is_found() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(at) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, address) = listener.accept().unwrap();
            let local = server.local_addr().unwrap();
            assert_eq!(owner(address, local), Some(rustix::process::geteuid().as_raw()), "{at}");
            drop(client);
        }
        assert_eq!(owner("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()), None);
        assert_eq!(name_of(0), "root");
    }
}
