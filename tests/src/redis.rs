//! A real `redis-server`, and a slow way to one.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener as Probe, TcpStream as Line};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Certs;

/// A running server of one's own that keeps nothing; displayed, it is its URL. Killed when dropped.
pub struct RealRedis {
    dir: TempDir,
    /// None while it is killed.
    child: Option<Child>,
    port: u16,
    /// Arguments for TLS; none: without.
    tls: Vec<String>,
}

/// The password that it wants.
pub const PASSWORD: &str = "not-to-be-seen-anywhere";

impl RealRedis {
    /// None if this machine has none: then the test is to be skipped.
    pub fn start() -> Option<RealRedis> {
        Self::start_with(Vec::new())
    }

    /// The same, with TLS alone.
    pub fn start_tls(certs: &Certs) -> Option<RealRedis> {
        let local = certs.local();
        let files = [("cert-file", &local.cert), ("key-file", &local.key), ("ca-cert-file", &certs.ca())]
            .map(|(name, file)| [format!("--tls-{name}"), file.display().to_string()]);
        let tls = [["--tls-auth-clients".to_owned(), "no".to_owned()]].into_iter().chain(files).flatten();
        Self::start_with(tls.collect())
    }

    fn start_with(tls: Vec<String>) -> Option<RealRedis> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            eprintln!("skipped: there is no redis-server here");
            return None;
        }
        let dir = TempDir::new().unwrap();
        // It can't be asked to choose a port: somebody else may have taken this one before it does.
        for _ in 0..20 {
            let port = Probe::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = run(&dir, port, &tls) {
                return Some(RealRedis { dir, child: Some(child), port, tls });
            }
        }
        panic!("no port for redis-server");
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// It answers nothing, and its connections stand.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on where it was.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Runs again, on its port, and knows nothing.
    pub fn restart(&mut self) {
        self.kill();
        self.child = Some(run(&self.dir, self.port, &self.tls).expect("redis-server gets its port back"));
    }

    /// It forgets all it knows, and its connections stand.
    pub fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL"), "");
    }

    /// What it answers to a command, as it stands on the wire.
    pub fn ask(&self, command: &str) -> String {
        let mut line = Line::connect(self.address()).unwrap();
        write!(line, "AUTH {PASSWORD}\r\n{command}\r\nQUIT\r\n").unwrap();
        let mut said = String::new();
        line.read_to_string(&mut said).unwrap();
        said.trim_start_matches("+OK\r\n").trim_end_matches("+OK\r\n").to_owned()
    }

    /// Begins to follow another one: it takes no writes any more, and its connections stand. Waits until it knows all that
    /// the other one does.
    pub fn follow(&self, leader: &RealRedis) {
        assert_eq!(self.ask(&format!("CONFIG SET masterauth {PASSWORD}")), "");
        assert_eq!(self.ask(&format!("REPLICAOF 127.0.0.1 {}", leader.port)), "");
        while !self.ask("INFO replication").contains("master_link_status:up") {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Takes writes, and goes on with what it knows.
    pub fn lead(&self) {
        assert_eq!(self.ask("REPLICAOF NO ONE"), "");
    }

    /// How many times a command was given, by clients and by their scripts.
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.ask("INFO commandstats");
        let counted = stats.lines().find_map(|line| {
            let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            if name == command { stats.split(',').next()?.parse().ok() } else { None }
        });
        counted.unwrap_or(0)
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }
}

/// None: it does not get the port.
fn run(dir: &TempDir, port: u16, tls: &[String]) -> Option<Child> {
    let ports = if tls.is_empty() { ["--port", "--tls-port"] } else { ["--tls-port", "--port"] };
    let mut child = Command::new("redis-server")
        .args([ports[0], &port.to_string(), ports[1], "0"])
        .args(tls)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--requirepass", PASSWORD])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_ready =
        lines.by_ref().map_while(Result::ok).any(|line| line.contains("Ready to accept connections"));
    if !is_ready {
        let _ = child.wait();
        return None;
    }
    // What it says after that is read, so that it never waits for somebody to.
    std::thread::spawn(move || lines.count());
    Some(child)
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Display for RealRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tls.is_empty() {
            true => write!(f, "redis://:{PASSWORD}@{}", self.address()),
            false => write!(f, "rediss://:{PASSWORD}@{}", self.address()),
        }
    }
}

/// A way to a server on which answers take as long as the test says; displayed, it is its address. It ends with
/// the test's runtime.
pub struct SlowLine {
    address: SocketAddr,
    delay: watch::Sender<Duration>,
}

impl SlowLine {
    pub async fn to(server: SocketAddr) -> SlowLine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (delay, delays) = watch::channel(Duration::ZERO);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let delays = delays.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                    let mut piece = [0; 4096];
                    while let Ok(length @ 1..) = from_server.read(&mut piece).await {
                        let delay = *delays.borrow();
                        tokio::time::sleep(delay).await;
                        if to_client.write_all(&piece[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        SlowLine { address, delay }
    }

    /// How long what the server says is under way from now on.
    pub fn delay(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }
}

impl fmt::Display for SlowLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://:{PASSWORD}@{}", self.address)
    }
}

/// A way to a server on which the answer to what has a certain text in it is lost, once, and the connection with
/// it; displayed, it is its address. It ends with the test's runtime.
pub struct LossyLine {
    address: SocketAddr,
}

impl LossyLine {
    pub async fn to(server: SocketAddr, text: &'static str) -> LossyLine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_due = Arc::new(AtomicBool::new(true));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let is_due = is_due.clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let (mut asked, mut said) = ([0; 4096], [0; 4096]);
                    loop {
                        tokio::select! {
                            Ok(length @ 1..) = client.read(&mut asked) => {
                                let asked = &asked[..length];
                                let is_it = asked.windows(text.len()).any(|part| part == text.as_bytes());
                                server.write_all(asked).await.unwrap();
                                if is_it && is_due.swap(false, Ordering::Relaxed) {
                                    // That it answers shows that it is done.
                                    assert!(server.read(&mut said).await.unwrap() > 0);
                                    return;
                                }
                            }
                            Ok(length @ 1..) = server.read(&mut said) => {
                                client.write_all(&said[..length]).await.unwrap();
                            }
                            else => return,
                        }
                    }
                });
            }
        });
        LossyLine { address }
    }
}

impl fmt::Display for LossyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://:{PASSWORD}@{}", self.address)
    }
}
