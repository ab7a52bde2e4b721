//! The socket of the admin listener, and who may ask there.

use std::io;
use std::net::{SocketAddr, TcpListener};

use limen_config::{Admin, ConfigError};

use crate::listener::socket::{self, Inherited};
use crate::run::say;

/// What its socket is called when it is passed on. (A listener of that name has another address.)
const NAME: &str = "[admin]";
/// `FileDescriptorName=` of one that systemd opened.
const SYSTEMD: &str = "admin";
/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Where the admin listener is.
pub struct Place {
    /// What the configuration asks for; the port may be 0.
    asked: SocketAddr,
    /// Where it is.
    pub address: SocketAddr,
    listener: TcpListener,
    /// What requests have to bring.
    pub token: Option<Vec<u8>>,
}

impl Place {
    pub fn open(
        config: &Admin,
        running: Option<&Place>,
        inherited: Option<&mut Vec<Inherited>>,
    ) -> Result<Self, ConfigError> {
        let token = token(config)?;
        let asked = config.address;
        let listener = match running.filter(|running| running.asked == asked) {
            Some(running) => running.listener.try_clone(),
            None => match inherited.and_then(|all| take(all, asked)) {
                Some(listener) => Ok(listener),
                None => TcpListener::bind(asked),
            },
        };
        let place = listener.and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(Place { asked, address: listener.local_addr()?, listener, token })
        });
        let place = place.map_err(|error| socket::refused(asked, &config.place, &error))?;
        if running.is_none_or(|running| running.asked != asked) {
            say(&format!("admin on http://{}", place.address));
        }
        Ok(place)
    }

    pub fn listener(&self) -> io::Result<TcpListener> {
        self.listener.try_clone()
    }

    /// For a process that takes over.
    pub fn inherit(&self) -> Option<Inherited> {
        let sockets = vec![self.listener.try_clone().ok()?];
        Some(Inherited { name: NAME.to_owned(), asked: Some(self.asked), sockets })
    }
}

/// The one that is ours of those that somebody else opened. systemd knows what it is called, and not what
/// the configuration asks for.
fn take(inherited: &mut Vec<Inherited>, asked: SocketAddr) -> Option<TcpListener> {
    let here = |it: &Inherited| {
        it.sockets.first().and_then(|socket| socket.local_addr().ok()).is_some_and(|at| at == asked)
    };
    let place = inherited.iter().position(|it| match it.asked {
        Some(address) => it.name == NAME && address == asked,
        None => it.name == SYSTEMD || here(it),
    })?;
    inherited.swap_remove(place).sockets.pop()
}

fn token(config: &Admin) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(file) = &config.token_file else { return Ok(None) };
    let wrong = |what: String| {
        let expected = format!("a file with one line, of {SHORTEST_TOKEN} visible characters at least");
        ConfigError::new(config.place.clone(), what).expected(expected)
    };
    let text = std::fs::read(file)
        .map_err(|error| wrong(format!("could not read {}: {error}", file.display())).unreadable(file))?;
    let token = text.trim_ascii();
    if token.len() < SHORTEST_TOKEN || !token.iter().all(u8::is_ascii_graphic) {
        return Err(wrong(format!("no good token in {}", file.display())));
    }
    Ok(Some(token.to_vec()))
}
