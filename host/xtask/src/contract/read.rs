//! From WIT to plain names and texts.
#![expect(clippy::indexing_slicing, reason = "what a package refers to is in it")]

use std::fmt::Write;
use std::path::Path;

use wit_parser::{
    Docs, FunctionKind, Handle, Resolve, SourceMap, Type as WitType, TypeDefKind, TypeId, TypeOwner,
    WorldItem, WorldKey,
};

use super::{Contract, Function, Interface, Part, Type, World};

impl Contract {
    /// All files of a folder.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let failed = |error| format!("could not read {}: {error}", folder.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "wit") {
                files.push((path.display().to_string(), std::fs::read_to_string(&path).map_err(failed)?));
            }
        }
        files.sort();
        Contract::parse(files)
    }

    /// `files` are names and texts.
    pub(super) fn parse(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let mut map = SourceMap::default();
        for (name, text) in files {
            map.push_str(&name, text);
        }
        let group = map.parse().map_err(|(map, error)| error.render(&map))?;
        let mut resolve = Resolve::default();
        let package = resolve.push_group(group).map_err(|error| error.to_string())?;
        let package = resolve.packages.get(package).ok_or("the package is not there")?;
        let interfaces = package.interfaces.iter().map(|(name, &id)| {
            let interface = &resolve.interfaces[id];
            let own = |id: TypeId| !matches!(resolve.types[id].kind, TypeDefKind::Type(WitType::Id(_)));
            Interface {
                name: name.clone(),
                docs: text(&interface.docs),
                types: interface
                    .types
                    .values()
                    .filter(|&&id| own(id))
                    .map(|&id| resolve.type_of(id))
                    .collect(),
                functions: interface.functions.values().map(|function| resolve.function(function)).collect(),
            }
        });
        let worlds = package.worlds.iter().map(|(name, &id)| {
            let world = &resolve.worlds[id];
            World {
                name: name.clone(),
                docs: text(&world.docs),
                imports: world.imports.iter().map(|(key, item)| resolve.key(key, item)).collect(),
                exports: world.exports.iter().map(|(key, item)| resolve.key(key, item)).collect(),
            }
        });
        Ok(Contract {
            name: package.name.to_string(),
            docs: text(&package.docs),
            interfaces: interfaces.collect(),
            worlds: worlds.collect(),
        })
    }
}

/// How things of a package are spelt.
trait Spell {
    fn type_of(&self, id: TypeId) -> Type;
    fn function(&self, function: &wit_parser::Function) -> Function;
    fn key(&self, key: &WorldKey, item: &WorldItem) -> String;
    fn spell(&self, of: &WitType) -> String;
    fn spell_kind(&self, kind: &TypeDefKind) -> String;
    /// The type behind other names for it.
    fn meant(&self, of: &WitType) -> Option<TypeId>;
    fn cases(&self, of: &WitType) -> Vec<String>;
}

impl Spell for Resolve {
    fn type_of(&self, id: TypeId) -> Type {
        let def = &self.types[id];
        let part = |name: &str, of: Option<&WitType>, docs: &Docs| Part {
            name: name.to_owned(),
            of: of.map(|of| self.spell(of)).unwrap_or_default(),
            docs: text(docs),
        };
        let parts = match &def.kind {
            TypeDefKind::Record(record) => {
                record.fields.iter().map(|field| part(&field.name, Some(&field.ty), &field.docs)).collect()
            }
            TypeDefKind::Variant(variant) => {
                variant.cases.iter().map(|case| part(&case.name, case.ty.as_ref(), &case.docs)).collect()
            }
            TypeDefKind::Enum(cases) => {
                cases.cases.iter().map(|case| part(&case.name, None, &case.docs)).collect()
            }
            TypeDefKind::Flags(flags) => {
                flags.flags.iter().map(|flag| part(&flag.name, None, &flag.docs)).collect()
            }
            _ => Vec::new(),
        };
        let kind = self.spell_kind(&def.kind);
        Type { name: def.name.clone().unwrap_or_default(), kind, docs: text(&def.docs), parts }
    }

    fn function(&self, function: &wit_parser::Function) -> Function {
        let (resource, own) = match function.kind {
            FunctionKind::Method(id) | FunctionKind::AsyncMethod(id) => (Some(id), 1),
            FunctionKind::Static(id) | FunctionKind::AsyncStatic(id) => (Some(id), 0),
            FunctionKind::Constructor(id) => (Some(id), 0),
            FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => (None, 0),
        };
        let is_constructor = matches!(function.kind, FunctionKind::Constructor(_));
        let name = match resource.and_then(|id| self.types[id].name.as_deref()) {
            Some(resource) if is_constructor => format!("{resource}.constructor"),
            Some(resource) => format!("{resource}.{}", function.item_name()),
            None => function.name.clone(),
        };
        let parameters = function.params.iter().skip(own);
        let parameters: Vec<_> = parameters
            .map(|parameter| format!("{}: {}", parameter.name, self.spell(&parameter.ty)))
            .collect();
        let mut signature = format!("func({})", parameters.join(", "));
        if let Some(result) = function.result.as_ref().filter(|_| !is_constructor) {
            // Writing into memory does not fail.
            let _ = write!(signature, " -> {}", self.spell(result));
        }
        let mut fails = None;
        let mut is_optional = false;
        let mut look = function.result;
        // What is in a list or a result counts as well.
        while let Some(WitType::Id(id)) = look {
            look = match &self.types[id].kind {
                TypeDefKind::Result(result) => {
                    fails = result.err.as_ref().map(|error| self.cases(error));
                    result.ok
                }
                TypeDefKind::Option(_) => {
                    is_optional = true;
                    None
                }
                TypeDefKind::List(of) => Some(*of),
                _ => None,
            };
        }
        Function { name, signature, docs: text(&function.docs), fails, is_optional }
    }

    fn key(&self, key: &WorldKey, _: &WorldItem) -> String {
        match key {
            WorldKey::Name(name) => name.clone(),
            WorldKey::Interface(id) => self.interfaces[*id].name.clone().unwrap_or_default(),
        }
    }

    fn spell(&self, of: &WitType) -> String {
        let WitType::Id(id) = of else {
            return match of {
                WitType::ErrorContext => "error-context".to_owned(),
                primitive => format!("{primitive:?}").to_lowercase(),
            };
        };
        match (self.meant(of).unwrap_or(*id), &self.types[*id]) {
            (meant, def) if def.name.is_some() => {
                let def = &self.types[meant];
                let owner = match def.owner {
                    TypeOwner::Interface(owner) => self.interfaces[owner].name.as_deref(),
                    _ => None,
                };
                format!("{}.{}", owner.unwrap_or_default(), def.name.as_deref().unwrap_or_default())
            }
            (_, def) => self.spell_kind(&def.kind),
        }
    }

    fn spell_kind(&self, kind: &TypeDefKind) -> String {
        let or_nothing = |of: &Option<WitType>| of.as_ref().map_or("_".to_owned(), |of| self.spell(of));
        match kind {
            TypeDefKind::Option(of) => format!("option<{}>", self.spell(of)),
            TypeDefKind::List(of) => format!("list<{}>", self.spell(of)),
            TypeDefKind::Result(result) => {
                format!("result<{}, {}>", or_nothing(&result.ok), or_nothing(&result.err))
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|of| self.spell(of)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Handle(Handle::Own(id)) => self.spell(&WitType::Id(*id)),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.spell(&WitType::Id(*id))),
            TypeDefKind::Type(of) => self.spell(of),
            named => named.as_str().to_owned(),
        }
    }

    fn meant(&self, of: &WitType) -> Option<TypeId> {
        let WitType::Id(id) = of else { return None };
        match &self.types[*id].kind {
            TypeDefKind::Type(inner @ WitType::Id(_)) => self.meant(inner),
            _ => Some(*id),
        }
    }

    fn cases(&self, of: &WitType) -> Vec<String> {
        let Some(id) = self.meant(of) else { return Vec::new() };
        self.type_of(id).parts.into_iter().map(|part| part.name).collect()
    }
}

fn text(docs: &Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().to_owned()
}
