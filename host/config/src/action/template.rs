//! Texts that are filled in from a request: "/internal/{id}/{rest}"

use crate::RoutePath;
use crate::value::Value;

/// A path, or a URL, with `{name}`s in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// As it was written.
    pub text: String,
    /// "http" or "https", for a URL.
    pub origin: Option<Origin>,
    /// The path, and a query if it was written.
    pub pieces: Vec<Piece>,
}

/// What stands before the path of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// "https://"
    pub scheme: &'static str,
    pub host: OriginHost,
    /// ":8443", or nothing.
    pub port: String,
}

/// Whose the host of a URL is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginHost {
    Literal(String),
    /// `{host}`: the one that the client asked for.
    Asked,
    /// With expressions in it, as it was written. Only of what is read by [`Template::of_location`].
    Computed(String),
}

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    /// `{name}`: what stood for a parameter of the route's path, as it was sent.
    Parameter(String),
    /// `/{rest}`: what `/**` stood for, from its slash on: nothing, "/", or "/and/more".
    Rest,
    /// `{path}`: the whole path.
    Path,
    /// `{consumer.id}`: what an expression comes to, as it was written. Only of what is read by
    /// [`Template::of_path`] and its like.
    Computed(String),
}

impl Template {
    /// A path: what a request is rewritten to.
    pub(crate) fn path(value: &Value<'_>, route: Option<&RoutePath>) -> Option<Template> {
        read(value, "a path like \"/internal/{id}\" or \"/v2/{rest}\"", |text| path(text, route))
    }

    /// A path or a URL: where a client is sent.
    pub(crate) fn location(value: &Value<'_>, route: Option<&RoutePath>) -> Option<Template> {
        const EXPECTED: &str = "a path like \"/new/{rest}\" or a URL like \"https://www.example.com{path}\"";
        read(value, EXPECTED, |text| location(text, route))
    }

    /// "/new" as "/new/{rest}".
    pub(crate) fn prefix(value: &Value<'_>, route: Option<&RoutePath>) -> Option<Template> {
        read(value, "a path like \"/v2\", or \"/\" for none", |text| prefix(text, route))
    }

    /// As [`path`](Self::path), for what is no part of the file itself. In braces may be expressions, too.
    pub fn of_path(text: &str, matched: &RoutePath) -> Result<Template, String> {
        checked(text, |text| path(text, Some(matched))).map_err(Wrong::told)
    }

    /// As [`location`](Self::location), for what is no part of the file itself. In braces may be expressions, too.
    pub fn of_location(text: &str, matched: &RoutePath) -> Result<Template, String> {
        checked(text, |text| location(text, Some(matched))).map_err(Wrong::told)
    }

    /// As [`prefix`](Self::prefix), for what is no part of the file itself.
    pub fn of_prefix(text: &str, matched: &RoutePath) -> Result<Template, String> {
        checked(text, |text| prefix(text, Some(matched))).map_err(Wrong::told)
    }
}

fn path(text: &str, route: Option<&RoutePath>) -> Result<Template, Wrong> {
    match begins_path(text) {
        true if literals(text).any(|literal| literal.contains('?')) => {
            wrong("a query in a path", "the request's own goes on as it is")
        }
        true => Ok(Template { text: text.to_owned(), origin: None, pieces: pieces(text, route)? }),
        false => wrong("a path must start with `/`", "`/` or `{path}` comes first"),
    }
}

fn location(text: &str, route: Option<&RoutePath>) -> Result<Template, Wrong> {
    let (origin, path) = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '{']) => {
            let (authority, path) = rest.split_at_checked(authority_end(rest)).unwrap_or((rest, ""));
            (Some(origin(scheme, authority)?), path)
        }
        _ if begins_path(text) => (None, text),
        _ => {
            return wrong("neither a path nor a URL", "`/`, `{path}`, `https://` or `http://` comes first");
        }
    };
    let path = if begins_path(path) { path.to_owned() } else { format!("/{path}") };
    Ok(Template { text: text.to_owned(), origin, pieces: pieces(&path, route)? })
}

fn prefix(text: &str, route: Option<&RoutePath>) -> Result<Template, Wrong> {
    if route.is_some_and(|route| !route.has_rest()) {
        return wrong("a prefix for a path without `/**`", "with `path` all of it is rewritten");
    }
    if !text.starts_with('/') || text.contains(['?', '{']) {
        return wrong("not a path", "a plain one that starts with `/`");
    }
    let mut pieces = pieces(text.trim_end_matches('/'), route)?;
    pieces.push(Piece::Rest);
    Ok(Template { text: text.to_owned(), origin: None, pieces })
}

struct Wrong {
    message: String,
    hint: String,
}

fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { message: message.into(), hint: hint.into() })
}

impl Wrong {
    /// In one line.
    fn told(self) -> String {
        format!("{}; {}", self.message, self.hint)
    }
}

fn read(
    value: &Value<'_>,
    expected: &str,
    parse: impl Fn(&str) -> Result<Template, Wrong>,
) -> Option<Template> {
    let text = value.text(expected)?;
    match checked(&text, parse).and_then(uncomputed) {
        Ok(template) => Some(template),
        Err(Wrong { message, hint }) => {
            value.fail(value.error(format!("{message}: `{text}`")).expected(expected).hint(hint))
        }
    }
}

/// What was parsed of a text that URLs can have.
fn checked(text: &str, parse: impl Fn(&str) -> Result<Template, Wrong>) -> Result<Template, Wrong> {
    let sendable =
        |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '\\' | '"' | '<' | '>' | '^' | '`' | '|');
    match literals(text).flat_map(str::chars).find(|c| !sendable(*c)) {
        Some('#') => wrong("a fragment", "leave out what follows `#`"),
        Some(_) => wrong("a character that URLs can't have", "write it percent-encoded, like `%20`"),
        None => parse(text),
    }
}

/// Only policies compute: of the file itself every name has to be one of the route's.
fn uncomputed(template: Template) -> Result<Template, Wrong> {
    let of_host = template.origin.iter().find_map(|origin| match &origin.host {
        OriginHost::Computed(text) => Some(text.clone()),
        _ => None,
    });
    let computed = template.pieces.iter().find_map(|piece| match piece {
        Piece::Computed(text) => Some(format!("{{{text}}}")),
        _ => None,
    });
    match of_host.or(computed) {
        None => Ok(template),
        Some(text) => wrong(
            format!("an expression `{text}` in a route's own settings"),
            "names are like `{id}`; the policies `rewrite` and `redirect` take expressions",
        ),
    }
}

/// What does not stand in braces.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (literal, after) = match next_name(rest?) {
            Some((literal, Some(_), after)) => (literal, Some(after)),
            _ => (rest?, None),
        };
        rest = after;
        Some(literal)
    })
}

/// Where the `}` of the `{` at the start is: not one in a text or of a map within.
pub fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn begins_path(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("{path}")
}

/// Where the path begins behind a host, or what may have expressions in it.
fn authority_end(text: &str) -> usize {
    let mut rest = text;
    while let Some((literal, Some(name), after)) = next_name(rest) {
        let begin = text.len() - rest.len();
        match literal.find(['/', '?']) {
            Some(end) => return begin + end,
            None if name == "path" => return begin + literal.len(),
            None => rest = after,
        }
    }
    text.len() - rest.len() + rest.find(['/', '?']).unwrap_or(rest.len())
}

fn origin(scheme: &str, authority: &str) -> Result<Origin, Wrong> {
    let scheme = match scheme {
        "http" => "http://",
        "https" => "https://",
        other => return wrong(format!("an unknown scheme `{other}`"), "`http` or `https`"),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains([']', '}']) => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port.map(str::parse::<u16>) {
        None => String::new(),
        Some(Ok(port)) if port > 0 => format!(":{port}"),
        Some(_) => return wrong("not a port", "a number from 1 to 65535"),
    };
    if host == "{host}" {
        return Ok(Origin { scheme, host: OriginHost::Asked, port });
    }
    let mut rest = host;
    while let Some((_, name, after)) = next_name(rest) {
        // What a client writes into a path must not decide where others are sent.
        if name.is_none_or(is_name) {
            return wrong(
                "a parameter in a host",
                "a literal host, or `{host}` for the one that was asked for",
            );
        }
        rest = after;
    }
    if rest != host {
        return Ok(Origin { scheme, host: OriginHost::Computed(host.to_owned()), port });
    }
    match crate::Host::name(host) {
        Some(host) => Ok(Origin { scheme, host: OriginHost::Literal(host), port }),
        None => wrong("not a host", "a literal host, or `{host}` for the one that was asked for"),
    }
}

fn pieces(text: &str, route: Option<&RoutePath>) -> Result<Vec<Piece>, Wrong> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, name, after)) = next_name(rest) {
        let Some(name) = name else { return wrong("a `{` without its `}`", "names are like `{id}`") };
        let known = route.is_none_or(|route| route.parameters().contains(&name));
        let (literal, piece) = match name {
            name if route.is_some() && known => (literal, Piece::Parameter(name.to_owned())),
            "rest" if route.is_none_or(RoutePath::has_rest) => match literal.strip_suffix('/') {
                Some(literal) => (literal, Piece::Rest),
                None => {
                    return wrong(
                        "`{rest}` without `/` before it",
                        "it stands for whole segments, as in \"/new/{rest}\"",
                    );
                }
            },
            "path" => (literal, Piece::Path),
            // The route's path is wrong itself.
            _ if route.is_none() => (literal, Piece::Path),
            name if !is_name(name) => (literal, Piece::Computed(name.to_owned())),
            name => return wrong(format!("an unknown name `{{{name}}}`"), names(route)),
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        pieces.push(piece);
        rest = after;
    }
    if rest.contains('}') {
        return wrong("a `}` without its `{`", "names are like `{id}`");
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

/// What comes before the next `{`, the name in it if it ends, and what comes after.
fn next_name(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let (literal, braced) = text.split_at_checked(text.find('{')?)?;
    let Some(end) = closing_brace(braced) else { return Some((literal, None, "")) };
    Some((literal, Some(braced.get(1..end)?), braced.get(end + 1..)?))
}

/// What can only be meant as a name of the path.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What could have been meant.
fn names(route: Option<&RoutePath>) -> String {
    let parameters = route.map(RoutePath::parameters).unwrap_or_default();
    let rest = route.is_some_and(RoutePath::has_rest).then_some("rest");
    crate::suggest::one_of(parameters.into_iter().chain(rest).chain(["path"]))
}
