//! Who has changed what, and when: a line for each change of keys, quotas, configuration and plugins, and for each purge.
//!
//! Changes are few, so each opens the file anew, as whoever moves it away wants it, and is on its way before
//! whoever made it is answered.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::time::SystemTime;

use limen_config::{ConfigError, LogOutput, Place};
use serde_json::{Map, Value, json};

use crate::admin::moment;

/// Where lines of the audit log go.
#[derive(Debug)]
pub struct Audit(LogOutput);

/// Who made a change, as far as that can be told.
#[derive(Clone, Debug)]
pub enum Who {
    /// The process started with it.
    Start,
    /// Files changed, and nobody said why.
    Files,
    Signal,
    /// Somebody at the admin listener.
    Admin {
        peer: SocketAddr,
        /// The user of this machine that the other end belongs to.
        user: Option<String>,
        has_token: bool,
    },
}

impl Audit {
    /// Tries whether it can be written to.
    pub fn new(to: &LogOutput, place: &Place) -> Result<Self, ConfigError> {
        let audit = Audit(to.clone());
        match audit.write("") {
            Ok(()) => Ok(audit),
            Err(error) => {
                let file = to.file().map(|file| file.display().to_string()).unwrap_or_default();
                Err(ConfigError::new(place.clone(), format!("could not open the audit log {file}: {error}")))
            }
        }
    }

    /// A change was made. `details` is an object, without anything that is secret.
    pub fn note(&self, who: &Who, what: &str, details: Value) {
        let mut line = Map::new();
        line.insert("at".to_owned(), moment(SystemTime::now()).into());
        line.insert("what".to_owned(), what.into());
        line.insert("by".to_owned(), who.describe());
        if let Value::Object(details) = details {
            line.extend(details);
        }
        if let Err(error) = self.write(&format!("{}\n", Value::Object(line))) {
            tracing::error!("a line of the audit log could not be written ({what}): {error}");
        }
    }

    /// In one piece, so that lines of several processes don't mix.
    fn write(&self, line: &str) -> io::Result<()> {
        match &self.0 {
            LogOutput::Stderr => io::stderr().lock().write_all(line.as_bytes()),
            LogOutput::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes())?;
                out.flush()
            }
            LogOutput::File(path) => {
                let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
                file.write_all(line.as_bytes())
            }
        }
    }
}

impl Who {
    fn describe(&self) -> Value {
        match self {
            Who::Start => json!({ "via": "start", "user": crate::admin::our_user() }),
            Who::Files => json!({ "via": "files" }),
            Who::Signal => json!({ "via": "signal" }),
            Who::Admin { peer, user, has_token } => {
                json!({ "via": "admin", "peer": peer.to_string(), "user": user, "token": has_token })
            }
        }
    }
}
