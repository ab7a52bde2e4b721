//! Which requests go where: the table that finds a route, and what a route then does.

mod table;

mod condition;
mod tree;

mod action;

mod redirect;
mod respond;
mod rewrite;
mod split;
mod template;

pub use action::{Action, Forward};
pub use table::{Ask, Found, RouteTable};

#[cfg(test)]
mod tests;
