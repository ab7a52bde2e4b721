//! The quickstart's data: an API that tells its callers more than it should, and shows with which
//! `x-` headers a request arrived.

use super::paths::{as_json, headers_as_json, with_status};
use crate::body::Body;
use http::{HeaderMap, StatusCode};
use hyper::Response;
use serde::Serialize;
use serde_json::{Value, json};

const USERS: &[(u32, &str, &str, &str)] = &[
    (1, "Ada Lovelace", "ada@example.com", "London"),
    (2, "Alan Turing", "alan@example.com", "Manchester"),
    (3, "Grace Hopper", "grace@example.com", "Arlington"),
];

#[derive(Serialize)]
struct User {
    id: u32,
    name: &'static str,
    email: &'static str,
    password_hash: &'static str,
    address: Address,
    asked_with: Value,
}

#[derive(Serialize)]
struct Address {
    city: &'static str,
    ssn: &'static str,
}

#[derive(Serialize)]
struct Order {
    id: u32,
    item: &'static str,
    total: &'static str,
    asked_with: Value,
}

pub(super) fn answer(path: &[&str], headers: &HeaderMap) -> Response<Body> {
    let asked_with = headers_as_json(headers, |name| name.starts_with("x-"));
    let found = match *path {
        ["users", id] => user(id, asked_with).as_ref().map(as_json),
        ["orders", id] => order(id, asked_with).as_ref().map(as_json),
        _ => None,
    };
    found.unwrap_or_else(|| with_status(StatusCode::NOT_FOUND, as_json(&json!({ "error": "no such thing" }))))
}

fn user(id: &str, asked_with: Value) -> Option<User> {
    let wanted: u32 = id.parse().ok()?;
    let &(id, name, email, city) = USERS.iter().find(|it| it.0 == wanted)?;
    let address = Address { city, ssn: "000-12-3456" };
    Some(User { id, name, email, password_hash: "$argon2id$v=19$c2FsdA$8Jx1kq0ZQ2o", address, asked_with })
}

fn order(id: &str, asked_with: Value) -> Option<Order> {
    Some(Order { id: id.parse().ok()?, item: "difference engine", total: "1200.00", asked_with })
}
