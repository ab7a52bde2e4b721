//! Which requests go where: the table that finds a route, and what a route then does.

mod table;

mod condition;
mod tree;

mod explain;

mod action;

mod mirror;
mod redirect;
mod respond;
mod rewrite;
mod split;

pub use action::{Action, Forward};
pub use explain::{Question, explain};
pub use mirror::{MirrorCounts, MirrorState};
pub use table::{Ask, Found, RouteTable};

#[cfg(test)]
mod tests;
