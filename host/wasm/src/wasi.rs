//! The harmless part of WASI: clocks, random numbers, and output that goes to the log.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::capability::log::{Allowed, LogBudget};
use crate::state::State;

/// What one isolate has of WASI, made when it first asks.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    budget: Arc<Mutex<LogBudget>>,
}

impl Wasi {
    fn new(plugin: &Arc<str>) -> Self {
        let budget = Arc::new(Mutex::new(LogBudget::default()));
        let output = |stream| Output { stream, plugin: plugin.clone(), budget: budget.clone() };
        let context = WasiCtx::builder()
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_blocking_current_thread(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(1024);
        Wasi { context, table, budget }
    }

    /// Gives the next call its full share of the log.
    pub(crate) fn arm(&mut self) {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = LogBudget::default();
    }

    /// Whether the guest holds handles of the host: these can't be in an image of its memory.
    pub(crate) fn holds_handles(&self) -> bool {
        !self.table.is_empty()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.grounds.plugin)));
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

/// A guest's standard output or error: each write is a line of the log, within the same budget as
/// the policy's own lines.
#[derive(Clone)]
struct Output {
    stream: &'static str,
    plugin: Arc<str>,
    budget: Arc<Mutex<LogBudget>>,
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
        let text = String::from_utf8_lossy(&bytes);
        let (plugin, stream) = (&*self.plugin, self.stream);
        for line in text.lines().filter(|line| !line.is_empty()) {
            match self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(line.len()) {
                Allowed::Yes => tracing::info!(target: "policy", plugin, stream, "{line}"),
                Allowed::NotAnyMore => {
                    tracing::warn!(target: "policy", plugin, stream, "too much output in one hook; the rest is dropped");
                }
                Allowed::No => break,
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
