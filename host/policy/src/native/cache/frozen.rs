//! A response as bytes, for the disk: all of it but its body.
//!
//! ```text
//! written at (8)  age then (8)  fresh (8)  while_revalidate (8)  if_error (8)  flags (1)  status (2)
//! URL  parts  selecting headers: count (4), then name, 0 or 1 (1), value   tags: count (4), then text
//! headers: count (4), then name, value
//! ```
//!
//! Times are milliseconds, texts have their length (4) before them, numbers are little-endian.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::entry::Entry;
use super::storing::Lifetime;
use super::vary::Selection;

pub fn freeze(url: &str, entry: &Entry, now: Instant, clock: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.weight() - entry.body.weight() + url.len());
    let Lifetime { fresh, while_revalidate, if_error, validate, never_stale, immutable, is_guessed } =
        entry.lifetime;
    let at = clock.duration_since(UNIX_EPOCH).unwrap_or_default();
    for span in [at, entry.age(now), fresh, while_revalidate, if_error] {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        out.extend_from_slice(&millis.to_le_bytes());
    }
    let flags = [validate, never_stale, immutable, is_guessed];
    out.push(flags.iter().enumerate().map(|(place, flag)| u8::from(*flag) << place).sum());
    out.extend_from_slice(&entry.status.as_u16().to_le_bytes());
    text(&mut out, url.as_bytes());
    text(&mut out, entry.selection.parts.as_bytes());
    count(&mut out, entry.selection.headers.len());
    for (name, value) in &entry.selection.headers {
        text(&mut out, name.as_str().as_bytes());
        out.push(u8::from(value.is_some()));
        text(&mut out, value.as_deref().unwrap_or_default());
    }
    count(&mut out, entry.tags.len());
    entry.tags.iter().for_each(|tag| text(&mut out, tag.as_bytes()));
    count(&mut out, entry.headers.len());
    for (name, value) in &entry.headers {
        text(&mut out, name.as_str().as_bytes());
        text(&mut out, value.as_bytes());
    }
    out
}

/// The URL and the response, without its body. None: it is not one of ours, or the clock was put back since.
pub fn thaw(mut from: Bytes, now: Instant, clock: SystemTime) -> Option<(String, Entry)> {
    let mut span = || from.try_get_u64_le().ok().map(Duration::from_millis);
    let (at, age) = (span()?, span()?);
    let (fresh, while_revalidate, if_error) = (span()?, span()?, span()?);
    let since = clock.duration_since(UNIX_EPOCH.checked_add(at)?).ok()?;
    let flags = from.try_get_u8().ok()?;
    let flag = |place: u8| flags >> place & 1 == 1;
    let (validate, never_stale, immutable, is_guessed) = (flag(0), flag(1), flag(2), flag(3));
    let lifetime =
        Lifetime { fresh, while_revalidate, if_error, validate, never_stale, immutable, is_guessed };
    let status = StatusCode::from_u16(from.try_get_u16_le().ok()?).ok()?;
    let (url, parts) = (string(&mut from)?, string(&mut from)?);
    let mut selecting = Vec::new();
    for _ in 0..from.try_get_u32_le().ok()? {
        let name = HeaderName::from_bytes(&taken(&mut from)?).ok()?;
        let (is_there, value) = (from.try_get_u8().ok()? == 1, taken(&mut from)?);
        selecting.push((name, is_there.then(|| value.as_ref().into())));
    }
    let mut tags = Vec::new();
    for _ in 0..from.try_get_u32_le().ok()? {
        tags.push(string(&mut from)?.into());
    }
    let mut headers = HeaderMap::new();
    for _ in 0..from.try_get_u32_le().ok()? {
        let name = HeaderName::from_bytes(&taken(&mut from)?).ok()?;
        headers.try_append(name, HeaderValue::from_maybe_shared(taken(&mut from)?).ok()?).ok()?;
    }
    let selection = Selection { parts: parts.into(), headers: selecting };
    Some((url, Entry::thawed(selection, status, headers, lifetime, tags, (age.saturating_add(since), now))))
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    count(out, text.len());
    out.extend_from_slice(text);
}

fn taken(from: &mut Bytes) -> Option<Bytes> {
    let length = from.try_get_u32_le().ok()? as usize;
    (length <= from.len()).then(|| from.split_to(length))
}

fn string(from: &mut Bytes) -> Option<String> {
    String::from_utf8(taken(from)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::cache::entry::Times;
    use crate::native::cache::storing::{Said, Terms};
    use http::Response;

    fn entry(now: Instant) -> Entry {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::NOT_FOUND;
        let control = "max-age=60, stale-while-revalidate=7, stale-if-error=9, immutable";
        for (name, value) in [
            ("cache-control", control),
            ("vary", "accept-language, x-none"),
            ("x-a", "1"),
            ("x-a", "\u{e9}"),
            ("cache-tag", "red, green"),
            ("age", "5"),
        ] {
            head.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut request = HeaderMap::new();
        request.insert("accept-language", HeaderValue::from_static("de, en"));
        let selection = Selection::new("route\n-", &request, &head);
        let said = Said::of(head.headers());
        let times = Times { asked: now, received: now, received_at: SystemTime::now() };
        let lifetime = said.judge(false, &head, &Terms::default(), times.received_at).unwrap();
        Entry::new(selection, &head, &said, lifetime, times)
    }

    #[test]
    fn it_is_the_same_again_and_older() {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let second = Duration::from_secs(1);
        let kept = entry(now);
        let bytes = Bytes::from(freeze("http://a/b?c", &kept, now + second, clock));
        let (url, again) = thaw(bytes.clone(), now, clock + 10 * second).unwrap();
        assert_eq!((&*url, again.status, &again.headers), ("http://a/b?c", kept.status, &kept.headers));
        assert_eq!(
            (&again.selection, &again.lifetime, &again.tags),
            (&kept.selection, &kept.lifetime, &kept.tags)
        );
        assert_eq!(again.age(now).as_secs(), 5 + 1 + 10);
        assert!(thaw(bytes, now, clock - second).is_none(), "nobody knows how old it is");
    }

    #[test]
    fn what_is_cut_off_is_none() {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let bytes = Bytes::from(freeze("http://a/", &entry(now), now, clock));
        for length in 0..bytes.len() {
            assert!(thaw(bytes.slice(..length), now, clock).is_none(), "{length}");
        }
    }
}
