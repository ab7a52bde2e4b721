//! SIGUSR2: the next process, from the same command line and whatever its program is now. (As nginx and
//! HAProxy do.) It finds us by `[gateway] takeover`.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::thread;

pub struct Successor {
    /// Looked up at the start: the file may be another one when it is needed.
    program: Option<PathBuf>,
    can_take_over: bool,
}

/// What systemd said to this process alone.
const OURS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

impl Successor {
    pub fn new(can_take_over: bool) -> Self {
        Successor { program: env::current_exe().ok(), can_take_over }
    }

    pub fn start(&self) {
        let Some(program) = self.program.as_ref().filter(|_| self.can_take_over) else {
            return tracing::error!("SIGUSR2: a new process could not take over without [gateway] takeover");
        };
        let mut command = Command::new(program);
        command.args(env::args_os().skip(1)).stdin(Stdio::null());
        for name in OURS {
            command.env_remove(name);
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                return tracing::error!("SIGUSR2: can't start {}: {error}", program.display());
            }
        };
        tracing::info!("SIGUSR2: started {} as process {}", program.display(), child.id());
        // It lives longer than we do, unless it fails.
        let waiting = thread::spawn("limen-successor", move || {
            if let Ok(status) = child.wait() {
                tracing::error!("the new process ended ({status}), this one serves on");
            }
        });
        if let Err(error) = waiting {
            tracing::warn!("{error}");
        }
    }
}
