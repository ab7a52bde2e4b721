//! `limen policy pack`: a component as an OCI artifact, in a layout on disk, from where any tool can push it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use limen_config::{Component, Digest, Which};
use limen_wasm::Manifest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{built, look_at, reference};
use crate::StartError;
use crate::component::{COMPONENT, SIGNATURE, signature_of};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What is made of the same component is the same, whenever it is made.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// What was written.
pub struct Packed {
    /// Where it is now: the layout and the tag.
    pub layout: PathBuf,
    pub tag: String,
    pub manifest: Manifest,
    pub digest: Digest,
    pub is_signed: bool,
}

impl Packed {
    /// For machines.
    pub fn json(&self) -> Value {
        let Packed { layout, tag, manifest, digest, is_signed } = self;
        json!({
            "ok": true,
            "component": format!("oci-layout:{}:{tag}", layout.display()),
            "name": manifest.name,
            "version": manifest.version,
            "tag": tag,
            "digest": digest.to_string(),
            "signed": is_signed,
        })
    }
}

/// For people, with what comes next.
impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packed { layout, tag, manifest, digest, is_signed } = self;
        let (layout, signed) = (layout.display(), if *is_signed { "signed" } else { "not signed" });
        writeln!(f, "oci-layout:{layout}:{tag}: {} {}, {signed}", manifest.name, manifest.version)?;
        writeln!(f, "push: skopeo copy oci:{layout}:{tag} docker://REGISTRY/REPOSITORY:{tag}")?;
        write!(f, "use:  component = \"oci://REGISTRY/REPOSITORY:{tag}@{digest}\"")
    }
}

/// Puts a component, with its signature if one lies beside it, into the layout of a folder, by this tag. What is
/// there by other tags stays.
pub fn pack(file: &Path, layout: &Path, tag: Option<&str>) -> Result<Packed, StartError> {
    let file = built(&file.display().to_string())?;
    let (_, manifest) = look_at(&file, None)?;
    let file = Path::new(&file);
    let tag = tag.unwrap_or(&manifest.version).to_owned();
    let place = format!("oci-layout:{}:{tag}", layout.display());
    let asked = Which { tag: Some(tag.clone()), digest: None };
    match reference(&place)? {
        Component::Layout { folder, which } if folder == layout && which == asked => {}
        _ => return Err(StartError::Machine(format!("not a layout and a tag: {place}"))),
    }
    let cant = |error: io::Error| StartError::Machine(format!("{}: {error}", layout.display()));
    let component = fs::read(file).map_err(cant)?;
    let signature = match fs::read(signature_of(file)) {
        Ok(signature) => Some(signature),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(cant(error)),
    };
    let is_signed = signature.is_some();
    let digest =
        Layout { folder: layout }.put(&tag, &manifest, &component, signature.as_deref()).map_err(cant)?;
    Ok(Packed { layout: layout.to_owned(), tag, manifest, digest, is_signed })
}

struct Layout<'a> {
    folder: &'a Path,
}

impl Layout<'_> {
    fn put(
        &self,
        tag: &str,
        about: &Manifest,
        component: &[u8],
        signature: Option<&[u8]>,
    ) -> io::Result<Digest> {
        let mut layers = vec![self.blob(COMPONENT, component)?];
        if let Some(signature) = signature {
            layers.push(self.blob(SIGNATURE, signature)?);
        }
        let config = json!({
            "created": CREATED,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [digest(component).to_string()],
            "component": null,
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(CONFIG, config.to_string().as_bytes())?,
            "layers": layers,
            "annotations": {
                "org.opencontainers.image.title": about.name,
                "org.opencontainers.image.version": about.version,
                "org.opencontainers.image.description": about.description,
            },
        });
        let manifest = manifest.to_string();
        let mut described = self.blob(MANIFEST, manifest.as_bytes())?;
        if let Some(described) = described.as_object_mut() {
            described.insert("annotations".to_owned(), json!({ REF_NAME: tag }));
        }
        self.name(tag, described)?;
        self.place(&self.folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(digest(manifest.as_bytes()))
    }

    /// In the index, in the place of what has the tag now.
    fn name(&self, tag: &str, described: Value) -> io::Result<()> {
        let path = self.folder.join("index.json");
        let mut manifests: Vec<Value> = match fs::read(&path) {
            Ok(index) => {
                let index: Value = serde_json::from_slice(&index)?;
                index.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let tag_of = |it: &Value| it.get("annotations")?.get(REF_NAME)?.as_str().map(str::to_owned);
        manifests.retain(|it| tag_of(it).as_deref() != Some(tag));
        manifests.push(described);
        self.place(&path, json!({ "schemaVersion": 2, "manifests": manifests }).to_string().as_bytes())
    }

    /// Writes a blob, and says what an index or a manifest says of it.
    fn blob(&self, media_type: &str, bytes: &[u8]) -> io::Result<Value> {
        let digest = digest(bytes);
        self.place(&self.folder.join("blobs/sha256").join(digest.hex()), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() }))
    }

    /// Written beside, then renamed: a gateway that looks sees all of it or none.
    fn place(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        fs::write(&beside, bytes)?;
        fs::rename(beside, path)
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}
