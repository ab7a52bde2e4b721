use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use limen_gateway::StartError;
use limen_policy::native::{Outline, outline};

/// What there is to do with OpenAPI documents
#[derive(clap::Subcommand)]
pub enum OpenApi {
    Routes(Routes),
}

/// Print the routes of an API, a policy that guards them included, as TOML
///
/// A file to include: the document says which operations there are, and you change what they are
/// to be. Paths begin as its `servers` say.
#[derive(clap::Args)]
pub struct Routes {
    /// The document: OpenAPI 3.0 or 3.1, in YAML or JSON
    document: PathBuf,
    /// The name of the upstream
    #[arg(long, default_value = "api")]
    upstream: String,
    /// The name of the policy
    #[arg(long, default_value = "api")]
    policy: String,
    /// What paths begin with, in place of what `servers` say
    #[arg(long)]
    base: Option<String>,
}

impl OpenApi {
    pub fn main(self) -> Result<(), StartError> {
        let OpenApi::Routes(Routes { document, upstream, policy, base }) = self;
        let operations =
            outline(&document, base.as_deref()).map_err(|error| StartError::Machine(error.message))?;
        let base = base.map(|base| format!(", base = {base:?}")).unwrap_or_default();
        let mut text = format!(
            "[policy.{policy:?}]\nuse  = \"openapi\"\nwith = {{ document = {:?}{base} }}\n",
            document.display().to_string(),
        );
        let mut names = BTreeSet::new();
        for operation in &operations {
            let Outline { name, method, .. } = operation;
            let name = free(name, &mut names);
            let path = path(&operation.path);
            let _ = write!(
                text,
                "\n[[route]]\nname     = {name:?}\npath     = {path}\nmethods  = [{method:?}]\npolicies = [{policy:?}]\nupstream = {upstream:?}\n"
            );
        }
        super::say(text.trim_end());
        Ok(())
    }
}

/// A name that no route before it has.
fn free(name: &str, names: &mut BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 2;
    while !names.insert(free.clone()) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}

/// The path of a route, as TOML: a regular expression where a segment is more than a parameter.
fn path(template: &str) -> String {
    let is_simple = template.split('/').all(|segment| !segment.contains(['{', '}']) || is_parameter(segment));
    if is_simple {
        let segments = template.split('/').map(|segment| match segment.strip_prefix('{') {
            Some(name) => format!("{{{}}}", plain(name.trim_end_matches('}'))),
            None => segment.replace(' ', "%20"),
        });
        return format!("{:?}", segments.collect::<Vec<_>>().join("/"));
    }
    let mut regex = String::new();
    let mut rest = template;
    while let Some((text, tail)) = rest.split_once('{') {
        let (name, tail) = tail.split_once('}').unwrap_or((tail, ""));
        let _ = write!(regex, "{}(?<{}>[^/]+)", regex::escape(text), plain(name));
        rest = tail;
    }
    regex.push_str(&regex::escape(rest));
    format!("{{ regex = {regex:?} }}")
}

fn is_parameter(segment: &str) -> bool {
    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| !name.contains(['{', '}']))
}

/// A parameter's name as routes have it.
fn plain(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}
