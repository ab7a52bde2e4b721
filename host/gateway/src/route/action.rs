//! What a route does with a request that its policies let pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_config::{ConfigError, Route};
use limen_policy::Fixed;

use super::mirror::{Mirror, MirrorState};
use super::redirect::Redirect;
use super::respond;
use super::rewrite::Rewrite;
use super::split::Split;

/// One of the three, decided at load.
pub enum Action {
    /// On to an upstream.
    Forward(Forward),
    /// Elsewhere, says the gateway.
    Redirect(Box<Redirect>),
    /// The same answer each time.
    Respond(Box<Fixed>),
}

pub struct Forward {
    pub split: Split,
    pub rewrite: Option<Box<Rewrite>>,
    pub mirror: Option<Box<Mirror>>,
}

impl Action {
    /// `upstreams` are the numbers of all upstreams, by name; `mirrors` is what is known of
    /// the copies of routes, by the routes' names.
    pub fn build(
        route: &Route,
        upstreams: &BTreeMap<&str, usize>,
        mirrors: &BTreeMap<&str, &Arc<MirrorState>>,
    ) -> Result<Self, ConfigError> {
        Ok(match &route.action {
            limen_config::Action::Forward(forward) => {
                let limen_config::Forward { split, rewrite, mirror } = &**forward;
                let known = mirrors.get(route.name.as_str()).map(|known| Arc::clone(known));
                let mirror = mirror.as_ref().map(|mirror| Box::new(Mirror::new(mirror, upstreams, known)));
                let rewrite = rewrite.as_ref().map(|rewrite| Box::new(Rewrite::new(rewrite, &route.path)));
                Action::Forward(Forward { split: Split::new(split, upstreams), rewrite, mirror })
            }
            limen_config::Action::Redirect(redirect) => {
                Action::Redirect(Box::new(Redirect::new(redirect, &route.path)))
            }
            limen_config::Action::Respond(fixed) => {
                Action::Respond(Box::new(respond::load(fixed, &route.place)?))
            }
        })
    }

    /// What is known of its copies, if it makes some.
    pub fn mirror(&self) -> Option<&Arc<MirrorState>> {
        match self {
            Action::Forward(Forward { mirror: Some(mirror), .. }) => Some(mirror.state()),
            _ => None,
        }
    }

    /// Whether it asks for the path as it was before policies could change it.
    pub fn remembers_path(&self) -> bool {
        match self {
            Action::Forward(forward) => {
                forward.rewrite.as_ref().is_some_and(|rewrite| rewrite.path.is_some())
            }
            Action::Redirect(_) => true,
            Action::Respond(_) => false,
        }
    }
}
