//! What the admin listener answers, page by page.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use limen_config::{Action, Weighted};
use serde_json::{Value, json};

use super::peer::Peer;
use super::{Admin, answer, caches as cache, keys, quotas, reload, status};
use crate::edition::{Edition, Stage};
use crate::observe::metrics::{self, Format};

/// What there is, and what for.
const PAGES: [(&str, &str); 13] = [
    ("/status", "all that matters at a glance, as `limen status` shows it"),
    ("/metrics", "what is counted and measured, for Prometheus"),
    ("/ready", "200 when traffic may come; 503 while starting and draining"),
    ("/live", "200 as long as the process is able to answer"),
    ("/config", "the running configuration, without what may be secret"),
    ("/routes", "where requests go"),
    ("/upstreams", "endpoints, and how they are"),
    ("/plugins", "which version of each is in force, how it stands, and what it has used"),
    ("/caches", "what the policies `cache` keep, and how often it was of use"),
    ("/caches/purge", "POST: forget by ?url=, ?prefix=, ?tag= or ?all=true; &cache= names one"),
    ("/keys", "API keys: GET, POST; /keys/ID: GET, DELETE; /keys/ID/rotate: POST; /keys/import: POST"),
    (
        "/quotas",
        "what is used of the quotas that count here; ?quota=NAME&key=KEY of one key; DELETE: it begins anew",
    ),
    (
        "/reload",
        "GET: what became of the last reload; POST: reload now; step by step as application/x-ndjson",
    ),
];

pub type Known = State<Arc<Admin>>;

pub fn router(admin: Arc<Admin>) -> Router {
    keys::routes(Router::new())
        .route("/", get(index))
        .route("/status", get(status))
        .route("/metrics", get(metrics_page))
        .route("/ready", get(ready))
        .route("/live", get(async || answer::text(StatusCode::OK, "live\n")))
        .route("/config", get(config))
        .route("/routes", get(routes))
        .route("/upstreams", get(upstreams))
        .route("/plugins", get(plugins))
        .route("/caches", get(caches))
        .route("/caches/purge", post(purge))
        .route("/quotas", get(quotas).delete(reset_quota))
        .route("/reload", get(reload::last).post(reload::again))
        .fallback(async || answer::problem(StatusCode::NOT_FOUND, "no such page: / tells what there is"))
        .method_not_allowed_fallback(async || {
            answer::problem(StatusCode::METHOD_NOT_ALLOWED, "this page has other methods")
        })
        .with_state(admin)
}

async fn index(State(admin): Known, headers: HeaderMap) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let stage = admin.stage().1;
    let up = admin.started.elapsed().as_secs();
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        let rows = PAGES
            .iter()
            .map(|(path, what)| format!("<tr><td><a href=\"{path}\">{path}</a></td><td>{what}</td></tr>\n"));
        let rows: String = rows.collect();
        return answer::html(format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>limen</title>\n\
             <h1>limen {version}</h1>\n<p>{stage}, up for {up} s</p>\n<table>\n{rows}</table>\n</html>\n"
        ));
    }
    let rows: String = PAGES.iter().map(|(path, what)| format!("{path:<14}{what}\n")).collect();
    answer::text(StatusCode::OK, format!("limen {version}: {stage}, up for {up} s\n\n{rows}"))
}

async fn status(State(admin): Known) -> Response {
    answer::json(&status::show(&admin))
}

async fn metrics_page(State(admin): Known, headers: HeaderMap) -> Response {
    let Some(edition) = admin.edition() else { return starting() };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    let text = metrics::render(&admin.metrics, &edition.snapshot, &admin.reloads, format);
    answer::with_type(StatusCode::OK, format.content_type(), text)
}

async fn ready(State(admin): Known) -> Response {
    let (status, stage) = admin.stage();
    answer::text(status, format!("{stage}\n"))
}

async fn config(State(admin): Known) -> Response {
    admin.show(|edition| edition.config.written.clone())
}

async fn routes(State(admin): Known) -> Response {
    admin.show(|edition| {
        let listeners = &edition.config.listeners;
        let name_of = |number: &usize| listeners.get(*number).map(|listener| listener.name.as_str());
        let routes = edition.config.routes.iter().map(|route| {
            json!({
                "name": route.name,
                "listeners": route.listeners.iter().filter_map(name_of).collect::<Vec<_>>(),
                "host": route.host.to_string(),
                "path": route.path.to_string(),
                "methods": route.methods.as_ref().map(|all| all.iter().map(|it| it.as_str()).collect::<Vec<_>>()),
                "policies": route.policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(),
                "action": action(&route.action),
                "place": route.place.to_string(),
            })
        });
        routes.collect()
    })
}

async fn upstreams(State(admin): Known) -> Response {
    admin.show(|edition| status::upstreams(&edition.snapshot))
}

async fn plugins(State(admin): Known) -> Response {
    admin.show(|edition| status::plugins(&edition.snapshot))
}

async fn caches(State(admin): Known) -> Response {
    admin.show(|edition| cache::show(&edition.snapshot))
}

async fn purge(
    State(admin): Known,
    Extension(peer): Extension<Peer>,
    asked: Result<Query<cache::Asked>, QueryRejection>,
) -> Response {
    let Some(edition) = admin.edition() else { return starting() };
    let Ok(Query(asked)) = asked else {
        return answer::problem(
            StatusCode::BAD_REQUEST,
            "it takes `url`, `prefix`, `tag`, `all` and `cache`",
        );
    };
    // It waits for the disk.
    let snapshot = edition.snapshot.clone();
    let Ok(purged) = tokio::task::spawn_blocking(move || cache::purge(&snapshot, asked)).await else {
        return answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "a bug in limen: see the log");
    };
    match purged {
        Ok((purged, details)) => {
            if let Some(audit) = &edition.snapshot.audit {
                audit.note(&peer.who(), "cache.purge", details);
            }
            answer::json(&purged)
        }
        Err((status, detail)) => answer::problem(status, detail),
    }
}

async fn quotas(State(admin): Known, asked: Result<Query<quotas::Asked>, QueryRejection>) -> Response {
    let Some(edition) = admin.edition() else { return starting() };
    let Ok(Query(asked)) = asked else {
        return answer::problem(StatusCode::BAD_REQUEST, "expected ?quota= and ?key=, or neither");
    };
    answer::json(&quotas::show(&edition.snapshot, &asked).await)
}

async fn reset_quota(
    State(admin): Known,
    Extension(peer): Extension<Peer>,
    asked: Result<Query<quotas::Asked>, QueryRejection>,
) -> Response {
    let Some(edition) = admin.edition() else { return starting() };
    let Ok(Query(asked)) = asked else {
        return answer::problem(StatusCode::BAD_REQUEST, "expected ?quota= and ?key=");
    };
    match quotas::reset(&edition.snapshot, asked).await {
        Ok(reset) => {
            if let Some(audit) = &edition.snapshot.audit {
                audit.note(&peer.who(), "quota.reset", reset.clone());
            }
            answer::json(&reset)
        }
        Err((status, detail)) => answer::problem(status, detail),
    }
}

impl Admin {
    /// How the gateway is, and whether it is ready.
    pub(super) fn stage(&self) -> (StatusCode, &'static str) {
        match self.edition().map(|edition| edition.stage) {
            None => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
            Some(Stage::Serving) => (StatusCode::OK, "ready"),
            Some(Stage::Leaving) => (StatusCode::SERVICE_UNAVAILABLE, "leaving: about to drain"),
            Some(Stage::Draining) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            Some(Stage::TakenOver) => {
                (StatusCode::SERVICE_UNAVAILABLE, "draining: another process took over")
            }
        }
    }

    fn show(&self, page: impl FnOnce(&Edition) -> Value) -> Response {
        match self.edition() {
            Some(edition) => answer::json(&page(&edition)),
            None => starting(),
        }
    }
}

pub fn starting() -> Response {
    answer::problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway is starting")
}

fn action(action: &Action) -> Value {
    match action {
        Action::Forward(forward) => {
            let to = |to: &Weighted| json!({ "upstream": to.to, "weight": to.weight });
            json!({ "forward": forward.split.targets.iter().map(to).collect::<Value>() })
        }
        Action::Redirect(_) => json!("redirect"),
        Action::Respond(_) => json!("respond"),
    }
}
