//! What operators see: the log, and a line for each exchange.

pub mod access_log;
pub mod log;
