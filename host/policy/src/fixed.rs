//! Answers that are always the same.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// The longest file that an answer is made of: it is kept in memory.
const LONGEST: u64 = 1 << 20;

/// An answer that is ready.
pub struct Fixed {
    head: Response<()>,
    body: Bytes,
}

impl Fixed {
    /// `kind` is its `Content-Type`, unless the headers have one.
    pub fn new(
        status: StatusCode,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        kind: Option<&'static str>,
    ) -> Self {
        let mut head = Response::new(());
        *head.status_mut() = status;
        for (name, value) in headers {
            head.headers_mut().append(name.clone(), value.clone());
        }
        if let Some(kind) = kind {
            let kind = HeaderValue::from_static(kind);
            head.headers_mut().entry(header::CONTENT_TYPE).or_insert(kind);
        }
        Fixed { head, body }
    }

    pub fn answer(&self) -> (Response<()>, Bytes) {
        let mut head = Response::new(());
        *head.status_mut() = self.head.status();
        *head.headers_mut() = self.head.headers().clone();
        (head, self.body.clone())
    }

    /// What is in a file, and what that is by the file's name.
    pub fn read(file: &Path) -> Result<(Bytes, &'static str), String> {
        let mut content = Vec::new();
        let opened = File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_end(&mut content));
        match opened {
            Ok(_) if content.len() as u64 > LONGEST => Err(format!("it is longer than {LONGEST} bytes")),
            Ok(_) => Ok((content.into(), kind(file))),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What a file is, by its name.
fn kind(file: &Path) -> &'static str {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("xml") => "application/xml",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
