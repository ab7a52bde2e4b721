//! A real `redis-server`, and a slow way to one.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener as Probe};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A running server of one's own that keeps nothing; displayed, it is its URL. Killed when dropped.
pub struct RealRedis {
    dir: TempDir,
    /// None while it is killed.
    child: Option<Child>,
    port: u16,
}

/// The password that it wants.
pub const PASSWORD: &str = "not-to-be-seen-anywhere";

impl RealRedis {
    /// None if this machine has none: then the test is to be skipped.
    pub fn start() -> Option<RealRedis> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            eprintln!("skipped: there is no redis-server here");
            return None;
        }
        let dir = TempDir::new().unwrap();
        // It can't be asked to choose a port: somebody else may have taken this one before it does.
        for _ in 0..20 {
            let port = Probe::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = run(&dir, port) {
                return Some(RealRedis { dir, child: Some(child), port });
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
        self.child = Some(run(&self.dir, self.port).expect("redis-server gets its port back"));
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }
}

/// None: it does not get the port.
fn run(dir: &TempDir, port: u16) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
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
        write!(f, "redis://:{PASSWORD}@{}", self.address())
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
