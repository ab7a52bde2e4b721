//! The harmless part of WASI: clocks, random numbers, and output that goes to the log.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::capability::log::{Allowed, LogBudget};
use crate::state::{Grounds, State};

/// The name of an interface of WASI, `cli/stdout`, in that of an import or export.
pub(crate) fn name_of(import: &str) -> Option<&str> {
    import.strip_prefix("wasi:")?.split('@').next()
}

/// What is behind an interface of WASI here, for who reviews a component.
pub(crate) fn behind(name: &str) -> &'static str {
    let (package, interface) = name.split_once('/').unwrap_or((name, ""));
    match (package, interface) {
        ("clocks", _) => "what time it is",
        ("random", _) => "random numbers",
        ("io", _) => "waiting, and the streams of the others",
        ("cli", "stdout" | "stderr") => "lines of the gateway's log",
        ("cli", "exit") => "the end of the call, as a failure",
        ("cli", _) => "nothing: no input, no arguments, no environment, no terminal",
        ("filesystem", _) => "denied: there are no files",
        _ => "denied",
    }
}

/// Whether a component that imports it is refused. Sockets are what no ordinary policy imports; files are, by what
/// some languages' libraries begin with, and there are none.
pub(crate) fn is_refused(name: &str) -> bool {
    name.starts_with("sockets/")
}

/// What one isolate has of WASI, made when it first asks.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    outputs: [Output; 2],
    budget: Arc<Mutex<LogBudget>>,
}

impl Wasi {
    fn new(grounds: &Arc<Grounds>) -> Self {
        let budget = Arc::new(Mutex::new(LogBudget::default()));
        let outputs = ["stdout", "stderr"].map(|stream| Output {
            stream,
            grounds: grounds.clone(),
            begun: Arc::default(),
            budget: budget.clone(),
        });
        let [stdout, stderr] = &outputs;
        let context = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            // It is drawn while the worker waits.
            .max_random_size(MAX_RANDOM)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_blocking_current_thread(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(1024);
        Wasi { context, table, outputs, budget }
    }

    /// Gives the next call its full share of the log.
    pub(crate) fn arm(&mut self) {
        self.outputs.iter().for_each(Output::end_line);
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = LogBudget::default();
    }

    /// Whether the guest holds handles of the host: these can't be in an image of its memory.
    pub(crate) fn holds_handles(&self) -> bool {
        !self.table.is_empty()
    }
}

impl Drop for Wasi {
    fn drop(&mut self) {
        self.outputs.iter().for_each(Output::end_line);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.grounds)));
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

/// A guest's standard output or error: each line is one of the log, within a budget like that of
/// the policy's own lines.
#[derive(Clone)]
struct Output {
    stream: &'static str,
    grounds: Arc<Grounds>,
    /// A line that has not ended yet: many write a line in pieces.
    begun: Arc<Mutex<Vec<u8>>>,
    budget: Arc<Mutex<LogBudget>>,
}

/// The most random bytes of one call.
const MAX_RANDOM: u64 = 64 << 10;
/// A longer line is written in pieces.
const LONGEST_LINE: usize = 4 << 10;

impl Output {
    /// Writes what has no end of line yet.
    fn end_line(&self) {
        let begun = std::mem::take(&mut *self.begun.lock().unwrap_or_else(PoisonError::into_inner));
        if !begun.is_empty() {
            self.line(&begun);
        }
    }

    fn line(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let (line, plugin, stream) = (text.trim_end(), &**self.grounds.plugin(), self.stream);
        if line.is_empty() {
            return;
        }
        let keeper = &self.grounds.keeper;
        let allowed = self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(line.len());
        match allowed {
            Allowed::Yes => {
                if keeper.may_log(line.len(), &self.grounds.limits) {
                    tracing::info!(target: "policy", plugin, stream, "{line}");
                }
                return;
            }
            Allowed::NotAnyMore => {
                if let Some(left_out) = keeper.flooded() {
                    tracing::warn!(
                        target: "policy", plugin, stream, left_out,
                        "too much output in one hook; the rest is dropped"
                    );
                }
            }
            Allowed::No => {}
        }
        keeper.dropped(1);
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            begun.extend_from_slice(piece);
            let ended = piece.ends_with(b"\n") || begun.len() >= LONGEST_LINE;
            drop(begun);
            if ended {
                self.end_line();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}
