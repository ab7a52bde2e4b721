//! `path` of the gateway: how the paths of requests are spelt

use crate::section::section;
use crate::value::choice;

section! {
    /// `path = { dot_segments = "resolve", encoded_slashes = "keep", empty_segments = "merge" }`: a path
    /// can be spelt in many ways, and whatever looks at it must see the same one. It is brought into one
    /// spelling before anything else happens, and routes, policies and upstreams see that one: escapes
    /// of characters that need none are undone (`%61` is `a`), other escapes are in upper case, raw bytes
    /// beyond ASCII are escaped. Escapes that are none (`%zz`), `%00` and raw backslashes are answered
    /// with 400. The query goes on as it came.
    #[derive(Copy, PartialEq, Eq)]
    pub struct PathRules(section) {
        /// `dot_segments`: "resolve" makes `/b` of `/a/../b` (a path that leads above its root is answered
        /// with 400), "refuse" answers 400. Default "resolve".
        pub dot_segments: DotSegments =
            section.or("dot_segments", choice(DOT_SEGMENTS), DotSegments::Resolve),

        /// `encoded_slashes`: what `%2F` and `%5C` mean in a path. "keep" leaves them: for routes they
        /// are part of a segment. "decode" makes a slash of `%2F`, before dot segments are resolved.
        /// "refuse" answers 400 to both. Default "keep"; where origins decode them before they look,
        /// choose another.
        pub encoded_slashes: EncodedSlashes =
            section.or("encoded_slashes", choice(ENCODED_SLASHES), EncodedSlashes::Keep),

        /// `empty_segments`: "merge" makes `/a/b` of `/a//b`, as most origins do when they look for a
        /// file; "keep" leaves them, and a route for `/a/**` then does not match `//a/b`; "refuse"
        /// answers 400. Default "merge".
        pub empty_segments: EmptySegments =
            section.or("empty_segments", choice(EMPTY_SEGMENTS), EmptySegments::Merge),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DotSegments {
    Resolve,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedSlashes {
    Keep,
    Decode,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptySegments {
    Merge,
    Keep,
    Refuse,
}

const DOT_SEGMENTS: &[(&str, DotSegments)] =
    &[("resolve", DotSegments::Resolve), ("refuse", DotSegments::Refuse)];
const ENCODED_SLASHES: &[(&str, EncodedSlashes)] =
    &[("keep", EncodedSlashes::Keep), ("decode", EncodedSlashes::Decode), ("refuse", EncodedSlashes::Refuse)];
const EMPTY_SEGMENTS: &[(&str, EmptySegments)] =
    &[("merge", EmptySegments::Merge), ("keep", EmptySegments::Keep), ("refuse", EmptySegments::Refuse)];
