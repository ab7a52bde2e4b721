//! Asking one repository of a registry: credentials where they are asked for, redirects, second tries.

use std::cell::RefCell;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use limen_config::{Reference, Registry, RegistryName};
use serde_json::Value;
use tokio::time::sleep;

use super::Failure;
use super::challenge::Challenge;
use super::credentials::Credentials;
use crate::client::{Answer, Client, at, redirected, uri};

/// Tried again after these, where that may help.
const AGAIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// More redirects lead nowhere.
const REDIRECTS: usize = 5;
/// A token and what is said of it.
const LARGEST_TOKEN: u64 = 64 << 10;
/// Docker Hub's images are named after a host that is not its registry.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// With one repository.
pub struct Session<'a> {
    client: Client,
    scheme: Scheme,
    authority: Authority,
    repository: &'a str,
    credentials: Option<Credentials>,
    /// What the registry last asked for.
    authorization: RefCell<Option<HeaderValue>>,
}

impl<'a> Session<'a> {
    pub fn new(
        terms: &Registry,
        reference: &'a Reference,
        credentials: Option<Credentials>,
    ) -> Result<Self, Failure> {
        let RegistryName { host, port } = &reference.registry;
        let host = if host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { host };
        let authority = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Session {
            client: Client::new(terms.roots.as_deref())?,
            scheme: if terms.plain_http { Scheme::HTTP } else { Scheme::HTTPS },
            authority: authority.parse().map_err(|_| Failure::new("not a registry"))?,
            repository: &reference.repository,
            credentials,
            authorization: RefCell::default(),
        })
    }

    /// What the repository has below this path, `blobs/sha256:...` for instance. `came` is told how much of it there is.
    pub async fn get(
        &self,
        path: &str,
        accept: &'static str,
        largest: u64,
        came: impl Fn(u64),
    ) -> Result<Vec<u8>, Failure> {
        let path = format!("/v2/{}/{path}", self.repository);
        let uri = uri(&self.scheme, &self.authority, &path)?;
        let mut pauses = AGAIN.into_iter();
        loop {
            match self.follow(uri.clone(), accept, largest, &came).await {
                Err(failure) if failure.may_pass => match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => return Err(failure),
                },
                outcome => return outcome,
            }
        }
    }

    /// One try, wherever it leads.
    async fn follow(
        &self,
        asked: Uri,
        accept: &'static str,
        largest: u64,
        came: &impl Fn(u64),
    ) -> Result<Vec<u8>, Failure> {
        let (mut uri, mut redirects, mut is_introduced) = (asked.clone(), 0, false);
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            // Nobody but the registry gets to see what it was given for.
            if self.is_at_home(&uri) {
                headers.extend(self.authorization.borrow().clone().map(|it| (header::AUTHORIZATION, it)));
            }
            let answer = self.client.get_told(&uri, &headers, largest, came).await;
            let answer = answer.map_err(|failure| at(&uri, failure))?;
            match answer.status {
                StatusCode::OK => return Ok(answer.body),
                StatusCode::UNAUTHORIZED if self.is_at_home(&uri) && !is_introduced => {
                    is_introduced = true;
                    self.introduce(&answer).await?;
                    uri = asked.clone();
                }
                status if status.is_redirection() && redirects < REDIRECTS => {
                    redirects += 1;
                    uri = redirected(&uri, &answer, |scheme| self.may_speak(scheme))
                        .map_err(|failure| at(&uri, failure))?;
                }
                status if status.is_redirection() => {
                    return Err(at(&uri, Failure::new(format!("more than {REDIRECTS} redirects"))));
                }
                _ => return Err(at(&uri, refused(&answer))),
            }
        }
    }

    /// Never plain HTTP where it began with TLS.
    fn may_speak(&self, scheme: &Scheme) -> bool {
        *scheme == Scheme::HTTPS || *scheme == self.scheme
    }

    fn is_at_home(&self, uri: &Uri) -> bool {
        uri.scheme() == Some(&self.scheme) && uri.authority() == Some(&self.authority)
    }

    /// Meets what a 401 asks for.
    async fn introduce(&self, answer: &Answer) -> Result<(), Failure> {
        let home = &self.authority;
        let authorization = match Challenge::of(&answer.headers) {
            Some(Challenge::Basic) => {
                let credentials = self.credentials.as_ref().ok_or_else(|| needs_credentials(home))?;
                credentials.header()
            }
            Some(Challenge::Bearer { realm, service }) => self.token(&realm, service.as_deref()).await?,
            None => {
                return Err(Failure::new(format!("{home} answers 401, and says not what it wants to see")));
            }
        };
        *self.authorization.borrow_mut() = Some(authorization);
        Ok(())
    }

    /// A token to read this repository, and no more, with our credentials or as anybody.
    async fn token(&self, realm: &str, service: Option<&str>) -> Result<HeaderValue, Failure> {
        let server =
            || Failure::new(format!("{} names a server of tokens that can't be asked", self.authority));
        let realm: Uri = realm.parse().map_err(|_| server())?;
        let (Some(scheme), Some(authority)) = (realm.scheme(), realm.authority()) else {
            return Err(server());
        };
        // Credentials in clear text go to nobody that the configuration does not name.
        let is_safe =
            *scheme == Scheme::HTTPS || (*scheme == self.scheme && authority.host() == self.authority.host());
        if !is_safe || authority.as_str().contains('@') {
            return Err(server());
        }
        let mut query = form_urlencoded::Serializer::new(realm.query().unwrap_or_default().to_owned());
        query.extend_pairs(service.map(|service| ("service", service)));
        query.append_pair("scope", &format!("repository:{}:pull", self.repository));
        let uri = uri(scheme, authority, &format!("{}?{}", realm.path(), query.finish()))?;
        let mut headers = HeaderMap::new();
        headers.extend(self.credentials.as_ref().map(|it| (header::AUTHORIZATION, it.header())));
        let answer = self.client.get(&uri, &headers, LARGEST_TOKEN).await;
        let answer = answer.map_err(|failure| at(&uri, failure))?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED if self.credentials.is_none() => {
                return Err(needs_credentials(authority));
            }
            _ => return Err(at(&uri, refused(&answer))),
        }
        let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let token = said.as_ref().and_then(|said| {
            ["token", "access_token"].iter().find_map(|key| said.get(key).and_then(Value::as_str))
        });
        let token = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        let mut token = token.ok_or_else(|| at(&uri, Failure::new("an answer without a token")))?;
        token.set_sensitive(true);
        Ok(token)
    }
}

fn needs_credentials(who: &Authority) -> Failure {
    Failure::new(format!("{who}: it wants to see credentials, or has no such repository"))
        .hint("give it some in [registry.\"HOST\"]: `username` and `password`, or `docker_config`")
}

/// An answer that is none of those that were hoped for.
fn refused(answer: &Answer) -> Failure {
    let status = answer.status;
    let said = complaint(&answer.body).map(|said| format!(" ({said})")).unwrap_or_default();
    let what = format!("it answers {status}{said}");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::new(what)
            .hint("do the credentials in [registry.\"HOST\"] allow to read this repository?"),
        StatusCode::NOT_FOUND => Failure::new(what).hint("is it there by this digest?"),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Failure::passing(what),
        status if status.is_server_error() => Failure::passing(what),
        _ => Failure::new(what),
    }
}

/// What an answer says of itself, as the distribution specification has it.
fn complaint(body: &[u8]) -> Option<String> {
    const LONGEST: usize = 200;
    let said: Value = serde_json::from_slice(body).ok()?;
    let first = said.get("errors")?.get(0)?;
    let text = |key| first.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let said = [text("code"), text("message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
    Some(said.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
        .filter(|said: &String| !said.is_empty())
}
