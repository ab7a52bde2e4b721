//! One line for each exchange, when it has ended.

use std::time::Duration;

use limen_policy::Exchange;

/// The name of these lines in the log (`target`).
pub const TARGET: &str = "access";

pub fn write(exchange: &Exchange, time: Duration, sent: u64, complete: bool) {
    let request = &exchange.request;
    tracing::info!(
        target: TARGET,
        id = %exchange.id,
        client = %exchange.client.address.ip(),
        method = %request.method(),
        path = request.uri().path(),
        status = exchange.response.status().as_u16(),
        route = exchange.route.name.as_str(),
        bytes = sent,
        us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
        complete,
    );
}
