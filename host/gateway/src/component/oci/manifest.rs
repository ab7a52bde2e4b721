//! Indexes and manifests (OCI image specification), as far as they lead to a component.

use std::collections::BTreeMap;

use limen_config::Digest;
use serde::Deserialize;

use super::Failure;

/// A layer that is a component, as CNCF's Wasm OCI artifact says it.
pub const COMPONENT: &str = "application/wasm";
/// All types of such layers: tools wrote others before that.
const COMPONENTS: &[&str] = &[
    COMPONENT,
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
/// A layer beside it that is its signature, as minisign writes it.
pub const SIGNATURE: &str = "application/vnd.minisign.signature";
/// What `oras push` calls the layer of a file that it was told no type of: the file as it is, whatever this says. Its
/// name says what it is then.
const FILE: &str = "application/vnd.oci.image.layer.v1.tar";
const TITLE: &str = "org.opencontainers.image.title";
/// What a manifest of an index is called by.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What a digest can lead to, beside blobs.
pub enum Document {
    /// Manifests to choose from.
    Index(Vec<Descriptor>),
    /// Layers.
    Manifest(Vec<Descriptor>),
}

/// What is said of some content.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
}

#[derive(Deserialize)]
struct Written {
    manifests: Option<Vec<Descriptor>>,
    layers: Option<Vec<Descriptor>>,
}

/// The layers of a manifest that are of use.
pub struct Parts<'a> {
    pub component: &'a Descriptor,
    pub signature: Option<&'a Descriptor>,
}

impl Document {
    pub fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let written: Written = serde_json::from_slice(bytes)
            .map_err(|error| Failure::new(format!("its manifest is none: {error}")))?;
        match written {
            Written { manifests: Some(manifests), layers: None } => Ok(Document::Index(manifests)),
            Written { manifests: None, layers: Some(layers) } => Ok(Document::Manifest(layers)),
            // One that is both would be this to one reader and that to another.
            _ => Err(Failure::new("its manifest is none: neither `layers` nor `manifests` alone")),
        }
    }
}

impl Descriptor {
    /// Whether it is a file without a type, whose name ends like this.
    fn is_file(&self, ending: &str) -> bool {
        let title = || self.annotations.as_ref()?.get(TITLE);
        self.media_type == FILE && title().is_some_and(|title| title.ends_with(ending))
    }
}

impl<'a> Parts<'a> {
    pub fn of(layers: &'a [Descriptor]) -> Result<Self, Failure> {
        // Those of one of the types; if there are none, files without a type whose name ends like this.
        let of = |types: &[&str], ending: &str| {
            let mut typed = layers.iter().filter(|layer| types.contains(&&*layer.media_type)).peekable();
            match typed.peek() {
                Some(_) => (typed.next(), typed.next()),
                None => {
                    let mut named = layers.iter().filter(|layer| layer.is_file(ending));
                    (named.next(), named.next())
                }
            }
        };
        let component = match of(COMPONENTS, ".wasm") {
            (Some(component), None) => component,
            (Some(_), Some(_)) => return Err(Failure::new("it has more than one component")),
            (None, _) => {
                let types: Vec<_> = layers.iter().map(|layer| layer.media_type.as_str()).collect();
                let what = format!("it has no layer of the type application/wasm, but {:?}", types);
                return Err(
                    Failure::new(what).hint("`oras push REFERENCE FILE:application/wasm` makes such a layer")
                );
            }
        };
        match of(&[SIGNATURE], ".wasm.minisig") {
            (signature, None) => Ok(Parts { component, signature }),
            _ => Err(Failure::new("it has more than one signature")),
        }
    }
}

/// The manifest of an index that is meant when nobody says which.
pub fn the_one(manifests: &[Descriptor]) -> Result<&Descriptor, Failure> {
    let is_wasm = |it: &&Descriptor| it.platform.as_ref().is_some_and(|it| it.architecture == "wasm");
    let mut wasm = manifests.iter().filter(is_wasm);
    match (manifests, wasm.next(), wasm.next()) {
        ([one], ..) | (_, Some(one), None) => Ok(one),
        ([], ..) => Err(Failure::new("its index is empty")),
        _ => Err(Failure::new("its index has several manifests: which one?")
            .hint("say it with a tag or a digest of its own")),
    }
}

/// The manifest of an index with this tag.
pub fn tagged<'a>(manifests: &'a [Descriptor], tag: &str) -> Result<&'a Descriptor, Failure> {
    let name = |it: &'a Descriptor| it.annotations.as_ref()?.get(REF_NAME).map(String::as_str);
    let mut found = manifests.iter().filter(|it| name(it) == Some(tag));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failure::new(format!("its index has the tag `{tag}` twice"))),
        (None, _) => {
            let known: Vec<_> = manifests.iter().filter_map(name).take(20).collect();
            Err(Failure::new(format!("its index has no tag `{tag}`")).hint(format!("it has {known:?}")))
        }
    }
}

pub fn digest(written: &str) -> Result<Digest, Failure> {
    let what =
        || Failure::new(format!("not a SHA-256 digest: {:?}", written.chars().take(80).collect::<String>()));
    Digest::parse(written).ok_or_else(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = r#""digest": "sha256:aa", "size": 1"#;

    fn layers(types: &[&str]) -> Vec<Descriptor> {
        let layers: Vec<_> =
            types.iter().map(|it| format!(r#"{{ "mediaType": "{it}", {ABOUT} }}"#)).collect();
        let text = format!(r#"{{ "schemaVersion": 2, "layers": [{}] }}"#, layers.join(", "));
        match Document::parse(text.as_bytes()) {
            Ok(Document::Manifest(layers)) => layers,
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn one_layer_is_the_component() {
        for component in COMPONENTS {
            assert!(Parts::of(&layers(&[component])).unwrap().signature.is_none());
            let signed = layers(&["text/plain", SIGNATURE, component]);
            let Parts { component: found, signature } = Parts::of(&signed).unwrap();
            assert_eq!((&*found.media_type, &*signature.unwrap().media_type), (*component, SIGNATURE));
        }
        let wasm = COMPONENT;
        for wrong in
            [&[][..], &["text/plain"], &[wasm, wasm], &[wasm, COMPONENTS[1]], &[wasm, SIGNATURE, SIGNATURE]]
        {
            assert!(Parts::of(&layers(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_without_a_type_is_known_by_its_name() {
        let file = |name: &str| {
            format!(r#"{{ "mediaType": "{FILE}", "annotations": {{ "{TITLE}": "{name}" }}, {ABOUT} }}"#)
        };
        let typed = format!(r#"{{ "mediaType": "{COMPONENT}", {ABOUT} }}"#);
        let layers = |layers: &[String]| {
            let text = format!(r#"{{ "layers": [{}] }}"#, layers.join(", "));
            match Document::parse(text.as_bytes()) {
                Ok(Document::Manifest(layers)) => layers,
                _ => panic!("{text}"),
            }
        };
        let signed = layers(&[file("README.md"), file("a.wasm.minisig"), file("a.wasm")]);
        let Parts { component, signature } = Parts::of(&signed).unwrap();
        assert!(std::ptr::eq(component, &signed[2]) && std::ptr::eq(signature.unwrap(), &signed[1]));
        // A type says more than a name.
        let both = layers(&[file("a.wasm"), typed]);
        assert!(std::ptr::eq(Parts::of(&both).unwrap().component, &both[1]));
        assert!(Parts::of(&layers(&[file("a.wasm"), file("b.wasm")])).is_err());
        assert!(Parts::of(&layers(&[file("a.tar")])).is_err());
    }

    #[test]
    fn an_index_leads_to_one_manifest() {
        let index = |manifests: &str| match Document::parse(
            format!(r#"{{ "manifests": [{manifests}] }}"#).as_bytes(),
        ) {
            Ok(Document::Index(manifests)) => manifests,
            _ => panic!("{manifests}"),
        };
        let of = |architecture: &str, tag: &str| {
            format!(
                r#"{{ "platform": {{ "architecture": "{architecture}" }},
                      "annotations": {{ "{REF_NAME}": "{tag}" }}, {ABOUT} }}"#
            )
        };
        assert!(the_one(&index("")).is_err());
        assert!(the_one(&index(&of("amd64", "1"))).is_ok());
        let two = index(&[of("amd64", "1"), of("wasm", "2")].join(","));
        assert!(std::ptr::eq(the_one(&two).unwrap(), &two[1]));
        assert!(std::ptr::eq(tagged(&two, "1").unwrap(), &two[0]));
        assert!(tagged(&two, "3").is_err());
        let same = index(&[of("wasm", "1"), of("wasm", "1")].join(","));
        assert!(the_one(&same).is_err() && tagged(&same, "1").is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "\"layers\"",
            "{\"layers\": 1}",
            "{\"layers\": [], \"manifests\": []}",
            "{\"layers\": [{}]}",
            "{\"layers\": [{\"digest\": \"\", \"size\": -1}]}",
            &deep,
        ] {
            assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["", "sha256:", "sha256:../../x", "sha512:aa", &"a".repeat(100_000)] {
            assert!(digest(text).unwrap_err().message.len() < 200);
        }
    }
}
