//! Processes: on which core they run, what they have used of it, and that they end with the benchmark.

use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The core of what is measured.
pub const MEASURED: &[&str] = &["taskset", "-c", "0"];
/// The core of everything else.
pub const BESIDE: &[&str] = &["taskset", "-c", "1"];

/// Where something is asked, and the process whose time counts.
#[derive(Clone)]
pub struct Site {
    /// Such as `http://127.0.0.1:41231`.
    pub url: String,
    pub pid: u32,
}

/// A process in a folder of its own; it ends when this is dropped.
pub struct Process {
    child: Child,
    _folder: TempDir,
}

impl Process {
    pub fn start(pinned: &[&str], program: &str, arguments: &[&str], folder: TempDir) -> Process {
        let mut command = pinned_command(pinned, program);
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        Process { child: command.spawn().unwrap(), _folder: folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Panics if it has ended; what it has to say of that it has said.
    pub fn assert_runs(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "a process has ended that should not");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not killed: nginx has to end its worker.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A command on one core.
pub fn pinned_command(pinned: &[&str], program: &str) -> Command {
    let mut command = Command::new(pinned[0]);
    command.args(&pinned[1..]).arg(program);
    command
}

/// Nanoseconds that a process and its children have spent computing.
pub fn cpu(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_task = |task: std::path::PathBuf| {
        let spent = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let spent: u64 = spent.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0);
        let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
        spent + children.split_whitespace().map(|child| cpu(child.parse().unwrap())).sum::<u64>()
    };
    tasks.map(|task| of_task(task.unwrap().path())).sum()
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether a program is on the `PATH`, or at a path.
pub fn is_here(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok()
}

/// Ends with what to install, if one of these programs is not here.
pub fn require(programs: &[&str]) {
    let missing: Vec<_> = programs.iter().filter(|it| !is_here(it)).copied().collect();
    if !missing.is_empty() {
        eprintln!("not on the PATH: {}. Debian's packages are nginx, wrk and util-linux", missing.join(", "));
        std::process::exit(1);
    }
}
