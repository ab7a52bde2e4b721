//! `/keys`: the life of API keys.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, body::Bytes};
use http::StatusCode;
use limen_policy::keys::{Entry, KeyError, Keyring, Record, Wanted, now, span};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinError;

use super::peer::Peer;
use super::{Admin, answer};

/// How long a key goes on being accepted beside the one that takes its place, unless somebody says otherwise.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

type Known = State<Arc<Admin>>;

pub fn routes(router: Router<Arc<Admin>>) -> Router<Arc<Admin>> {
    router
        .route("/keys", get(list).post(create))
        .route("/keys/import", post(import))
        .route("/keys/{id}", get(show).delete(revoke))
        .route("/keys/{id}/rotate", post(rotate))
}

/// Which keys are asked for: those that all of it is true of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    consumer: Option<String>,
    prefix: Option<String>,
    state: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    overlap: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arrivals {
    keys: Vec<Wanted>,
}

async fn list(State(admin): Known, Query(which): Query<Which>) -> Result<Response, Refused> {
    let keyring = admin.keyring()?;
    let is = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
    let now = now();
    let mut found = keyring.list();
    found.retain(|entry| {
        let record = &entry.record;
        is(&which.consumer, &record.terms.consumer)
            && is(&which.prefix, &record.terms.prefix)
            && is(&which.state, record.state(now).name())
    });
    let described = describe(keyring, found).await?;
    Ok(answer::json(&json!({ "keys": described })))
}

async fn show(State(admin): Known, Path(id): Path<String>) -> Result<Response, Refused> {
    let keyring = admin.keyring()?;
    let entry = keyring.get(&id).ok_or(KeyError::Unknown)?;
    let described = describe(keyring, vec![entry]).await?;
    Ok(answer::json(&described.into_iter().next().unwrap_or_default()))
}

/// What is known of them, their last use at other gateways among it.
async fn describe(keyring: Arc<Keyring>, entries: Vec<Arc<Entry>>) -> Result<Vec<Value>, Refused> {
    let describing = tokio::task::spawn_blocking(move || {
        keyring.learn_uses(&entries);
        let now = now();
        entries.iter().map(|entry| entry.describe(now)).collect()
    });
    describing.await.map_err(bug)
}

async fn create(
    State(admin): Known,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Response, Refused> {
    let wanted: Wanted = read(&body)?;
    let change = move |keyring: &Keyring| -> Attempt {
        let made = keyring.create(wanted)?;
        let mut shown = described(keyring, &made.record);
        show_once(&mut shown, &made.text);
        Ok(Changed { status: StatusCode::CREATED, shown, what: "key.create", details: details(&made.record) })
    };
    admin.change_keys(peer, change).await
}

async fn rotate(
    State(admin): Known,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refused> {
    let rotation = if body.is_empty() { Rotation::default() } else { read(&body)? };
    let overlap = match rotation.overlap {
        None => OVERLAP,
        Some(text) => span(&text).ok_or_else(|| {
            Refused(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("`overlap` is not a time like \"24h\": `{text}`"),
            )
        })?,
    };
    let change = move |keyring: &Keyring| -> Attempt {
        let (made, old) = keyring.rotate(&id, overlap)?;
        let mut shown = described(keyring, &made.record);
        show_once(&mut shown, &made.text);
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("old".to_owned(), described(keyring, &old));
        }
        Ok(Changed { status: StatusCode::CREATED, shown, what: "key.rotate", details: details(&made.record) })
    };
    admin.change_keys(peer, change).await
}

async fn revoke(
    State(admin): Known,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let change = move |keyring: &Keyring| -> Attempt {
        let record = keyring.revoke(&id)?;
        let shown = described(keyring, &record);
        Ok(Changed { status: StatusCode::OK, shown, what: "key.revoke", details: details(&record) })
    };
    admin.change_keys(peer, change).await
}

async fn import(
    State(admin): Known,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Response, Refused> {
    let Arrivals { keys } = read(&body)?;
    let change = move |keyring: &Keyring| -> Attempt {
        let count = keys.len();
        let new = keyring.import(keys)?;
        let ids: Vec<_> = new.iter().map(|record| record.id.as_str()).collect();
        let shown = json!({ "imported": new.len(), "known": count - new.len(), "ids": ids });
        let details = json!({ "keys": ids });
        Ok(Changed { status: StatusCode::OK, shown, what: "key.import", details })
    };
    admin.change_keys(peer, change).await
}

/// A change that was made.
struct Changed {
    status: StatusCode,
    shown: Value,
    /// For the audit log.
    what: &'static str,
    details: Value,
}

type Attempt = Result<Changed, KeyError>;

/// Why it was not, for whoever asked.
struct Refused(StatusCode, String);

impl Admin {
    fn keyring(&self) -> Result<Arc<Keyring>, Refused> {
        let Some(edition) = self.edition() else {
            return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "the gateway is starting".to_owned()));
        };
        edition.snapshot.keyring().ok_or_else(|| {
            let detail = "no route asks for keys: put the policy `api-key` on one first";
            Refused(StatusCode::CONFLICT, detail.to_owned())
        })
    }

    /// Makes a change, which waits for a disk, beside all other answers.
    async fn change_keys(
        &self,
        peer: Peer,
        change: impl FnOnce(&Keyring) -> Attempt + Send + 'static,
    ) -> Result<Response, Refused> {
        let keyring = self.keyring()?;
        let audit = self.edition().and_then(|edition| edition.snapshot.audit.clone());
        // It is made, and noted, even if whoever asked leaves.
        let changing = tokio::task::spawn_blocking(move || {
            let Changed { status, shown, what, details } = change(&keyring)?;
            if let Some(audit) = audit {
                audit.note(&peer.who(), what, details);
            }
            Ok::<_, KeyError>((status, shown))
        });
        let (status, shown) = changing.await.map_err(bug)??;
        Ok(answer::with_type(status, "application/json", format!("{shown:#}\n")))
    }
}

fn bug(_: JoinError) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, "a bug in limen: see the log".to_owned())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Refused(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        _ => Refused(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")),
    })
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        let status = match error {
            KeyError::Unknown => StatusCode::NOT_FOUND,
            KeyError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            KeyError::Conflict(_) | KeyError::OtherPepper | KeyError::Strange(_) | KeyError::OtherKeys => {
                StatusCode::CONFLICT
            }
            KeyError::Store(_)
            | KeyError::Away
            | KeyError::Unsure
            | KeyError::Refused(_)
            | KeyError::Machine(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        Refused(status, format!("{error}{hint}"))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        answer::problem(self.0, &self.1)
    }
}

fn described(keyring: &Keyring, record: &Record) -> Value {
    keyring.get(&record.id).map_or(Value::Null, |entry| entry.describe(now()))
}

/// The one time that the key itself is seen.
fn show_once(shown: &mut Value, text: &str) {
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("key".to_owned(), text.into());
    }
}

/// What the audit log tells of a key.
fn details(record: &Record) -> Value {
    let terms = &record.terms;
    let mut details =
        json!({ "key": record.id, "consumer": terms.consumer, "scopes": terms.scopes, "plan": terms.plan });
    if let (Some(replaces), Some(details)) = (&record.replaces, details.as_object_mut()) {
        details.insert("replaces".to_owned(), replaces.as_str().into());
    }
    details
}
