//! `cargo xtask quickstart`: a gateway with three policies in front of a small API, up until Ctrl-C.
//!
//! What happens is a sequence of events: lines that the two programs print, one of them ending, a
//! signal. The programs end with this one, in whatever way it ends.

use crate::Outcome;
use crate::build;
use crate::process::{root, target};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

const CONFIG: &str = "examples/quickstart/limen.toml";
/// As written in [`CONFIG`].
const GATEWAY: &str = "127.0.0.1:8080";
const ORIGIN: &str = "127.0.0.1:9000";

/// How long the gateway may take to finish the requests it is serving, once told to stop.
const DRAIN: Duration = Duration::from_secs(10);

pub(crate) fn run(_: &[String]) -> Outcome {
    ports_are_free()?; // before minutes of compiling
    build::wasm_target()?;
    build::binaries()?;
    build::plugins()?;
    ports_are_free()?;

    let (tell, events) = channel();
    watch_signals(tell.clone())?;
    eprintln!("\nstarting the origin and the gateway");
    let origin = Program::start("origin", "limen-origin", &[ORIGIN], "listening on ", &tell)?;
    let mut programs = vec![origin];
    if await_ready(&events, &mut programs)?.is_interrupted() {
        return stop(programs, &events);
    }
    programs.push(Program::start("gateway", "limen", &["run", CONFIG], "ready", &tell)?);
    if await_ready(&events, &mut programs)?.is_interrupted() {
        return stop(programs, &events);
    }
    println!("{}", welcome());
    stay_up(&events, &mut programs)?;
    stop(programs, &events)
}

fn welcome() -> String {
    format!(
        "
limen is running. Ctrl-C stops it.

  gateway   http://{GATEWAY}   {CONFIG}
  origin    http://{ORIGIN}   a small API, behind the gateway

Try in another terminal:

  curl -i http://{GATEWAY}/orders/7                      # 401; passes with -H 'x-api-key: demo-key'
  curl -i http://{GATEWAY}/shop/hats -H 'x-country: DE'  # gains x-region and, on the way back, x-served-for
  curl http://{GATEWAY}/users/1                          # loses what {ORIGIN}/users/1 gives away

Then change {CONFIG} while it runs; its README says what to try.
"
    )
}

/// Refuses a port that somebody else listens on. The gateway would not notice another Limen there:
/// its sockets are made to be shared.
fn ports_are_free() -> Outcome {
    for (address, who) in [(GATEWAY, "gateway"), (ORIGIN, "origin")] {
        TcpListener::bind(address).map_err(|error| {
            format!(
                "the {who} cannot listen on {address}: {error}\n\
                 hint: stop what is using that port (`ss -ltnp` names it), perhaps another quickstart"
            )
        })?;
    }
    Ok(())
}

enum Event {
    Line { from: &'static str, text: String },
    Ended { who: &'static str },
    Interrupted,
}

/// How a wait for readiness went, when it went well.
enum Readiness {
    Ready,
    Interrupted,
}

impl Readiness {
    fn is_interrupted(&self) -> bool {
        matches!(self, Readiness::Interrupted)
    }
}

/// Waits until the program started last says that it is ready.
fn await_ready(events: &Receiver<Event>, programs: &mut [Program]) -> Result<Readiness, String> {
    let (who, sign) = programs.last().map(|it| (it.who, it.ready)).unwrap_or_default();
    while let Ok(event) = events.recv() {
        match event {
            Event::Line { from, text } if from == who && text.starts_with(sign) => {
                return Ok(Readiness::Ready);
            }
            Event::Line { text, .. } if text.starts_with("listening on ") => {}
            Event::Line { text, .. } => println!("{text}"),
            Event::Ended { who } => return Err(ended(who, programs)),
            Event::Interrupted => return Ok(Readiness::Interrupted),
        }
    }
    Err("lost sight of what was started".to_owned())
}

/// Passes on what the programs print until a signal asks to stop.
fn stay_up(events: &Receiver<Event>, programs: &mut [Program]) -> Outcome {
    while let Ok(event) = events.recv() {
        match event {
            Event::Line { text, .. } => println!("{text}"),
            Event::Ended { who } => return Err(ended(who, programs)),
            Event::Interrupted => return Ok(()),
        }
    }
    Err("lost sight of what was started".to_owned())
}

fn ended(who: &str, programs: &mut [Program]) -> String {
    let status = programs.iter_mut().find(|it| it.who == who).and_then(|it| it.child.wait().ok());
    let status = status.map(|it| it.to_string()).unwrap_or_default();
    format!("the {who} ended by itself ({status}); what it said stands above")
}

/// Stops everything, the gateway first so that its requests can finish; a second signal, or too long
/// a wait, cuts it short.
fn stop(mut programs: Vec<Program>, events: &Receiver<Event>) -> Outcome {
    eprintln!("\nstopping");
    while let Some(mut program) = programs.pop() {
        if matches!(program.child.try_wait(), Ok(Some(_))) {
            continue;
        }
        program.ask_to_end();
        loop {
            match events.recv_timeout(DRAIN) {
                Ok(Event::Line { text, .. }) => println!("{text}"),
                Ok(Event::Ended { who }) if who == program.who => break,
                Ok(Event::Ended { .. }) => {}
                Ok(Event::Interrupted) | Err(RecvTimeoutError::Timeout) => break program.kill(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }
    Ok(())
}

/// One running program; killed, if it still runs, when dropped.
struct Program {
    who: &'static str,
    /// How the line begins with which it says that it is ready.
    ready: &'static str,
    child: Child,
}

impl Program {
    fn start(
        who: &'static str,
        binary: &str,
        arguments: &[&str],
        ready: &'static str,
        tell: &Sender<Event>,
    ) -> Result<Program, String> {
        let path = target().join("release").join(binary);
        let mut child = Command::new(&path)
            .args(arguments)
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C reaches a terminal's whole process group: out of it, so that we decide what ends when.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", path.display()))?;
        let output = child.stdout.take();
        let program = Program { who, ready, child };
        let tell = tell.clone();
        std::thread::spawn(move || {
            let lines = output.map(|it| BufReader::new(it).lines()).into_iter().flatten();
            for text in lines.map_while(Result::ok) {
                let _ = tell.send(Event::Line { from: who, text });
            }
            let _ = tell.send(Event::Ended { who });
        });
        Ok(program)
    }

    fn ask_to_end(&self) {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

fn watch_signals(tell: Sender<Event>) -> Outcome {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            let _ = tell.send(Event::Interrupted);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_has_the_addresses_that_are_printed() -> std::io::Result<()> {
        let config = std::fs::read_to_string(root().join(CONFIG))?;
        assert!(config.contains(&format!("address = \"{GATEWAY}\"")));
        assert!(config.contains(&format!("endpoints = [\"http://{ORIGIN}\"]")));
        Ok(())
    }
}
