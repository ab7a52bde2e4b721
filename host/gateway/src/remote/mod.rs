//! `limen status`, `limen reload`, `limen cache`, `limen key` and `limen quota`: asking the gateway that runs, by its admin listener.

mod ask;
pub mod keys;
pub mod quotas;
mod show;
mod steps;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use limen_config::Config;

use crate::StartError;
use crate::screen::Line;
use ask::{Asking, Reply};
use steps::Steps;

/// It has all that it answers in its memory.
const STATUS_LIMIT: Duration = Duration::from_secs(10);
/// A reload takes as long as compiling does; the gateway gives up before we do.
const RELOAD_LIMIT: Duration = Duration::from_secs(310);

/// It looks at each response once.
const PURGE_LIMIT: Duration = Duration::from_secs(60);

/// What to print, and whether all is well.
pub struct Report {
    pub text: String,
    pub is_good: bool,
    /// For people who look on, and not for whoever reads the output.
    pub aside: Option<String>,
}

impl Report {
    fn new(text: String, is_good: bool) -> Self {
        Report { text, is_good, aside: None }
    }
}

/// How the gateway of this configuration is; good if it is ready. `admin` is where to ask, if that is
/// not what the file says.
pub fn status(file: &Path, admin: Option<SocketAddr>, as_json: bool) -> Result<Report, StartError> {
    let asking = asking(file, admin)?;
    let reply = asking.send(Method::GET, "/status", None, STATUS_LIMIT)?;
    if reply.status != StatusCode::OK {
        return Err(unexpected(&reply));
    }
    let value = reply.json().ok_or_else(|| unexpected(&reply))?;
    let is_good = value.get("ready").and_then(serde_json::Value::as_bool) == Some(true);
    let text = if as_json { format!("{value:#}") } else { show::status(&value) };
    Ok(Report::new(text, is_good))
}

/// Makes the gateway of this configuration load it anew, and waits for what becomes of it. What goes on meanwhile is
/// told to whoever looks on.
pub fn reload(file: &Path, admin: Option<SocketAddr>, as_json: bool) -> Result<Report, StartError> {
    let asking = asking(file, admin)?;
    let mut steps = Steps::new(Line::stderr());
    let reply = asking.follow(Method::POST, "/reload", RELOAD_LIMIT, |step| steps.told(step))?;
    drop(steps);
    let is_good = reply.status == StatusCode::OK;
    if !is_good && reply.status != StatusCode::UNPROCESSABLE_ENTITY {
        return Err(unexpected(&reply));
    }
    let value = reply.json().ok_or_else(|| unexpected(&reply))?;
    let text = if as_json { format!("{value:#}") } else { show::reload(&value) };
    let is_whole = value.get("kept_back").and_then(serde_json::Value::as_array).is_none_or(Vec::is_empty);
    Ok(Report::new(text, is_good && is_whole))
}

/// What a cache is to forget, and which one; all of them if none is named.
pub struct Purge<'a> {
    /// `url`, `prefix`, `tag` or `all`, and its value.
    pub what: (&'a str, &'a str),
    pub cache: Option<&'a str>,
}

/// Makes caches forget.
pub fn purge(
    file: &Path,
    admin: Option<SocketAddr>,
    purge: &Purge<'_>,
    as_json: bool,
) -> Result<Report, StartError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(purge.what.0, purge.what.1);
    if let Some(cache) = purge.cache {
        query.append_pair("cache", cache);
    }
    let path = format!("/caches/purge?{}", query.finish());
    let reply = asking(file, admin)?.send(Method::POST, &path, None, PURGE_LIMIT)?;
    let value = reply.json().filter(|_| reply.status == StatusCode::OK).ok_or_else(|| unexpected(&reply))?;
    let text = if as_json { format!("{value:#}") } else { show::purged(&value) };
    Ok(Report::new(text, true))
}

/// Where the gateway of this configuration is asked. That the file may be broken by now is no reason not
/// to: the one that runs is not.
fn asking(file: &Path, address: Option<SocketAddr>) -> Result<Asking, StartError> {
    let admin = match Config::admin(file) {
        Ok(admin) => admin,
        Err(_) if address.is_some() => None,
        Err(errors) => return Err(StartError::Config(errors)),
    };
    let token = admin.as_ref().and_then(|admin| admin.token_file.as_ref()).map(|file| {
        let read = std::fs::read_to_string(file);
        let read = read.map_err(|error| format!("could not read the token in {}: {error}", file.display()));
        read.map(|text| text.trim().to_owned()).map_err(StartError::Machine)
    });
    let token = token.transpose()?;
    let wanted = |what: &str| StartError::Machine(format!("{}: {what}", file.display()));
    let address = match (address, admin) {
        (Some(address), _) => address,
        (None, Some(admin)) if admin.address.port() == 0 => {
            return Err(wanted(
                "[admin] asks for any port: say by --admin which one it got, the gateway printed it",
            ));
        }
        (None, Some(admin)) => admin.address,
        (None, None) => {
            return Err(wanted(
                "without [admin] a running gateway can't be asked: give it an `address` there, like \"127.0.0.1:9901\"",
            ));
        }
    };
    Ok(Asking { address: reachable(address), token })
}

/// One that listens everywhere is also here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(any) if any.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(any) if any.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// It answers, and not as we know it.
fn unexpected(reply: &Reply) -> StartError {
    let detail = reply.json().and_then(|problem| problem.get("detail")?.as_str().map(str::to_owned));
    let detail = detail.map(|detail| format!(": {}", show::visible(&detail))).unwrap_or_default();
    StartError::Machine(format!("the gateway answers {}{detail}", reply.status))
}
