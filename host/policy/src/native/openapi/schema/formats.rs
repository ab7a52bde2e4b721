//! Formats that OpenAPI has beside those of JSON Schema.

use jsonschema::ValidationOptions;
use serde_json::{Value, json};

/// The formats of strings.
pub(super) fn ours(options: ValidationOptions<'_>) -> ValidationOptions<'_> {
    options.with_format("byte", is_base64)
}

/// What a format says of numbers.
pub(super) fn of_number(format: &str) -> Option<Value> {
    match format {
        "int32" => Some(json!({ "minimum": i32::MIN, "maximum": i32::MAX })),
        "int64" => Some(json!({ "minimum": i64::MIN, "maximum": i64::MAX })),
        _ => None,
    }
}

/// RFC 4648, section 4.
fn is_base64(text: &str) -> bool {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    text.len().is_multiple_of(4)
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_whole() {
        for good in ["", "YQ==", "YWI=", "YWJj", "+/+/"] {
            assert!(is_base64(good), "{good}");
        }
        for bad in ["Y", "YQ", "YQ=", "Y===", "=", "YW-j", "Y Q="] {
            assert!(!is_base64(bad), "{bad}");
        }
    }
}
