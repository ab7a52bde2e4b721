//! `${NAME}` and `${NAME:-default}` in strings are environment variables; `$${` is a literal `${`.
//! They are put in after the TOML is parsed, so that a value can't change the structure.

use std::env::VarError;

/// What is wrong with a `${...}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) message: String,
    pub(crate) hint: String,
}

pub(crate) fn expand(text: &str) -> Result<String, Malformed> {
    expand_with(text, |name| std::env::var(name))
}

fn expand_with(text: &str, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<String, Malformed> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            return Err(Malformed {
                message: "`${` is never closed".to_owned(),
                hint: "an environment variable is `${NAME}`; a literal `${` is `$${`".to_owned(),
            });
        };
        out.push_str(&variable(inside, &lookup)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(inside: &str, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<String, Malformed> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.is_empty() || !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Malformed {
            message: format!("not the name of an environment variable: `{name}`"),
            hint: "write `${NAME}` or `${NAME:-default}`; a literal `${` is `$${`".to_owned(),
        });
    }
    match (lookup(name), default) {
        // As in a shell, `:-` also stands in for a variable that is set but empty.
        (Ok(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Ok(value), _) => Ok(value),
        (Err(VarError::NotPresent), Some(default)) => Ok(default.to_owned()),
        (Err(VarError::NotPresent), None) => Err(Malformed {
            message: format!("environment variable `{name}` is not set"),
            hint: format!("set it, or give a default: `${{{name}:-default}}`"),
        }),
        (Err(VarError::NotUnicode(_)), _) => Err(Malformed {
            message: format!("environment variable `{name}` is not valid UTF-8"),
            hint: "set it to text".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "HOST" => Ok("example.com".to_owned()),
            "EMPTY" => Ok(String::new()),
            "TRICK" => Ok("${HOST}".to_owned()),
            _ => Err(VarError::NotPresent),
        };
        expand_with(text, lookup).map_err(|malformed| malformed.message)
    }

    #[test]
    fn variables() {
        for (text, expected) in [
            ("", ""),
            ("plain $ {} $1", "plain $ {} $1"),
            ("${HOST}", "example.com"),
            ("a.${HOST}:${PORT:-80}/", "a.example.com:80/"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("$${HOST}", "${HOST}"),
            ("$${", "${"),
            ("${TRICK}", "${HOST}"),
            ("/v1/{id}", "/v1/{id}"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        assert_eq!(expand("${NONE}"), Err("environment variable `NONE` is not set".to_owned()));
        assert_eq!(expand("x ${HOST"), Err("`${` is never closed".to_owned()));
        for bad in ["${}", "${1A}", "${A-B}", "${ A}", "${:-x}"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }
}
