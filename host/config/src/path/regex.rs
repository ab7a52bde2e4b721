//! `path = { regex = "..." }`

use crate::Pattern;
use crate::section::section;
use crate::value::Value;

section! {
    /// `path = { regex = "/v1/users/(?<id>[0-9]+)" }`: for what neither parameters nor `/**` can say.
    #[derive(PartialEq, Eq)]
    pub struct PathRegex(section) {
        /// `regex` (required): matches the whole path, without its query, in linear time; its named
        /// groups are parameters. It sees the path as the upstream would: percent-encoded, and
        /// escapes that nothing needs undone. What it begins with as plain text finds it: ten
        /// thousand of them cost one request no more than those that begin like its path.
        pub pattern: Pattern = section.required("regex", pattern),
    }
}

impl PathRegex {
    pub(super) fn parse(text: &str) -> Result<PathRegex, String> {
        let pattern = Pattern::compile(text).map_err(|why| format!("not a regular expression: {why}"))?;
        match begins_as_a_path(&pattern) {
            true => Ok(PathRegex { pattern }),
            false => Err(format!("no path matches it; did you mean \"/{text}\"?")),
        }
    }
}

fn pattern(value: &Value<'_>) -> Option<Pattern> {
    let pattern = Pattern::read(value)?;
    if !begins_as_a_path(&pattern) {
        let error =
            value.error("a regular expression that no path matches").expected("one that begins with `/`");
        return value.fail(error.hint(format!("did you mean \"/{}\"?", pattern.text)));
    }
    Some(pattern)
}

fn begins_as_a_path(pattern: &Pattern) -> bool {
    let begins = pattern.literal_prefix();
    begins.is_empty() || begins.starts_with('/')
}
