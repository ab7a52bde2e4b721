//! What a route does: `upstream`, `redirect` or `respond`

mod mirror;
mod redirect;
mod respond;
mod rewrite;
mod split;
mod template;

use crate::RoutePath;
use crate::scope::Scope;
use crate::section::Section;

pub use mirror::Mirror;
pub use redirect::{Redirect, RedirectQuery};
pub use respond::{FixedBody, Respond};
pub use rewrite::Rewrite;
pub use split::{Split, SplitBy, Weighted};
pub use template::{Origin, OriginHost, Piece, Template, closing_brace};

/// One of `upstream`, `redirect` and `respond`: what a route does with a request that its policies let
/// pass. Exactly one of them stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `upstream`: the request goes on.
    Forward(Box<Forward>),
    /// `redirect`: the client is sent elsewhere.
    Redirect(Redirect),
    /// `respond`: the answer is always the same.
    Respond(Respond),
}

/// `upstream`, with `split_by`, `rewrite` and `mirror`: where a request goes, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// `upstream`, `split_by`: to whom.
    pub split: Split,
    /// `rewrite`: what the upstream is asked for instead of what the client asked for. Left out: the same.
    pub rewrite: Option<Rewrite>,
    /// `mirror`: to whom copies go as well. Left out: to nobody.
    pub mirror: Option<Mirror>,
}

/// Keys that mean nothing without `upstream`.
const OF_FORWARD: &[&str] = &["split_by", "rewrite", "mirror"];

impl Action {
    /// `path` is the route's, if it is a good one.
    pub(crate) fn read(section: &Section<'_>, path: Option<&RoutePath>, scope: &Scope<'_>) -> Option<Action> {
        // All are known and read, for their own mistakes.
        let _ = section.get("upstream");
        let redirect = section.optional("redirect", |value| Redirect::read(&value.section()?, path));
        let respond = section.optional("respond", |value| Respond::read(&value.section()?));
        let written: Vec<&str> = ["upstream", "redirect", "respond"]
            .into_iter()
            .filter(|key| section.peek(key).is_some())
            .collect();
        let forward = match written.as_slice() {
            // Without any of them it is `upstream` that is missing.
            [] | ["upstream", ..] => Forward::read(section, path, scope),
            [other, ..] => {
                for key in OF_FORWARD {
                    if let Some(value) = section.get(key) {
                        let error = value.error(format!("`{key}` beside `{other}`"));
                        value.fail::<()>(error.expected(format!("`{key}` only beside `upstream`")));
                    }
                }
                None
            }
        };
        if let [one, other, ..] = written.as_slice() {
            let message = format!("both `{one}` and `{other}`");
            return section.fail(&message, "exactly one of `upstream`, `redirect`, `respond`");
        }
        match (redirect?, respond?) {
            (Some(redirect), _) => Some(Action::Redirect(redirect)),
            (_, Some(respond)) => Some(Action::Respond(respond)),
            _ => forward.map(Box::new).map(Action::Forward),
        }
    }

    /// Where it leads, if that is a single upstream.
    pub fn upstream(&self) -> Option<&str> {
        match self {
            Action::Forward(forward) => forward.split.only(),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }

    /// The file that it answers with.
    pub fn file(&self) -> Option<&std::path::PathBuf> {
        match self {
            Action::Respond(Respond { body: FixedBody::File(file), .. }) => Some(file),
            _ => None,
        }
    }
}

impl Forward {
    fn read(section: &Section<'_>, path: Option<&RoutePath>, scope: &Scope<'_>) -> Option<Forward> {
        let split = Split::read(section, scope);
        let rewrite = section.optional("rewrite", |value| Rewrite::read(&value.section()?, path));
        let mirror = section.optional("mirror", |value| Mirror::read(&value.section()?, scope));
        Some(Forward { split: split?, rewrite: rewrite?, mirror: mirror? })
    }
}
