//! SIGTERM and SIGINT drain, SIGHUP reloads, SIGUSR2 starts the next process; the second SIGTERM or
//! SIGINT ends at once.

use std::io;
use std::sync::mpsc::Sender;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::successor::Successor;
use crate::edition::{Editions, Stage};
use crate::observe;
use crate::observe::audit::Who;
use crate::reload::Ask;
use crate::systemd;

/// What a program that SIGINT ended is said to have ended with.
const INTERRUPTED: i32 = 130;

pub struct Signals {
    runtime: Runtime,
    stop: Stop,
    hangup: Signal,
    upgrade: Signal,
}

/// SIGTERM and SIGINT, which mean the same.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on they no longer end the process by themselves: to be called before anybody is told
    /// that we are ready.
    pub fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let stop =
            Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        let hangup = signal(SignalKind::hangup())?;
        let upgrade = signal(SignalKind::user_defined2())?;
        drop(inside);
        Ok(Signals { runtime, stop, hangup, upgrade })
    }

    /// Does what each asks for. Does not end.
    pub fn follow(self, editions: &Editions, ask: &Sender<Ask>, successor: &Successor) {
        let Signals { runtime, mut stop, mut hangup, mut upgrade } = self;
        runtime.block_on(async {
            let reloads = async {
                while hangup.recv().await.is_some() {
                    tracing::info!("SIGHUP: reloading");
                    // The reloader is gone only at the end of the process.
                    let _ = ask.send(Ask::Reload(Who::Signal, None));
                }
            };
            let upgrades = async {
                while upgrade.recv().await.is_some() {
                    successor.start();
                }
            };
            tokio::select! {
                ((), ()) = async { tokio::join!(reloads, upgrades) } => {}
                () = stop.follow(editions) => {}
            }
        })
    }
}

impl Stop {
    async fn follow(&mut self, editions: &Editions) {
        self.asked().await;
        systemd::stopping("draining");
        editions.leave();
        let delay = editions.current().config.gateway.drain_delay;
        if !delay.is_zero() {
            tracing::info!("leaving: no longer ready, new connections are taken for another {delay:?}");
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.asked() => exit_at_once(),
        }
        editions.drain(Stage::Draining);
        tracing::info!("draining: no new connections, those that are open may finish");
        self.asked().await;
        exit_at_once();
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Without waiting for anybody but the log.
fn exit_at_once() -> ! {
    observe::log::flush();
    std::process::exit(INTERRUPTED);
}
