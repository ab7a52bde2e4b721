//! Where an issuer keeps its keys, and what is there.

use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use limen_config::KeySet;
use limen_policy::vault::Key;
use serde_json::Value;

use crate::client::{Client, Failure, at, redirected};

/// The largest set of keys, and description of an issuer, in bytes.
const LARGEST: u64 = 1 << 20;
/// More redirects lead nowhere.
const REDIRECTS: usize = 3;
/// Keys are not fetched more often because an answer says that they may not be kept for longer.
const SHORTEST: Duration = Duration::from_secs(30);

/// What an issuer answers.
pub struct Keys {
    pub keys: Vec<Key>,
    /// Of those that can't be used.
    pub left_out: usize,
    /// How long they are good.
    pub fresh: Duration,
}

pub async fn fetch(client: &Client, terms: &KeySet) -> Result<Keys, Failure> {
    let address = match (&terms.jwks_url, &terms.discovery) {
        (Some(url), _) => url.clone(),
        (None, Some(issuer)) => discover(client, issuer, terms.plain_http).await?,
        (None, None) => return Err(Failure::new("nobody to ask")),
    };
    let answer = get(client, &address, terms.plain_http).await?;
    let wrong = |error: limen_policy::vault::KeyError| at(&address, Failure::new(error.to_string()));
    let (keys, left_out) = Key::of_foreign_jwks(&answer.body).map_err(wrong)?;
    Ok(Keys { keys, left_out, fresh: freshness(&answer.headers, terms.refresh) })
}

/// Where the keys are (OpenID Connect Discovery 1.0, section 4).
async fn discover(client: &Client, issuer: &Uri, plain: bool) -> Result<Uri, Failure> {
    let name = issuer.to_string();
    let name = name.trim_end_matches('/');
    let about = |what: String| at(issuer, Failure::new(format!("its configuration {what}")));
    let address = format!("{name}/.well-known/openid-configuration");
    let address = address.parse().map_err(|_| about("has no address".to_owned()))?;
    let answer = get(client, &address, plain).await?;
    let said: Value = serde_json::from_slice(&answer.body).map_err(|_| about("is no JSON".to_owned()))?;
    let said = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
    // Else one issuer could speak for another.
    if said("issuer").trim_end_matches('/') != name {
        return Err(about("is that of another `issuer`".to_owned()));
    }
    let keys: Option<Uri> = said("jwks_uri").parse().ok().filter(|uri: &Uri| uri.authority().is_some());
    match keys {
        Some(keys) if may_speak(keys.scheme(), plain) => Ok(keys),
        _ => Err(about("names no `jwks_uri` that can be used".to_owned())),
    }
}

fn may_speak(scheme: Option<&Scheme>, plain: bool) -> bool {
    scheme == Some(&Scheme::HTTPS) || plain && scheme == Some(&Scheme::HTTP)
}

async fn get(client: &Client, address: &Uri, plain: bool) -> Result<crate::client::Answer, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let mut uri = address.clone();
    for _ in 0..=REDIRECTS {
        let answer = client.get(&uri, &headers, LARGEST).await.map_err(|failure| at(&uri, failure))?;
        match answer.status {
            StatusCode::OK => return Ok(answer),
            status if status.is_redirection() => {
                let to = redirected(&uri, &answer, |scheme| may_speak(Some(scheme), plain));
                uri = to.map_err(|failure| at(&uri, failure))?;
            }
            status => return Err(at(&uri, Failure::passing(format!("it answers {status}")))),
        }
    }
    Err(at(&uri, Failure::new(format!("more than {REDIRECTS} redirects"))))
}

/// How long an answer is good: as long as it says, between the shortest time and the one that is configured.
fn freshness(headers: &HeaderMap, most: Duration) -> Duration {
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let directives = text(header::CACHE_CONTROL).split(',').map(str::trim);
    let age = text(header::AGE).parse().unwrap_or(0);
    let said = directives.filter_map(|directive| match directive.split_once('=') {
        Some((name, seconds)) if name.eq_ignore_ascii_case("max-age") => {
            seconds.trim_matches('"').parse::<u64>().ok()
        }
        None if ["no-cache", "no-store"].iter().any(|it| directive.eq_ignore_ascii_case(it)) => Some(0),
        _ => None,
    });
    let said = said.min().map(|seconds| Duration::from_secs(seconds.saturating_sub(age)));
    said.unwrap_or(most).max(SHORTEST).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_as_long_as_it_says_within_bounds() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (cache_control, age, fresh) in [
            ("", "", minutes(10)),
            ("public, Max-Age=120", "", minutes(2)),
            ("max-age=\"120\"", "60", minutes(1)),
            ("max-age=120, no-store", "", SHORTEST),
            ("max-age=5", "900", SHORTEST),
            ("max-age=86400", "", minutes(10)),
            ("max-age=-1", "x", minutes(10)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
            headers.insert(header::AGE, HeaderValue::from_static(age));
            assert_eq!(freshness(&headers, minutes(10)), fresh, "{cache_control}; {age}");
        }
        assert_eq!(freshness(&HeaderMap::new(), Duration::from_secs(1)), Duration::from_secs(1));
    }
}
