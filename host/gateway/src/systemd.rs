//! What systemd is told, and what it gives: notifications, a watchdog, listening sockets.
//!
//! Under anything else `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `LISTEN_FDS` are not there, and nothing of
//! this happens.

use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use sd_notify::NotifyState;

use crate::listener::socket::Inherited;

/// The gateway serves: after its start, a takeover or a reload.
pub fn ready(status: &str) {
    // A process that took over is not the one that systemd started.
    let main = NotifyState::MainPid(std::process::id());
    notify(&[NotifyState::Ready, main, NotifyState::Status(&in_one_line(status))]);
}

/// A reload begins. [`ready`] ends it, whatever became of it.
pub fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]);
    }
}

/// The gateway is about to drain.
pub fn stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Every worker has answered lately.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is to be called, if at all: twice in the time after which systemd would end us.
/// (A process that took over has no `WATCHDOG_PID`, see [`crate::run`]: then it is meant for anyone.)
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>());
    let micros = number("WATCHDOG_USEC")?.ok().filter(|micros| *micros > 0)?;
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == Ok(u64::from(std::process::id())));
    is_ours.then(|| Duration::from_micros(micros) / 2)
}

/// The listening sockets that systemd opened for us, each with its name (`FileDescriptorName=`).
pub fn sockets() -> Vec<Inherited> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut given = ListenFd::from_env();
    let mut sockets: Vec<Inherited> = Vec::new();
    for number in 0..given.len() {
        let name = names.next().unwrap_or_default().to_owned();
        let socket = match given.take_tcp_listener(number) {
            Ok(Some(socket)) if is_listening(&socket) => socket,
            _ => {
                tracing::warn!("the descriptor `{name}` that systemd passed is no listening TCP socket");
                continue;
            }
        };
        // Several `ListenStream=` of one unit have one name: the address tells them apart.
        let address = |socket: &std::net::TcpListener| socket.local_addr().ok();
        let same = sockets
            .iter_mut()
            .find(|known| known.name == name && known.sockets.first().and_then(address) == address(&socket));
        match same {
            Some(known) => known.sockets.push(socket),
            None => sockets.push(Inherited { name, asked: None, sockets: vec![socket] }),
        }
    }
    sockets
}

fn is_listening(socket: &std::net::TcpListener) -> bool {
    socket_type(socket).is_ok_and(|kind| kind == rustix::net::SocketType::STREAM)
        && socket_acceptconn(socket).unwrap_or(false)
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::debug!("systemd could not be told: {error}");
    }
}

/// A notification is lines.
fn in_one_line(status: &str) -> String {
    status.replace(char::is_control, " ")
}
