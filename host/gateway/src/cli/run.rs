use std::path::PathBuf;

use limen_gateway::StartError;

/// Serve a configuration until stopped
///
/// Prints the addresses it listens on, then `ready`, on standard output; the log goes to standard
/// error. Reloads by itself when the configuration, a component or a certificate changes.
///
/// Signals: SIGHUP reloads. SIGTERM and SIGINT drain: it is no longer ready, takes connections for
/// another `[gateway] drain_delay`, then lets requests finish for `drain` at most, and ends; a second
/// one ends at once. SIGUSR2 starts the program anew, as it is on the disk now, to take over.
///
/// Takeover: with `[gateway] takeover`, a `limen run` that finds another one running takes its
/// listening sockets over, and that one drains as soon as the new one serves. No connection is lost; if
/// the new one fails to start, the old one serves on.
///
/// systemd: says when it is ready, reloads, stops (Type=notify or notify-reload, with NotifyAccess=all
/// for takeovers), feeds the watchdog while every worker answers, and serves sockets that systemd
/// opened: those with a listener's name (FileDescriptorName=), or its address.
///
/// Exit status: 0 drained, 1 it could not start or go on, 101 it panicked, 130 a second signal.
#[derive(clap::Args)]
pub struct Run {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
}

impl Run {
    pub fn main(self) -> Result<(), StartError> {
        limen_gateway::run::run(&self.file)
    }
}
