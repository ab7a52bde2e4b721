//! Changing an exchange so that it can be taken back.
//!
//! Edits are made at once, so that getters see them, and journaled, so that a policy that fails
//! leaves no trace: [`Exchange::discard`] undoes them, [`Exchange::commit`] forgets how to. Copying
//! both heads before every hook would be simpler and cost every exchange what only failures need.

use bytes::{Bytes, BytesMut};
use http::header::{self, Entry, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::{Consumer, Exchange, Outcome, Phase, Reply, Side, Subject};

/// The longest header value, path or query that an edit may set, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;
/// The longest method that an edit may set, in bytes.
const MAX_METHOD: usize = 64;
/// The most edits of one hook.
pub const MAX_EDITS: usize = 256;
/// The longest body of a reply, in bytes.
pub const MAX_REPLY: usize = 1 << 20;

/// What a response head says of its body beside its framing and encoding: it goes with that body.
pub const SPEAKS_OF_THE_BODY: [HeaderName; 6] = [
    header::ETAG,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Why an edit was not taken; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditError {
    Invalid,
    Forbidden,
    TooLarge,
    TooLate,
}

/// A change of one header.
#[derive(Clone, Copy, Debug)]
pub enum HeaderEdit<'a> {
    Set(&'a str, &'a str),
    Add(&'a str, &'a str),
    Remove(&'a str),
}

/// What becomes of a header, where its name and its values have been read before.
#[derive(Clone, Debug)]
pub enum Change {
    Set(HeaderValue),
    Add(HeaderValue),
    Remove,
}

impl<'a> HeaderEdit<'a> {
    /// The name of the header.
    pub fn name(&self) -> &'a str {
        match *self {
            HeaderEdit::Set(name, _) | HeaderEdit::Add(name, _) | HeaderEdit::Remove(name) => name,
        }
    }

    fn read(&self) -> Result<(HeaderName, Change), EditError> {
        Ok((header_name(self.name())?, self.change()?))
    }

    fn change(&self) -> Result<Change, EditError> {
        Ok(match *self {
            HeaderEdit::Set(_, value) => Change::Set(header_value(value)?),
            HeaderEdit::Add(_, value) => Change::Add(header_value(value)?),
            HeaderEdit::Remove(_) => Change::Remove,
        })
    }
}

impl Change {
    /// Makes it; answers the values that there were, if anything is different now.
    fn make(self, headers: &mut HeaderMap, name: HeaderName) -> Option<Vec<HeaderValue>> {
        if matches!(self, Change::Remove) && !headers.contains_key(&name) {
            return None; // an entry would make room
        }
        Some(match (headers.entry(name), self) {
            (Entry::Vacant(_), Change::Remove) => return None,
            (Entry::Vacant(free), Change::Set(value) | Change::Add(value)) => {
                free.insert(value);
                Vec::new()
            }
            (Entry::Occupied(mut taken), Change::Set(value)) => taken.insert_mult(value).collect(),
            (Entry::Occupied(mut taken), Change::Add(value)) => {
                let before = taken.iter().cloned().collect();
                taken.append(value);
                before
            }
            (Entry::Occupied(taken), Change::Remove) => taken.remove_entry_mult().1.collect(),
        })
    }
}

/// How to take back what was done since the last commit, newest last.
#[derive(Default)]
pub(crate) struct Journal(Vec<Undo>);

enum Undo {
    Header(Side, HeaderName, Vec<HeaderValue>),
    Trailer(HeaderName, Vec<HeaderValue>),
    Method(Method),
    Uri(Uri),
    Status(StatusCode),
    Body(Side, Option<Bytes>),
    Bag(Box<str>, Option<Bytes>),
    Consumer(Option<Box<Consumer>>),
    Attribute(Box<str>, Option<Box<str>>),
}

/// What says where a message ends and how the connection goes on: the gateway's own business.
fn belongs_to_the_gateway(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::CONTENT_LENGTH
            | header::HOST
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Whether a field may stand in trailers: not what says where the message goes, how it is to be read and
/// who sends it (RFC 9110, section 6.5.1).
pub fn may_trail(name: &HeaderName) -> bool {
    !matches!(
        *name,
        header::CONTENT_LENGTH
            | header::CONTENT_ENCODING
            | header::CONTENT_TYPE
            | header::CONTENT_RANGE
            | header::TRAILER
            | header::HOST
            | header::CACHE_CONTROL
            | header::EXPECT
            | header::MAX_FORWARDS
            | header::PRAGMA
            | header::RANGE
            | header::IF_MATCH
            | header::IF_NONE_MATCH
            | header::IF_MODIFIED_SINCE
            | header::IF_UNMODIFIED_SINCE
            | header::IF_RANGE
            | header::AUTHORIZATION
            | header::WWW_AUTHENTICATE
            | header::COOKIE
            | header::SET_COOKIE
            | header::AGE
            | header::DATE
            | header::EXPIRES
            | header::LOCATION
            | header::RETRY_AFTER
            | header::VARY
            | header::FORWARDED
            | header::VIA
    )
}

impl Exchange {
    /// Keeps the edits of the policy that was asked.
    pub fn commit(&mut self) {
        if let Some(hooks) = &mut self.hooks {
            hooks.leave(Outcome::Next);
        }
        self.journal.0.clear();
    }

    /// Takes back the edits of the policy that was asked: it has staged a reply, or failed.
    pub fn discard(&mut self) {
        if let Some(hooks) = &mut self.hooks {
            hooks.leave(if self.reply.is_some() { Outcome::Reply } else { Outcome::Failed });
        }
        while let Some(undo) = self.journal.0.pop() {
            match undo {
                Undo::Header(side, name, values) => {
                    let headers = self.headers_mut(side);
                    headers.remove(&name);
                    for value in values {
                        headers.append(name.clone(), value);
                    }
                }
                Undo::Trailer(name, values) => {
                    if let Subject::Trailers(trailers) = &mut self.subject {
                        trailers.remove(&name);
                        for value in values {
                            trailers.append(name.clone(), value);
                        }
                    }
                }
                Undo::Method(method) => *self.request.method_mut() = method,
                Undo::Uri(uri) => *self.request.uri_mut() = uri,
                Undo::Status(status) => *self.response.status_mut() = status,
                Undo::Body(Side::Request, body) => self.request_body = body,
                Undo::Body(Side::Response, body) => self.response_body = body,
                Undo::Bag(key, previous) => self.bag.restore(&key, previous),
                Undo::Consumer(previous) => self.consumer = previous,
                Undo::Attribute(name, previous) => {
                    if let Some(consumer) = &mut self.consumer {
                        consumer.restore(&name, previous);
                    }
                }
            }
        }
    }

    pub fn edit_header(&mut self, side: Side, edit: HeaderEdit<'_>) -> Result<(), EditError> {
        self.may_edit_headers(side)?;
        let (name, change) = edit.read()?;
        self.make(side, name, change);
        Ok(())
    }

    /// As [`edit_header`](Self::edit_header), with the edit's name where somebody has read it before; none: it is no
    /// name.
    pub fn edit_known_header(
        &mut self,
        side: Side,
        name: Option<&HeaderName>,
        edit: HeaderEdit<'_>,
    ) -> Result<(), EditError> {
        self.may_edit_headers(side)?;
        let name = name.ok_or(EditError::Invalid)?;
        if belongs_to_the_gateway(name) {
            return Err(EditError::Forbidden);
        }
        let change = edit.change()?;
        self.make(side, name.clone(), change);
        Ok(())
    }

    /// As [`edit_header`](Self::edit_header), with a name that policies of ours have in their code or have tried at
    /// load: one that is not the gateway's own. Nothing has to be read then.
    pub fn change_header(&mut self, side: Side, name: HeaderName, change: Change) -> Result<(), EditError> {
        debug_assert!(!belongs_to_the_gateway(&name), "{name}");
        self.may_edit_headers(side)?;
        self.make(side, name, change);
        Ok(())
    }

    fn make(&mut self, side: Side, name: HeaderName, change: Change) {
        if let Some(before) = change.make(self.headers_mut(side), name.clone()) {
            self.journal.0.push(Undo::Header(side, name, before));
        }
    }

    /// Gives a header another name, with all its values, in place of what had that one before; nothing if
    /// it isn't there.
    pub fn rename_header(&mut self, side: Side, from: &str, to: &str) -> Result<(), EditError> {
        self.may_edit(side)?;
        let (from, to) = (header_name(from)?, header_name(to)?);
        if from == to || !self.headers(side).contains_key(&from) {
            return Ok(());
        }
        self.remember_header(side, &from);
        self.remember_header(side, &to);
        let headers = self.headers_mut(side);
        let values: Vec<_> = headers.get_all(&from).iter().cloned().collect();
        headers.remove(&from);
        headers.remove(&to);
        for value in values {
            headers.append(to.clone(), value);
        }
        Ok(())
    }

    /// Changes the trailers at hand.
    pub fn edit_trailer(&mut self, edit: HeaderEdit<'_>) -> Result<(), EditError> {
        let edits = self.journal.0.len();
        let Subject::Trailers(trailers) = &mut self.subject else { return Err(EditError::TooLate) };
        if edits >= MAX_EDITS {
            return Err(EditError::TooLarge);
        }
        let (name, change) = edit.read()?;
        if !may_trail(&name) {
            return Err(EditError::Forbidden);
        }
        if let Some(before) = change.make(trailers, name.clone()) {
            self.journal.0.push(Undo::Trailer(name, before));
        }
        Ok(())
    }

    pub fn set_method(&mut self, name: &str) -> Result<(), EditError> {
        self.may_edit(Side::Request)?;
        if name.len() > MAX_METHOD {
            return Err(EditError::TooLarge);
        }
        let method = Method::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
        if method == Method::CONNECT {
            return Err(EditError::Forbidden);
        }
        let previous = std::mem::replace(self.request.method_mut(), method);
        self.journal.0.push(Undo::Method(previous));
        Ok(())
    }

    /// Replaces the path and keeps the query.
    pub fn set_path(&mut self, path: &str) -> Result<(), EditError> {
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(EditError::Invalid);
        }
        let target = match self.request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        self.set_target(&target)
    }

    /// Replaces the query, given without `?`, or removes it.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), EditError> {
        let path = self.request.uri().path();
        let target = match query {
            Some(query) if query.contains('#') => return Err(EditError::Invalid),
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        self.set_target(&target)
    }

    /// Replaces the host that the upstream is asked for.
    pub fn set_authority(&mut self, authority: &str) -> Result<(), EditError> {
        self.may_edit(Side::Request)?;
        let parsed = Authority::try_from(authority).map_err(|_| EditError::Invalid)?;
        if authority.contains('@') {
            return Err(EditError::Invalid);
        }
        let value = header_value(parsed.as_str())?;
        if self.request.uri().authority().is_some() {
            let mut parts = self.request.uri().clone().into_parts();
            parts.authority = Some(parsed);
            self.replace_uri(Uri::from_parts(parts).map_err(|_| EditError::Invalid)?);
        }
        self.remember_header(Side::Request, &header::HOST);
        self.request.headers_mut().insert(header::HOST, value);
        Ok(())
    }

    pub fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        self.may_edit(Side::Response)?;
        let previous = std::mem::replace(self.response.status_mut(), final_status(status)?);
        self.journal.0.push(Undo::Status(previous));
        Ok(())
    }

    /// Replaces a buffered body and what the head says of it. `limit` is the policy's `limits.body`.
    pub fn replace_body(&mut self, side: Side, body: Bytes, limit: u64) -> Result<(), EditError> {
        let (wanted, spoke_of_it): (Phase, &[HeaderName]) = match side {
            Side::Request => (Phase::RequestBody, &[]),
            Side::Response => (Phase::ResponseBody, &SPEAKS_OF_THE_BODY),
        };
        if self.phase != wanted {
            return Err(EditError::TooLate);
        }
        self.may_edit(side)?;
        if body.len() as u64 > limit {
            return Err(EditError::TooLarge);
        }
        for name in [&header::TRANSFER_ENCODING, &header::CONTENT_ENCODING].into_iter().chain(spoke_of_it) {
            self.remember_header(side, name);
            self.headers_mut(side).remove(name);
        }
        self.remember_header(side, &header::CONTENT_LENGTH);
        self.headers_mut(side).insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let slot = match side {
            Side::Request => &mut self.request_body,
            Side::Response => &mut self.response_body,
        };
        let previous = slot.replace(body);
        self.journal.0.push(Undo::Body(side, previous));
        Ok(())
    }

    /// Puts a value into the property bag; false if the key is another policy's or the bag is full.
    pub fn put(&mut self, key: &str, value: Bytes) -> bool {
        if self.phase == Phase::Log || self.journal.0.len() >= MAX_EDITS {
            return false;
        }
        match self.bag.put(self.policy, key, value) {
            Ok(previous) => {
                self.journal.0.push(Undo::Bag(key.into(), previous));
                true
            }
            Err(()) => false,
        }
    }

    /// Says whom the exchange is for, in place of anybody named before.
    pub fn set_consumer(&mut self, id: &str) -> Result<(), EditError> {
        self.introduce(Consumer::new(id)?)
    }

    /// As [`set_consumer`](Self::set_consumer), with all that is known of it.
    pub fn introduce(&mut self, consumer: Consumer) -> Result<(), EditError> {
        self.may_edit(Side::Request)?;
        let previous = self.consumer.replace(Box::new(consumer));
        self.journal.0.push(Undo::Consumer(previous));
        Ok(())
    }

    /// Says more of the consumer that was named.
    pub fn set_consumer_attribute(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        self.may_edit(Side::Request)?;
        let previous = self.consumer.as_mut().ok_or(EditError::Invalid)?.put(name, value)?;
        self.journal.0.push(Undo::Attribute(name.into(), previous));
        Ok(())
    }

    /// Begins a response of the policy's own, or begins it anew.
    pub fn start_reply(&mut self, status: u16) -> Result<(), EditError> {
        if self.phase == Phase::Log || self.is_sent {
            return Err(EditError::TooLate);
        }
        self.reply = Some(Reply::status(final_status(status)?));
        Ok(())
    }

    pub fn reply_header(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        let reply = self.reply.as_mut().ok_or(EditError::TooLate)?;
        let (name, value) = (header_name(name)?, header_value(value)?);
        if reply.head.headers().len() >= MAX_EDITS {
            return Err(EditError::TooLarge);
        }
        reply.head.headers_mut().append(name, value);
        Ok(())
    }

    pub fn reply_body(&mut self, data: &[u8]) -> Result<(), EditError> {
        let reply = self.reply.as_mut().ok_or(EditError::TooLate)?;
        if reply.body.len() + data.len() > MAX_REPLY {
            return Err(EditError::TooLarge);
        }
        // Nobody else has it yet, so that it grows in place.
        let staged = std::mem::take(&mut reply.body).try_into_mut();
        let mut staged = staged.unwrap_or_else(|shared| BytesMut::from(&*shared));
        staged.extend_from_slice(data);
        reply.body = staged.freeze();
        Ok(())
    }

    fn may_edit_headers(&self, side: Side) -> Result<(), EditError> {
        // Of an attempt's head only the headers can be changed.
        if !(side == Side::Request && self.phase == Phase::Upstream) {
            self.may_edit(side)
        } else if self.journal.0.len() >= MAX_EDITS {
            Err(EditError::TooLarge)
        } else {
            Ok(())
        }
    }

    fn may_edit(&self, side: Side) -> Result<(), EditError> {
        let in_time = match side {
            Side::Request => matches!(self.phase, Phase::Request | Phase::RequestBody),
            Side::Response => matches!(self.phase, Phase::Response | Phase::ResponseBody),
        };
        if !in_time {
            return Err(EditError::TooLate);
        }
        if self.journal.0.len() >= MAX_EDITS { Err(EditError::TooLarge) } else { Ok(()) }
    }

    fn headers_mut(&mut self, side: Side) -> &mut HeaderMap {
        match side {
            Side::Request => self.request.headers_mut(),
            Side::Response => self.response.headers_mut(),
        }
    }

    fn remember_header(&mut self, side: Side, name: &HeaderName) {
        let values = self.headers(side).get_all(name).iter().cloned().collect();
        self.journal.0.push(Undo::Header(side, name.clone(), values));
    }

    fn set_target(&mut self, target: &str) -> Result<(), EditError> {
        self.may_edit(Side::Request)?;
        if target.len() > MAX_VALUE {
            return Err(EditError::TooLarge);
        }
        let mut parts = self.request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| EditError::Invalid)?);
        self.replace_uri(Uri::from_parts(parts).map_err(|_| EditError::Invalid)?);
        Ok(())
    }

    fn replace_uri(&mut self, uri: Uri) {
        let previous = std::mem::replace(self.request.uri_mut(), uri);
        self.journal.0.push(Undo::Uri(previous));
    }
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName, EditError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Invalid)?;
    if belongs_to_the_gateway(&name) { Err(EditError::Forbidden) } else { Ok(name) }
}

pub(crate) fn header_value(value: &str) -> Result<HeaderValue, EditError> {
    if value.len() > MAX_VALUE {
        return Err(EditError::TooLarge);
    }
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| EditError::Invalid)
}

fn final_status(status: u16) -> Result<StatusCode, EditError> {
    match status {
        200..=599 => StatusCode::from_u16(status).map_err(|_| EditError::Invalid),
        _ => Err(EditError::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn exchange(phase: Phase) -> Exchange {
        let request = Request::builder()
            .uri("/a?b=1")
            .header("host", "example.com")
            .header("x", "1")
            .header("x", "2")
            .body(())
            .unwrap();
        let mut exchange = Exchange::new(Default::default(), Default::default(), Default::default(), request);
        exchange.enter(phase, 0);
        exchange
    }

    fn look(exchange: &Exchange) -> String {
        let mut headers: Vec<_> =
            exchange.request.headers().iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        headers.sort();
        format!(
            "{} {} {headers:?} {:?} {:?}",
            exchange.request.method(),
            exchange.request.uri(),
            exchange.request_body,
            exchange.bag.get("k"),
        )
    }

    #[test]
    fn what_fails_leaves_no_trace() {
        let mut exchange = exchange(Phase::Request);
        exchange.put("k", Bytes::from_static(b"before"));
        exchange.request_body = Some(Bytes::from_static(b"body"));
        exchange.commit();
        let before = look(&exchange);

        exchange.edit_header(Side::Request, HeaderEdit::Set("x", "3")).unwrap();
        exchange.edit_header(Side::Request, HeaderEdit::Add("x", "4")).unwrap();
        exchange.edit_header(Side::Request, HeaderEdit::Remove("x")).unwrap();
        exchange.edit_header(Side::Request, HeaderEdit::Add("y", "5")).unwrap();
        for change in [Change::Remove, Change::Add("6".parse().unwrap()), Change::Set("7".parse().unwrap())] {
            exchange.change_header(Side::Request, header::VARY, change).unwrap();
        }
        exchange.change_header(Side::Request, header::VARY, Change::Add("8".parse().unwrap())).unwrap();
        exchange.set_method("PUT").unwrap();
        exchange.set_path("/c/d").unwrap();
        exchange.set_query(None).unwrap();
        exchange.set_authority("other.example.com").unwrap();
        assert!(exchange.put("k", Bytes::from_static(b"after")));
        exchange.phase = Phase::RequestBody;
        exchange.replace_body(Side::Request, Bytes::from_static(b"longer body"), 100).unwrap();
        assert_ne!(before, look(&exchange));

        exchange.discard();
        assert_eq!(before, look(&exchange));
    }

    #[test]
    fn what_is_committed_stays() {
        let mut exchange = exchange(Phase::Request);
        exchange.edit_header(Side::Request, HeaderEdit::Set("x", "3")).unwrap();
        exchange.set_path("/new").unwrap();
        exchange.commit();
        exchange.discard();
        assert_eq!(exchange.request.headers()["x"], "3");
        assert_eq!(exchange.request.uri(), "/new?b=1");
    }

    #[test]
    fn bad_edits_are_refused() {
        let mut exchange = exchange(Phase::Request);
        let mut set = |name: &str, value: &str| {
            exchange.edit_header(Side::Request, HeaderEdit::Set(name, value)).unwrap_err()
        };
        assert_eq!(set("", "1"), EditError::Invalid);
        assert_eq!(set("a b", "1"), EditError::Invalid);
        assert_eq!(set("a", "1\r\nb: 2"), EditError::Invalid);
        assert_eq!(set("Content-Length", "1"), EditError::Forbidden);
        assert_eq!(set("keep-alive", "1"), EditError::Forbidden);
        assert_eq!(set("a", &"x".repeat(MAX_VALUE + 1)), EditError::TooLarge);
        for path in ["", "x", "/a?b", "/a#b", "/a b\u{0}", "//\n"] {
            assert_eq!(exchange.set_path(path).unwrap_err(), EditError::Invalid, "{path:?}");
        }
        assert_eq!(exchange.set_query(Some("a#b")).unwrap_err(), EditError::Invalid);
        assert_eq!(exchange.set_authority("user@host").unwrap_err(), EditError::Invalid);
        assert_eq!(exchange.set_method("A B").unwrap_err(), EditError::Invalid);
        assert_eq!(exchange.set_method(&"A".repeat(MAX_METHOD + 1)).unwrap_err(), EditError::TooLarge);
        assert_eq!(exchange.set_method("CONNECT").unwrap_err(), EditError::Forbidden);
        assert_eq!(exchange.set_status(200).unwrap_err(), EditError::TooLate);
        assert_eq!(exchange.start_reply(101).unwrap_err(), EditError::Invalid);
        assert_eq!(exchange.reply_body(b"x").unwrap_err(), EditError::TooLate);
        assert_eq!(exchange.replace_body(Side::Request, Bytes::new(), 1).unwrap_err(), EditError::TooLate);
        // What changes nothing is no edit.
        exchange.edit_header(Side::Request, HeaderEdit::Remove("absent")).unwrap();
        for _ in 0..MAX_EDITS {
            exchange.edit_header(Side::Request, HeaderEdit::Set("x", "1")).unwrap();
        }
        assert_eq!(
            exchange.edit_header(Side::Request, HeaderEdit::Remove("x")).unwrap_err(),
            EditError::TooLarge
        );
    }

    #[test]
    fn an_attempt_s_head_takes_headers_and_nothing_else() {
        let mut exchange = exchange(Phase::Upstream);
        exchange.edit_header(Side::Request, HeaderEdit::Set("x-signature", "1")).unwrap();
        assert_eq!(exchange.set_path("/b").unwrap_err(), EditError::TooLate);
        assert_eq!(exchange.set_authority("b").unwrap_err(), EditError::TooLate);
        exchange.discard();
        assert!(!exchange.request.headers().contains_key("x-signature"));
    }

    #[test]
    fn trailers_are_edited_in_their_hook_alone_and_taken_back() {
        let mut exchange = exchange(Phase::ResponseTrailers);
        let set = |exchange: &mut Exchange, name, value| exchange.edit_trailer(HeaderEdit::Set(name, value));
        assert_eq!(set(&mut exchange, "grpc-status", "0").unwrap_err(), EditError::TooLate);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("13"));
        exchange.subject = Subject::Trailers(Box::new(trailers));
        set(&mut exchange, "grpc-status", "0").unwrap();
        exchange.edit_trailer(HeaderEdit::Add("x-more", "1")).unwrap();
        assert_eq!(set(&mut exchange, "set-cookie", "a=b").unwrap_err(), EditError::Forbidden);
        assert_eq!(set(&mut exchange, "content-length", "1").unwrap_err(), EditError::Forbidden);
        exchange.discard();
        let trailers = exchange.trailers().unwrap();
        assert_eq!((trailers.len(), &trailers["grpc-status"]), (1, &HeaderValue::from_static("13")));
    }

    #[test]
    fn what_is_emitted_is_bounded() {
        let mut exchange = exchange(Phase::ResponseChunk);
        assert_eq!(exchange.emit(b"x".to_vec(), 10).unwrap_err(), EditError::TooLate);
        exchange.subject = Subject::Chunk(Box::default());
        exchange.emit(b"12345".to_vec(), 10).unwrap();
        assert_eq!(exchange.emit(b"123456".to_vec(), 10).unwrap_err(), EditError::TooLarge);
        exchange.emit(b"67890".to_vec(), 10).unwrap();
        assert_eq!(exchange.chunk().unwrap().emitted, b"1234567890");
    }
}
