//! What wit-bindgen makes of `../wit`: one module for the imports, and one for the export of each
//! hook, so that a component exports only the hooks that its policy has.

#![allow(unsafe_code, reason = "generated: the canonical ABI passes pointers")]
#![allow(clippy::all, missing_docs, unreachable_pub, reason = "generated")]

macro_rules! world {
    ($module:ident, $world:literal, $export:literal $(, $types:literal)?) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../wit",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $export,
                $(with: { $types: crate::host::wasm::bindings::base::limen::policy::types },)?
            });
        }
    };
}

world!(base, "base", "export_base");
world!(on_request, "on-request", "export_on_request", "limen:policy/types@0.1.0");
world!(on_request_body, "on-request-body", "export_on_request_body", "limen:policy/types@0.1.0");
world!(on_request_chunk, "on-request-chunk", "export_on_request_chunk", "limen:policy/types@0.1.0");
world!(on_request_trailers, "on-request-trailers", "export_on_request_trailers", "limen:policy/types@0.1.0");
world!(on_upstream, "on-upstream", "export_on_upstream", "limen:policy/types@0.1.0");
world!(on_response, "on-response", "export_on_response", "limen:policy/types@0.1.0");
world!(on_response_body, "on-response-body", "export_on_response_body", "limen:policy/types@0.1.0");
world!(on_response_chunk, "on-response-chunk", "export_on_response_chunk", "limen:policy/types@0.1.0");
world!(
    on_response_trailers,
    "on-response-trailers",
    "export_on_response_trailers",
    "limen:policy/types@0.1.0"
);
world!(on_log, "on-log", "export_on_log");
world!(on_tick, "on-tick", "export_on_tick");
