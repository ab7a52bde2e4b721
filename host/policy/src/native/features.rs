//! What a build may leave out: cargo features that have policies.

use super::SettingsError;

/// A cargo feature, and whether this build has it.
type Feature = (&'static str, bool);

/// All there are; the default build has them.
pub(super) const ALL: &[Feature] = &[
    ("compress", cfg!(feature = "compress")),
    ("geo", cfg!(feature = "geo")),
    ("graphql", cfg!(feature = "graphql")),
    ("openapi", cfg!(feature = "openapi")),
    ("xml", cfg!(feature = "xml")),
];

/// Those that this build lacks.
pub fn left_out() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter(|(_, is_here)| !is_here).map(|(feature, _)| *feature)
}

/// Tells whoever asks for a policy of a feature that is not among those here how to get it.
pub(super) fn missing(feature: &str, features: &[Feature]) -> SettingsError {
    let with = features.iter().filter(|(known, is_here)| *is_here || *known == feature);
    let with: Vec<_> = with.map(|(known, _)| *known).collect();
    let options = match with.len() == features.len() {
        true => String::new(),
        false => format!(" --no-default-features --features {}", with.join(",")),
    };
    let message = format!("this build of limen is without it, which is in the cargo feature `{feature}`");
    let hint = format!("build one that has it: cargo build --release{options}");
    SettingsError::new("", message).hint(Some(hint))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::native::{Make, NATIVE, Native, plain};

    #[test]
    fn a_policy_that_is_left_out_says_how_to_get_it() {
        let left_out = Native { name: "geo", summary: "", files: &[], make: Make::Feature("geo", None) };
        let error =
            plain(|settings, materials| left_out.build(settings, materials), &json!({})).err().unwrap();
        assert!(error.message.contains("in the cargo feature `geo`"), "{}", error.message);
        let hint = |features: &[Feature]| missing("geo", features).hint.unwrap();
        let [here, gone] = [true, false];
        assert_eq!(
            hint(&[("compress", here), ("geo", gone), ("xml", gone)]),
            "build one that has it: cargo build --release --no-default-features --features compress,geo"
        );
        assert_eq!(
            hint(&[("compress", here), ("geo", gone)]),
            "build one that has it: cargo build --release"
        );
    }

    #[test]
    fn a_policy_is_here_where_its_feature_is() {
        let optional = NATIVE.iter().filter_map(|native| match native.make {
            Make::Always(_) => None,
            Make::Feature(feature, build) => Some((native.name, feature, build.is_some())),
        });
        let optional: Vec<_> = optional.collect();
        for (name, feature, is_here) in &optional {
            assert!(ALL.contains(&(feature, *is_here)), "{name} and {feature}");
        }
        for (feature, _) in ALL {
            assert!(optional.iter().any(|(_, of, _)| of == feature), "{feature} has no policy");
        }
    }

    #[test]
    fn the_gateway_hands_on_every_feature() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        for (feature, _) in ALL {
            assert!(manifest.contains(&format!("\n{feature} = [\"limen-policy/{feature}\"]\n")), "{feature}");
        }
    }
}
