//! Where a request leads: paths and URLs that are filled in from its own.

mod location;
mod template;

pub use location::{Location, without_port};
pub use template::PathTemplate;
