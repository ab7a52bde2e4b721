//! Components as OCI artifacts: what a registry or a layout on disk holds of one.

mod real;
mod scripted;

pub use real::{Login, RealRegistry};
pub use scripted::{Ask, Registry, Reply};

use serde_json::{Value, json};
use std::path::Path;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A component with its manifest, and what the manifest names.
#[derive(Clone)]
pub struct Artifact {
    pub manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

impl Artifact {
    /// As CNCF's Wasm OCI artifact says; a signature is one more layer.
    pub fn of(component: &[u8], signature: Option<&str>) -> Artifact {
        let signature = signature.map(|it| ("application/vnd.minisign.signature", it.as_bytes()));
        let layers: Vec<_> = [("application/wasm", component)].into_iter().chain(signature).collect();
        Artifact::of_layers(&layers)
    }

    /// With these layers, each with its type.
    pub fn of_layers(layers: &[(&str, &[u8])]) -> Artifact {
        let config = br#"{"architecture":"wasm","os":"wasip2","layerDigests":[]}"#;
        let described: Vec<_> = layers.iter().map(|(of_type, bytes)| descriptor(of_type, bytes)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.wasm.config.v0+json", config),
            "layers": described,
        });
        let blobs = layers.iter().map(|(_, bytes)| bytes.to_vec()).chain([config.to_vec()]).collect();
        Artifact { manifest: manifest.to_string().into_bytes(), blobs }
    }

    /// As `oras push REFERENCE FILE...` makes one when it is told no types.
    pub fn of_files(files: &[(&str, &[u8])]) -> Artifact {
        let config = b"{}";
        let described = files.iter().map(|(name, bytes)| {
            let mut layer = descriptor("application/vnd.oci.image.layer.v1.tar", bytes);
            layer["annotations"] = json!({ "org.opencontainers.image.title": name });
            layer
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.unknown.artifact.v1",
            "config": descriptor("application/vnd.oci.empty.v1+json", config),
            "layers": described.collect::<Vec<_>>(),
        });
        let blobs = files.iter().map(|(_, bytes)| bytes.to_vec()).chain([config.to_vec()]).collect();
        Artifact { manifest: manifest.to_string().into_bytes(), blobs }
    }

    /// Such as `sha256:e3b0...`, of the manifest.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// What a registry has below `/v2/NAME`, if it has this artifact.
    pub fn at(&self, path: &str) -> Option<&[u8]> {
        let (_, wanted) = path.rsplit_once('/')?;
        let mut all = self.blobs.iter().chain([&self.manifest]);
        all.find(|bytes| digest(bytes) == wanted).map(Vec::as_slice)
    }

    /// Puts it into a layout, by this tag, beside what is there.
    pub fn put_into(&self, layout: &Path, tag: &str) {
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        for bytes in self.blobs.iter().chain([&self.manifest]) {
            std::fs::write(blobs.join(&digest(bytes)["sha256:".len()..]), bytes).unwrap();
        }
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = std::fs::read(layout.join("index.json"));
        let index = index.map_or(json!({}), |index| serde_json::from_slice(&index).unwrap());
        const NAME: &str = "org.opencontainers.image.ref.name";
        let others = index["manifests"].as_array().cloned().unwrap_or_default();
        let mut manifests: Vec<Value> =
            others.into_iter().filter(|other| other["annotations"][NAME] != tag).collect();
        let mut own = descriptor(MANIFEST, &self.manifest);
        own["annotations"] = json!({ NAME: tag });
        manifests.push(own);
        let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
        std::fs::write(layout.join("index.json.new"), index).unwrap();
        std::fs::rename(layout.join("index.json.new"), layout.join("index.json")).unwrap();
    }
}

fn descriptor(of_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": of_type, "digest": digest(bytes), "size": bytes.len() })
}

/// The digest of some bytes, as OCI writes it.
pub fn digest(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
