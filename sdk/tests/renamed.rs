//! A crate that knows the SDK by another name, and settings of every shape.

use limen as gateway_sdk;

mod policy {
    use super::gateway_sdk;
    use gateway_sdk::prelude::*;

    #[derive(Deserialize, JsonSchema)]
    #[limen(crate = gateway_sdk)]
    #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
    pub struct Settings {
        pub max_items: u32,
        #[serde(alias = "label", deserialize_with = "shout")]
        pub name: String,
        inner: Inner<u8>,
        pub choice: Choice,
    }

    #[derive(Clone, Default, Deserialize, JsonSchema)]
    #[limen(crate = gateway_sdk)]
    struct Inner<T> {
        values: Vec<T>,
    }

    #[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
    #[limen(crate = gateway_sdk)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    pub enum Choice {
        Nothing,
        Some { of: String },
    }

    impl Default for Settings {
        fn default() -> Self {
            Settings { max_items: 3, name: "none".into(), inner: Inner::default(), choice: Choice::Nothing }
        }
    }

    fn shout<'de, D: gateway_sdk::serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        Ok(<String as Deserialize>::deserialize(from)?.to_uppercase())
    }

    pub struct Renamed {
        pub settings: Settings,
    }

    #[gateway_sdk::policy(crate = gateway_sdk)]
    impl Renamed {
        fn configure(settings: Settings) -> Result<Self> {
            ensure!(settings.inner.values.len() < 3, "too many values");
            Ok(Renamed { settings })
        }

        fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
            response.set_header("x-name", &self.settings.name)?;
            response.set_header("x-choice", &format!("{:?}", self.settings.choice))?;
            response.set_header("x-max", &self.settings.max_items.to_string())?;
            Ok(Flow::Next)
        }
    }
}

use limen::testing;
use policy::Renamed;
use serde_json::json;

#[test]
fn serde_attributes_work_as_usual() {
    let settings =
        json!({ "label": "a", "inner": { "values": [1] }, "choice": { "kind": "some", "of": "b" } });
    let mut renamed = testing::policy::<Renamed>(settings).unwrap();
    let response = renamed.response(testing::response(200)).next();
    assert_eq!(response.value("x-name"), Some("A"));
    assert_eq!(response.value("x-choice"), Some("Some { of: \"b\" }"));
    assert_eq!(response.value("x-max"), Some("3"));
}

#[test]
fn messages_name_the_authors_type() {
    let error = testing::policy::<Renamed>(json!(3)).unwrap_err().to_string();
    assert!(error.contains("expected struct Settings"), "{error}");
    let error = testing::policy::<Renamed>(json!({ "other": 1 })).unwrap_err().to_string();
    assert!(error.contains("unknown field `other`"), "{error}");
}
