//! Quotas that gateways share.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Script, Value};

use super::{Gone, Redis, Use, What};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("quota.lua")));

/// What is taken of a quota.
#[derive(Clone, Copy, Debug)]
pub struct QuotaTake {
    pub cost: u64,
    /// If it is not more than this, all in all.
    pub limit: u64,
    /// What was taken while the store could not be asked: it counts in any case.
    pub owed: u64,
}

impl Redis {
    /// What is used of a key in the window that begins there.
    pub async fn used_quota(&self, key: &str, start: u32) -> Result<u64, Gone> {
        let mut get = redis::cmd("GET");
        get.arg(self.quota(key, start));
        match self.ask(Use::Quota, What::Command(get)).await? {
            Value::Nil => Ok(0),
            Value::BulkString(digits) => {
                str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Gone)
            }
            _ => Err(Gone),
        }
    }

    /// Forgets it; how much that was.
    pub async fn reset_quota(&self, key: &str, start: u32) -> Result<u64, Gone> {
        let used = self.used_quota(key, start).await?;
        let mut del = redis::cmd("DEL");
        del.arg(self.quota(key, start));
        self.ask(Use::Quota, What::Command(del)).await?;
        Ok(used)
    }

    fn quota(&self, key: &str, start: u32) -> String {
        format!("{}quota:{start}:{key}", self.prefix)
    }

    /// Takes from the quota of a key in the window that begins there, if all in all it is not over the limit. Answers
    /// whether it was, and what is used. It is kept for so long.
    pub async fn take_quota(
        &self,
        key: &str,
        start: u32,
        take: QuotaTake,
        life: Duration,
    ) -> Result<(bool, u64), Gone> {
        let life = u64::try_from(life.as_millis()).map_err(|_| Gone)?;
        let QuotaTake { cost, limit, owed } = take;
        let mut call = SCRIPT.prepare_invoke();
        call.key(self.quota(key, start)).arg(cost).arg(limit).arg(life).arg(owed);
        match self.ask(Use::Quota, What::Script(call)).await? {
            Value::Array(answer) => match answer.as_slice() {
                [Value::Int(allowed), Value::Int(used)] => {
                    Ok((*allowed == 1, u64::try_from(*used).map_err(|_| Gone)?))
                }
                _ => Err(Gone),
            },
            _ => Err(Gone),
        }
    }
}
