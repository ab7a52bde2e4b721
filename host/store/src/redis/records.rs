//! Records that gateways share: all of them have the same ones, and any of them may change one.
//!
//! ```text
//! NAME:head     identity: which records these are; version: grows with each that is written; mark: what whoever
//!               writes them has to agree on
//! NAME:records  an id -> what it is
//! NAME:changes  an id -> the version that it was written with last, in the order of these
//! NAME:moments  an id -> a moment, the latest one that any gateway knows
//! ```
//!
//! Who has read up to a version asks for what came later, a page at a time. Who writes says which version it knows,
//! and if that is not the last one, nothing is written: it has to read first, and to think again.

use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use redis::{Script, ScriptInvocation, Value, cmd};

use super::{Gone, Redis, Trouble, Use, What};

static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read_records.lua")));
static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write_records.lua")));
static LATEST: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("latest.lua")));

/// The way to records of one kind. All of it waits for the server: never on a worker.
pub struct SharedRecords {
    redis: Arc<Redis>,
    head: String,
    records: String,
    changes: String,
    moments: String,
}

/// What is known of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// None: there was never any.
    pub identity: Option<String>,
    pub version: u64,
    pub mark: Option<Bytes>,
}

/// Some records that were written since a version.
#[derive(Debug)]
pub struct Page {
    pub head: Head,
    /// By their ids.
    pub records: Vec<(String, Bytes)>,
    /// The version that is known with these; there is more up to that of the head.
    pub known: u64,
}

impl SharedRecords {
    /// The records that are read and written at once, at most.
    pub const PAGE: usize = 500;

    pub fn new(redis: Arc<Redis>, name: &str) -> Self {
        let key = |what: &str| format!("{}{name}:{what}", redis.prefix);
        let (head, records, changes, moments) = (key("head"), key("records"), key("changes"), key("moments"));
        SharedRecords { redis, head, records, changes, moments }
    }

    /// Reaches the server, if nobody has yet. What it knows now may be another story than before, if this
    /// number is another one.
    pub fn connection(&self) -> u64 {
        self.redis.start();
        self.redis.connections()
    }

    /// The oldest that was written since a version.
    pub fn read(&self, known: u64) -> Result<Page, Gone> {
        let mut call = self.call(&READ);
        call.arg(known).arg(Self::PAGE);
        let mut answer = self.ask(call)?.into_iter();
        let mut next = || answer.next();
        let head = Head {
            identity: next().and_then(bytes).and_then(|text| String::from_utf8(text.into()).ok()),
            version: next().and_then(number).ok_or(Gone)?,
            mark: next().and_then(bytes),
        };
        let (mut records, mut count, mut last) = (Vec::new(), 0, known);
        while let Some(version) = next() {
            let (id, record) = (next().and_then(bytes), next().and_then(bytes));
            last = number(version).ok_or(Gone)?;
            count += 1;
            let id = String::from_utf8(id.ok_or(Gone)?.into()).map_err(|_| Gone)?;
            // One without is just being forgotten.
            records.extend(record.map(|record| (id, record)));
        }
        let known = if count < Self::PAGE { head.version } else { last };
        Ok(Page { head, records, known })
    }

    /// Writes records, and answers the version that is known then. None: somebody else has written, and nothing
    /// was.
    pub fn write(
        &self,
        identity: &str,
        mark: &[u8],
        known: u64,
        records: &[(String, Bytes)],
    ) -> Result<Option<u64>, Trouble> {
        let mut call = self.call(&WRITE);
        call.arg(identity).arg(mark).arg(known);
        for (id, record) in records {
            call.arg(id).arg(&**record);
        }
        match self.redis.ask_and_wait(Use::Records, What::Script(call))? {
            Value::Nil => Ok(None),
            version => number(version).map(Some).ok_or(Trouble::Unknown),
        }
    }

    /// Drops records: whoever has them drops them as well, at a moment that all know.
    pub fn forget(&self, ids: &[String]) -> Result<(), Gone> {
        for (how, key) in [("ZREM", &self.changes), ("HDEL", &self.records), ("HDEL", &self.moments)] {
            let mut drop = cmd(how);
            drop.arg(key).arg(ids);
            self.redis.ask_and_wait(Use::Records, What::Command(drop))?;
        }
        Ok(())
    }

    /// Tells moments of ids, and answers the latest that is known of each, in their order.
    pub fn latest(&self, moments: &[(String, u64)]) -> Result<Vec<u64>, Gone> {
        let mut call = LATEST.prepare_invoke();
        call.key(&self.moments);
        for (id, moment) in moments {
            call.arg(id).arg(moment);
        }
        self.ask(call)?.into_iter().map(|moment| number(moment).ok_or(Gone)).collect()
    }

    fn call(&self, script: &'static Script) -> ScriptInvocation<'static> {
        let mut call = script.prepare_invoke();
        call.key(&self.head).key(&self.changes).key(&self.records);
        call
    }

    fn ask(&self, call: ScriptInvocation<'static>) -> Result<Vec<Value>, Gone> {
        match self.redis.ask_and_wait(Use::Records, What::Script(call))? {
            Value::Array(answer) => Ok(answer),
            _ => Err(Gone),
        }
    }
}

impl fmt::Debug for SharedRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRecords").field("records", &self.records).finish_non_exhaustive()
    }
}

fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}

fn number(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}
