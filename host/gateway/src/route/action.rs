//! What a route does with a request that its policies let pass.

use std::collections::BTreeMap;

use limen_config::{ConfigError, Route};

use super::redirect::Redirect;
use super::respond::Fixed;
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
}

impl Action {
    /// `upstreams` are the numbers of all upstreams, by name.
    pub fn build(route: &Route, upstreams: &BTreeMap<&str, usize>) -> Result<Self, ConfigError> {
        Ok(match &route.action {
            limen_config::Action::Forward(forward) => {
                let limen_config::Forward { split, rewrite } = &**forward;
                let rewrite = rewrite.as_ref().map(|rewrite| Box::new(Rewrite::new(rewrite, &route.path)));
                Action::Forward(Forward { split: Split::new(split, upstreams), rewrite })
            }
            limen_config::Action::Redirect(redirect) => {
                Action::Redirect(Box::new(Redirect::new(redirect, &route.path)))
            }
            limen_config::Action::Respond(respond) => {
                Action::Respond(Box::new(Fixed::load(respond, &route.place)?))
            }
        })
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
