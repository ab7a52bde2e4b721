//! The real gateway: `limen run` in a folder of its own, on ports that the system chooses.

use crate::eventually::within;
use crate::guests::profile;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::sync::watch;

const CONFIG: &str = "limen.toml";

/// A running gateway; killed when dropped, its log shown if the test failed.
pub struct Gateway {
    dir: Arc<TempDir>,
    child: Child,
    log: watch::Receiver<Vec<String>>,
    /// Lines before this one are of no interest any more.
    log_start: AtomicUsize,
}

/// What the gateway said about one of its listeners.
struct Listener {
    name: String,
    /// Such as `http://127.0.0.1:41231`.
    url: String,
}

impl Gateway {
    /// Starts it on this config, whose listeners should ask for port 0.
    pub async fn start(config: impl AsRef<str>) -> Gateway {
        Gateway::with(config).start().await
    }

    /// Prepares a start that needs more than a config.
    pub fn with(config: impl AsRef<str>) -> Setup {
        let setup = Setup {
            dir: Arc::new(TempDir::new().unwrap()),
            environment: vec![],
            activation: None,
            under: &[],
            binary: None,
        };
        setup.file(CONFIG, config.as_ref())
    }

    /// The URL of `path` on the first listener.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.listeners().first().expect("a listener").url)
    }

    /// The URL of `path` on the listener with this name.
    pub fn url_of(&self, listener: &str, path: &str) -> String {
        format!("{}{path}", self.listener(listener).url)
    }

    /// The address, such as `127.0.0.1:41231`, of the listener with this name.
    pub fn addr(&self, listener: &str) -> String {
        self.listener(listener).url.split_once("://").unwrap().1.to_owned()
    }

    /// The one that it opened last.
    fn listener(&self, name: &str) -> Listener {
        let all = self.listeners();
        let names = all.iter().map(|it| &*it.name).collect::<Vec<_>>().join(", ");
        let found = all.into_iter().rfind(|it| it.name == name);
        found.unwrap_or_else(|| panic!("no listener is called {name}; there are: {names}"))
    }

    /// All that it has opened since it started.
    fn listeners(&self) -> Vec<Listener> {
        self.log.borrow().iter().filter_map(|line| Listener::announced(line)).collect()
    }

    /// The URL of `path` on the admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        let log = self.log.borrow();
        let url =
            log.iter().rev().find_map(|line| line.strip_prefix("admin on ")).expect("no admin listener");
        format!("{url}{path}")
    }

    /// Another process on the same config, in the same folder.
    pub fn successor(&self) -> Setup {
        Setup { dir: self.dir.clone(), environment: vec![], activation: None, under: &[], binary: None }
    }

    /// A file of the gateway's folder, in which its config is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Replaces the config as an editor does: written beside, then renamed into place.
    pub fn write_config(&self, config: impl AsRef<str>) {
        self.replace_file(CONFIG, config.as_ref());
    }

    /// Replaces a file of the gateway's folder: written beside, then renamed into place.
    pub fn replace_file(&self, file: &str, content: impl AsRef<[u8]>) {
        let new = self.path(&format!("{file}.new"));
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, self.path(file)).unwrap();
    }

    /// The lines printed so far, standard output and error together; from [`Gateway::forget_log`] on.
    pub fn log(&self) -> Vec<String> {
        self.log.borrow()[self.log_start.load(Ordering::Relaxed)..].to_vec()
    }

    /// Makes [`Gateway::wait_for_log`] ignore what has been printed until now.
    pub fn forget_log(&self) {
        self.log_start.store(self.log.borrow().len(), Ordering::Relaxed);
    }

    /// Waits for a line of the log, which may have been printed already, and returns it.
    pub async fn wait_for_log(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_line("a line of the log", wanted).await
    }

    /// Waits for a line of the log that contains this text, and returns it.
    pub async fn wait_for_log_containing(&self, text: &str) -> String {
        self.wait_for_line(&format!("a line of the log with {text:?}"), |line| line.contains(text)).await
    }

    async fn wait_for_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut next = self.log_start.load(Ordering::Relaxed);
        let mut found = None;
        let mut log = self.log.clone();
        let search = log.wait_for(|lines| {
            found = lines[next..].iter().find(|line| wanted(line)).cloned();
            next = lines.len();
            found.is_some()
        });
        let ended = within(what, search).await.is_err();
        found.unwrap_or_else(|| panic!("waited for {what}, but limen ended: {ended}"))
    }

    /// Asks it to load its config anew.
    pub fn sighup(&self) {
        self.signal(Signal::HUP);
    }

    /// Asks it to finish what it is doing and end.
    pub fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        self.closed_output().await;
        self.child.wait().unwrap()
    }

    /// Waits for the one event that a process ending sends: its output is closed.
    async fn closed_output(&self) {
        let mut log = self.log.clone();
        let never = log.wait_for(|_| false);
        let _ = within("limen to end", never).await;
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How much memory it has in use, `VmRSS`.
    pub fn rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("no VmRSS");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes * 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- limen's log ({})", status.map(|it| it.to_string()).unwrap_or_default());
            self.log.borrow().iter().for_each(|line| eprintln!("{line}"));
            eprintln!("--- end of limen's log");
        }
    }
}

/// A gateway about to be started, or a config about to be checked: see [`Gateway::with`].
pub struct Setup {
    dir: Arc<TempDir>,
    environment: Vec<(String, String)>,
    activation: Option<Activation>,
    /// What runs it, with its arguments; nothing runs by itself.
    under: &'static [&'static str],
    /// Another one than [`limen`].
    binary: Option<PathBuf>,
}

/// A listening socket that is passed as systemd does it.
struct Activation {
    socket: OwnedFd,
    name: String,
}

/// How a `limen` that was not meant to stay went.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Setup {
    /// Puts a file into the gateway's folder.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Setup {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Copies a file, a guest for instance, into the gateway's folder.
    pub fn copy(self, path: &str, from: impl AsRef<Path>) -> Setup {
        let content = std::fs::read(from).unwrap();
        self.file(path, content)
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file of the gateway's folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Passes it a listening socket by this name, as systemd does.
    pub fn activated(mut self, socket: impl Into<OwnedFd>, name: &str) -> Setup {
        self.activation = Some(Activation { socket: socket.into(), name: name.to_owned() });
        self
    }

    /// Runs it by this program, like `valgrind` and its options.
    pub fn under(mut self, program: &'static [&'static str]) -> Setup {
        self.under = program;
        self
    }

    /// Runs this gateway, and not the one next to the tests.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Setup {
        self.binary = Some(path.into());
        self
    }

    /// Another command in the same folder, with the same environment.
    pub fn again(&self) -> Setup {
        Setup {
            dir: self.dir.clone(),
            environment: self.environment.clone(),
            activation: None,
            under: self.under,
            binary: self.binary.clone(),
        }
    }

    /// Starts the gateway and waits until it says that it is ready.
    pub async fn start(self) -> Gateway {
        let mut child = self.command(&["run", CONFIG]).spawn().unwrap();
        let stderr = child.stderr.take();
        self.started(child, stderr).await
    }

    /// The same, but nobody ever reads what it writes to stderr.
    pub async fn start_unread(self) -> Gateway {
        let child = self.command(&["run", CONFIG]).spawn().unwrap();
        self.started(child, None).await
    }

    async fn started(self, mut child: Child, stderr: Option<ChildStderr>) -> Gateway {
        let stdout = child.stdout.take();
        let log = follow(stdout, stderr);
        let gateway = Gateway { dir: self.dir, child, log, log_start: AtomicUsize::new(0) };
        gateway.wait_for_line("limen to say `ready`", |line| line == "ready").await;
        assert!(!gateway.listeners().is_empty(), "limen is ready, but said nowhere `listening on`");
        gateway
    }

    /// `limen run`, for a config that it should refuse: returns once it has ended.
    pub async fn run(self) -> Finished {
        self.finish(&["run", CONFIG]).await
    }

    /// `limen check`.
    pub async fn check(self) -> Finished {
        self.finish(&["check", CONFIG]).await
    }

    /// Any command of `limen`, in this folder, to its end.
    pub async fn finish(self, arguments: &[&str]) -> Finished {
        let mut child = self.command(arguments).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        // A gateway that stays up instead of ending must not outlive the test: dropped, it is killed.
        let (_, log) = watch::channel(vec![]);
        let mut gateway = Gateway { dir: self.dir, child, log, log_start: AtomicUsize::new(0) };
        let (stdout, stderr) = (read(stdout), read(stderr));
        let stdout = within("limen to end", stdout).await.unwrap();
        let stderr = within("limen to end", stderr).await.unwrap();
        Finished { status: gateway.child.wait().unwrap(), stdout, stderr }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let limen = self.binary.clone().unwrap_or_else(limen);
        let mut command = match &self.activation {
            None => match self.under {
                [] => Command::new(&limen),
                [program, options @ ..] => {
                    let mut command = Command::new(program);
                    command.args(options).arg(&limen);
                    command
                }
            },
            Some(Activation { name, .. }) => {
                // The socket comes as standard input; only the process itself knows its number.
                let script =
                    "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$0; exec \"$@\"";
                let mut command = Command::new("sh");
                command.args(["-c", script, name]).arg(&limen);
                command
            }
        };
        command.args(arguments).current_dir(self.dir.path());
        // What one test had compiled, the next need not compile again.
        command.env("XDG_CACHE_HOME", profile().join("cache"));
        command.env("XDG_STATE_HOME", self.dir.path().join("state-home")).env_remove("STATE_DIRECTORY");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let socket = self.activation.as_ref().map(|it| it.socket.try_clone().unwrap());
        command
            .stdin(socket.map_or(Stdio::null(), Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Listener {
    /// From `listening on http://127.0.0.1:41231 (NAME)`.
    fn announced(line: &str) -> Option<Listener> {
        let rest = line.strip_prefix("listening on ")?;
        let (url, name) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Listener { name: name.trim_matches(['(', ')']).to_owned(), url: url.to_owned() })
    }
}

/// The gateway's binary, next to the one of the tests.
pub fn limen() -> PathBuf {
    let path = profile().join("limen");
    assert!(path.exists(), "{} is not there: run `cargo xtask test`, which builds it", path.display());
    path
}

/// Collects both outputs, line by line; the channel closes when the process has closed both.
fn follow(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) -> watch::Receiver<Vec<String>> {
    let (sender, log) = watch::channel(vec![]);
    let sender = std::sync::Arc::new(sender);
    let stdout = stdout.map(|it| Box::new(it) as Box<dyn Read + Send>);
    let stderr = stderr.map(|it| Box::new(it) as Box<dyn Read + Send>);
    for output in stdout.into_iter().chain(stderr) {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                sender.send_modify(|lines| lines.push(line));
            }
        });
    }
    log
}

/// Starts reading at once: a process whose output nobody reads would stop at a full pipe.
fn read(mut output: impl Read + Send + 'static) -> tokio::task::JoinHandle<String> {
    tokio::task::spawn_blocking(move || {
        let mut bytes = vec![];
        output.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
