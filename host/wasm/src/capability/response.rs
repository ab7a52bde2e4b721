//! `response`, `response-edit`, `response-body`, `response-body-edit`.

use bytes::Bytes;
use limen_policy::{HeaderEdit, Side};

use super::bindings::limen::policy::types::EditError;
use super::bindings::limen::policy::{response, response_body, response_body_edit, response_edit};
use super::{edited, pack, read};
use crate::state::State;

impl response::Host for State {
    fn status(&mut self) -> u16 {
        self.exchange.response.status().as_u16()
    }

    fn header(&mut self, name: String) -> Option<String> {
        State::header(self, Side::Response, &name).map(String::from)
    }

    fn header_bytes(&mut self, name: String) -> Option<Vec<u8>> {
        State::header_bytes(self, Side::Response, &name)
    }

    fn header_values(&mut self, name: String) -> Vec<Vec<u8>> {
        State::header_values(self, Side::Response, &name)
    }

    fn has_header(&mut self, name: String) -> bool {
        State::has_header(self, Side::Response, &name)
    }

    fn packed(&mut self) -> Vec<u8> {
        let response = &self.exchange.response;
        pack(&[(":status", response.status().as_str().as_bytes())], response.headers())
    }

    fn content_length(&mut self) -> Option<u64> {
        match &self.exchange.response_body {
            Some(body) => Some(body.len() as u64),
            None => self.exchange.content_length(Side::Response),
        }
    }

    fn is_local(&mut self) -> bool {
        self.exchange.response_is_local
    }
}

impl response_edit::Host for State {
    fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        edited(self.exchange.set_status(status))
    }

    fn set_header(&mut self, name: String, value: String) -> Result<(), EditError> {
        self.edit_header(Side::Response, HeaderEdit::Set(&name, &value))
    }

    fn add_header(&mut self, name: String, value: String) -> Result<(), EditError> {
        self.edit_header(Side::Response, HeaderEdit::Add(&name, &value))
    }

    fn remove_header(&mut self, name: String) -> Result<(), EditError> {
        self.edit_header(Side::Response, HeaderEdit::Remove(&name))
    }
}

impl response_body::Host for State {
    fn size(&mut self) -> u64 {
        self.exchange.response_body.as_ref().map_or(0, |body| body.len() as u64)
    }

    fn read(&mut self, offset: u64, max: u32) -> Vec<u8> {
        read(self.exchange.response_body.as_ref(), offset, max)
    }
}

impl response_body_edit::Host for State {
    fn replace(&mut self, body: Vec<u8>) -> Result<(), EditError> {
        edited(self.exchange.replace_body(Side::Response, Bytes::from(body), self.limits.body))
    }
}
