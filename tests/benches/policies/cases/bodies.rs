//! Policies that read bodies, or make others of them.

use super::{Ask, Body, Case, Content, GET, Gets, OK, POST, envoy, gets};

/// 4 KiB, of which gzip makes a hundred bytes.
const ZIPPED: Body = Body::Base64(
    "H4sIAAAAAAACA+3OKw6AMABEwbusruAvehWCIKGiohhwTe9OAnY16tlRU5XvVC7FtSofil3QuZek+Lpa+Lj3PHgePU+eZ8+LZ4IECRIkSJAgQYIE\
     CRIkSJDgP8GtPZGD3iM3EAAA",
);
const TYPED: &str = r#"{"name":"ada","age":36,"tags":["a","b"]}"#;
const MISTYPED: &str = r#"{"name":"ada","age":"old"}"#;
pub const DOCUMENT: &str = r#"
openapi: 3.1.0
info: { title: people, version: "1" }
paths:
  /small:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [name, age]
              properties:
                name: { type: string, maxLength: 100 }
                age: { type: integer, minimum: 0 }
                tags: { type: array, items: { type: string } }
      responses: { "200": { description: fine, content: { application/json: { example: { ok: true } } } } }
"#;
const QUERY: &str = r#"{"query":"{ posts(first: 10) { title author { name } } }"}"#;
const CURIOUS: &str = r#"{"query":"{ __schema { types { name } } }"}"#;

pub const CASES: &[Case] = &[
    Case {
        ask: Ask { path: "text", headers: &[("accept-encoding", "gzip")], ..GET },
        gets: Gets { has: &["content-encoding: gzip"], ..OK },
        other: Some((Ask { path: "text", ..GET }, Gets { lacks: &["content-encoding"], ..OK })),
        peers: &[envoy(
            "compressor",
            "compressor.v3.Compressor",
            "response_direction_config: { common_config: { min_content_length: 1024, content_type: [application/json] } },
             compressor_library: { name: gzip, typed_config: {
               '@type': type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip,
               compression_level: COMPRESSION_LEVEL_5, window_bits: 15, memory_level: 8 } }",
        )],
        ..Case::new("compress", "{ use = 'compress', with = { gzip = 5 } }")
    },
    Case {
        ask: Ask {
            headers: &[("content-type", "application/json"), ("content-encoding", "gzip")],
            body: ZIPPED,
            ..POST
        },
        gets: Gets { lacks: &["x-encoded: gzip"], ..OK },
        peers: &[envoy(
            "decompressor",
            "decompressor.v3.Decompressor",
            "decompressor_library: { name: gzip, typed_config: {
               '@type': type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip, window_bits: 15 } },
             response_direction_config: { common_config: {
               enabled: { default_value: false, runtime_key: responses } } }",
        )],
        ..Case::new("decompress", "'decompress'")
    },
    Case {
        gets: Gets { lacks: &["sesame"], has: &["****"], ..OK },
        ..Case::new("json", "{ use = 'json', with = { response = { mask = ['/secret'] } } }")
    },
    Case {
        gets: Gets { has: &["application/xml", "<secret>sesame</secret>"], ..OK },
        ..Case::new("xml-json", "{ use = 'xml-json', with = { response = 'json-to-xml' } }")
    },
    Case {
        file: Some(("people.yaml", Content::Text(DOCUMENT))),
        ask: Ask { body: Body::Text(TYPED), ..POST },
        other: Some((Ask { body: Body::Text(MISTYPED), ..POST }, gets(400))),
        ..Case::new("openapi", "{ use = 'openapi', with = { document = 'people.yaml', base = '/openapi' } }")
    },
    Case {
        ask: Ask { body: Body::Text(QUERY), ..POST },
        other: Some((Ask { body: Body::Text(CURIOUS), ..POST }, gets(400))),
        ..Case::new("graphql", "'graphql'")
    },
];
