//! `request`, `request-edit`, `request-body`, `request-body-edit`.

use bytes::Bytes;
use http::{Method, Version};
use limen_policy::{HeaderEdit, Side};

use super::bindings::limen::policy::types::{EditError, HttpMethod, HttpVersion};
use super::bindings::limen::policy::{request, request_body, request_body_edit, request_edit};
use super::{edited, first_text, pack, read};
use crate::state::State;

/// What one call of `header-many` may ask for: what goes from host to guest nothing else bounds.
const MAX_NAMES: usize = 256;
const MAX_VALUES: usize = 1 << 20;

impl request::Host for State {
    fn method(&mut self) -> HttpMethod {
        match *self.exchange.request.method() {
            Method::GET => HttpMethod::Get,
            Method::HEAD => HttpMethod::Head,
            Method::POST => HttpMethod::Post,
            Method::PUT => HttpMethod::Put,
            Method::DELETE => HttpMethod::Delete,
            Method::CONNECT => HttpMethod::Connect,
            Method::OPTIONS => HttpMethod::Options,
            Method::TRACE => HttpMethod::Trace,
            Method::PATCH => HttpMethod::Patch,
            _ => HttpMethod::Other,
        }
    }

    fn method_text(&mut self) -> String {
        self.exchange.request.method().as_str().to_owned()
    }

    fn version(&mut self) -> HttpVersion {
        match self.exchange.request.version() {
            Version::HTTP_2 => HttpVersion::H2,
            Version::HTTP_3 => HttpVersion::H3,
            Version::HTTP_11 => HttpVersion::Http11,
            _ => HttpVersion::Http10,
        }
    }

    fn authority(&mut self) -> String {
        self.exchange.authority().to_owned()
    }

    fn path(&mut self) -> String {
        self.exchange.request.uri().path().to_owned()
    }

    fn query(&mut self) -> Option<String> {
        self.exchange.request.uri().query().map(str::to_owned)
    }

    fn query_param(&mut self, name: String) -> Option<String> {
        self.exchange.query_parameter(&name).map(|value| value.into_owned())
    }

    fn path_param(&mut self, name: String) -> Option<String> {
        self.exchange.path_parameter(&name).map(|value| value.into_owned())
    }

    fn cookie(&mut self, name: String) -> Option<String> {
        self.exchange.cookie(&name).map(str::to_owned)
    }

    fn header(&mut self, name: String) -> Option<String> {
        State::header(self, Side::Request, &name).map(String::from)
    }

    fn header_bytes(&mut self, name: String) -> Option<Vec<u8>> {
        State::header_bytes(self, Side::Request, &name)
    }

    fn header_values(&mut self, name: String) -> Vec<Vec<u8>> {
        State::header_values(self, Side::Request, &name)
    }

    fn has_header(&mut self, name: String) -> bool {
        State::has_header(self, Side::Request, &name)
    }

    fn header_equals(&mut self, name: String, value: String) -> bool {
        State::header_equals(self, Side::Request, &name, &value)
    }

    fn header_many(&mut self, names: Vec<String>) -> wasmtime::Result<Vec<Option<String>>> {
        let headers = self.exchange.request.headers();
        let bytes: usize =
            names.iter().take(MAX_NAMES).filter_map(|name| headers.get(name)).map(|value| value.len()).sum();
        wasmtime::ensure!(
            names.len() <= MAX_NAMES && bytes <= MAX_VALUES,
            "header-many: more than {MAX_NAMES} names or {MAX_VALUES} bytes of values"
        );
        Ok(names.iter().map(|name| first_text(headers, name)).collect())
    }

    fn packed(&mut self) -> Vec<u8> {
        let request = &self.exchange.request;
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let pseudo = [
            (":method", request.method().as_str().as_bytes()),
            (":authority", self.exchange.authority().as_bytes()),
            (":path", target.as_bytes()),
        ];
        pack(&pseudo, request.headers())
    }

    fn content_length(&mut self) -> Option<u64> {
        self.exchange.content_length(Side::Request)
    }
}

impl request_edit::Host for State {
    fn set_header(&mut self, name: String, value: String) -> Result<(), EditError> {
        self.edit_header(Side::Request, HeaderEdit::Set(&name, &value))
    }

    fn add_header(&mut self, name: String, value: String) -> Result<(), EditError> {
        self.edit_header(Side::Request, HeaderEdit::Add(&name, &value))
    }

    fn remove_header(&mut self, name: String) -> Result<(), EditError> {
        self.edit_header(Side::Request, HeaderEdit::Remove(&name))
    }

    fn set_method(&mut self, name: String) -> Result<(), EditError> {
        edited(self.exchange.set_method(&name))
    }

    fn set_path(&mut self, path: String) -> Result<(), EditError> {
        edited(self.exchange.set_path(&path))
    }

    fn set_query(&mut self, query: Option<String>) -> Result<(), EditError> {
        edited(self.exchange.set_query(query.as_deref()))
    }

    fn set_authority(&mut self, authority: String) -> Result<(), EditError> {
        edited(self.exchange.set_authority(&authority))
    }
}

impl request_body::Host for State {
    fn size(&mut self) -> u64 {
        self.exchange.request_body.as_ref().map_or(0, |body| body.len() as u64)
    }

    fn read(&mut self, offset: u64, max: u32) -> Vec<u8> {
        read(self.exchange.request_body.as_ref(), offset, max)
    }
}

impl request_body_edit::Host for State {
    fn replace(&mut self, body: Vec<u8>) -> Result<(), EditError> {
        edited(self.exchange.replace_body(Side::Request, Bytes::from(body), self.limits.body))
    }
}
