//! A component that can be rewound: what speaks against it, and what it needs for it.

use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption as Option_, Component, ComponentAliasSection,
    ComponentExportKind, ComponentExportSection, ComponentSectionId, ComponentTypeSection, ExportKind,
    PrimitiveValType, RawSection,
};
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentDefinedType, ComponentExternalKind,
    ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration, ExternalKind, Instance,
    InstanceTypeDeclaration, Parser, Payload,
};

use limen_policy::Phase;

use super::memory::StartPages;
use super::module::{self, Module};

/// The export that shows the memory, as a component sees it.
pub(crate) const MEMORY: &str = "limen-memory";

/// The name of a hook's second entrance, which is for the first hook of an exchange.
pub(crate) fn first(phase: Phase) -> String {
    format!("limen-first-{}", phase.name())
}

/// A component with what rewinding needs.
pub(crate) struct Rewindable {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: StartPages,
}

impl Rewindable {
    /// Adds the second entrances; the error says why its isolates can't be rewound.
    pub(crate) fn prepare(bytes: &[u8], hook: impl Fn(Phase) -> String) -> Result<Self, String> {
        let shape = Shape::read(bytes)?;
        let hooks: Vec<_> = Phase::ALL
            .into_iter()
            .filter(|phase| phase.may_be_first())
            .filter_map(|phase| shape.hook(&hook(phase)).map(|hook| (phase, hook)))
            .collect();
        let instance =
            hooks.first().map(|(_, hook)| hook.instance).ok_or("its hooks are not where they usually are")?;
        if hooks.iter().any(|(_, hook)| hook.instance != instance) {
            return Err("its hooks are in several core modules".to_owned());
        }
        let main = shape.module_of(instance)?;
        shape.check_the_others(main)?;
        let module = shape.modules.get(main).ok_or("its core module is not its own")?;
        let start = module.start_pages()?;
        let exports: Vec<_> = hooks.iter().map(|(_, hook)| hook.name).collect();
        let module = module.with_entrances(&exports, first_core)?;
        Ok(Rewindable { bytes: shape.build(main, &module, instance, &hooks)?, start })
    }
}

fn first_core(export: &str) -> String {
    format!("limen:first:{export}")
}

/// A component, read as far as it matters here, with the sizes of its index spaces.
#[derive(Default)]
struct Shape<'a> {
    sections: Vec<Section<'a>>,
    modules: Vec<Module<'a>>,
    /// The module of each core instance; none if it is made of exports.
    instances: Vec<Option<u32>>,
    /// The core functions: the instance and export that they are, if they are one.
    core_functions: Vec<Option<(u32, &'a str)>>,
    lifts: Vec<(u32, u32, Box<[CanonicalOption]>)>,
    functions: u32,
    types: u32,
}

enum Section<'a> {
    Module(&'a [u8]),
    Other(RawSection<'a>),
}

/// How a hook is lifted.
struct Hook<'a> {
    instance: u32,
    name: &'a str,
    ty: u32,
    options: &'a [CanonicalOption],
}

impl<'a> Shape<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut shape = Shape::default();
        let mut depth = 0_u32;
        let mut payloads = Parser::new(0).parse_all(bytes);
        while let Some(payload) = payloads.next() {
            let payload = payload.map_err(|error| error.to_string())?;
            match &payload {
                Payload::ModuleSection { unchecked_range, .. } if depth == 0 => {
                    let module = bytes.get(unchecked_range.clone()).unwrap_or_default();
                    shape.modules.push(Module::read(module)?);
                    shape.sections.push(Section::Module(module));
                    // Its own sections come next.
                    for payload in payloads.by_ref() {
                        if matches!(payload.map_err(|error| error.to_string())?, Payload::End(_)) {
                            break;
                        }
                    }
                    continue;
                }
                Payload::ComponentSection { .. } => {
                    if depth == 0
                        && let Some((id, range)) = payload.as_section()
                    {
                        let data = bytes.get(range).unwrap_or_default();
                        shape.sections.push(Section::Other(RawSection { id, data }));
                    }
                    depth += 1;
                    continue;
                }
                Payload::End(_) => {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                _ => {}
            }
            if depth > 0 {
                // A component within, as wit-component makes them, gives names to what it is given.
                if matches!(
                    payload,
                    Payload::ModuleSection { .. }
                        | Payload::InstanceSection(_)
                        | Payload::ComponentCanonicalSection(_)
                ) {
                    return Err("a component within it has code of its own".to_owned());
                }
                continue;
            }
            if let Some((id, range)) = payload.as_section() {
                let data = bytes.get(range).unwrap_or_default();
                shape.sections.push(Section::Other(RawSection { id, data }));
            }
            shape.note(payload).map_err(|error| error.to_string())??;
        }
        Ok(shape)
    }

    fn note(&mut self, payload: Payload<'a>) -> wasmparser::Result<Result<(), String>> {
        match payload {
            Payload::InstanceSection(reader) => {
                for instance in reader {
                    self.instances.push(match instance? {
                        Instance::Instantiate { module_index, .. } => Some(module_index),
                        Instance::FromExports(_) => None,
                    });
                }
            }
            Payload::ComponentAliasSection(reader) => {
                for alias in reader {
                    match alias? {
                        ComponentAlias::CoreInstanceExport {
                            kind: ExternalKind::Func | ExternalKind::FuncExact,
                            instance_index,
                            name,
                        } => self.core_functions.push(Some((instance_index, name))),
                        ComponentAlias::CoreInstanceExport { .. } => {}
                        ComponentAlias::InstanceExport { kind, .. } => self.count(kind),
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.types += 1,
                        ComponentAlias::Outer { .. } => {
                            return Ok(Err("it takes code from outside".to_owned()));
                        }
                    }
                }
            }
            Payload::ComponentCanonicalSection(reader) => {
                for function in reader {
                    match function? {
                        CanonicalFunction::Lift { core_func_index, type_index, options } => {
                            self.lifts.push((core_func_index, type_index, options));
                            self.functions += 1;
                        }
                        CanonicalFunction::Lower { .. } => self.core_functions.push(None),
                        _ => return Ok(Err("it keeps handles or tasks".to_owned())),
                    }
                }
            }
            Payload::ComponentImportSection(reader) => {
                for import in reader {
                    let kind = import?.ty.kind();
                    if matches!(kind, ComponentExternalKind::Module | ComponentExternalKind::Component) {
                        return Ok(Err("it imports code".to_owned()));
                    }
                    self.count(kind);
                }
            }
            Payload::ComponentExportSection(reader) => {
                for export in reader {
                    self.count(export?.kind);
                }
            }
            Payload::ComponentTypeSection(reader) => {
                for ty in reader {
                    self.types += 1;
                    if has_handles(&ty?) {
                        return Ok(Err("it knows resources, which are kept for it".to_owned()));
                    }
                }
            }
            Payload::ComponentStartSection { .. } => return Ok(Err("it has a start function".to_owned())),
            _ => {}
        }
        Ok(Ok(()))
    }

    fn count(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Func => self.functions += 1,
            ComponentExternalKind::Type => self.types += 1,
            _ => {}
        }
    }

    /// The hook whose core function a core module exports under this name, as wit-bindgen has it.
    fn hook(&self, export: &str) -> Option<Hook<'_>> {
        self.lifts.iter().find_map(|(core, ty, options)| {
            let (instance, name) = (*self.core_functions.get(*core as usize)?)?;
            (name == export).then_some(Hook { instance, name, ty: *ty, options })
        })
    }

    /// The module that this is the only instance of.
    fn module_of(&self, instance: u32) -> Result<usize, String> {
        let module = self.instances.get(instance as usize).copied().flatten();
        let module = module.ok_or("its hooks are not functions of a core module")?;
        match self.instances.iter().filter(|other| **other == Some(module)).count() {
            1 => Ok(module as usize),
            _ => Err("its core module is instantiated more than once".to_owned()),
        }
    }

    fn check_the_others(&self, main: usize) -> Result<(), String> {
        for (number, module) in self.modules.iter().enumerate() {
            if number != main && module.has_mutable_globals() {
                return Err("a core module beside the one with the hooks has globals that change".to_owned());
            }
            if number != main && module.defines_memory() {
                return Err("it has more than one memory".to_owned());
            }
        }
        Ok(())
    }

    /// The component with another main module, and the exports that this one has in addition.
    fn build(
        &self,
        main: usize,
        module: &[u8],
        instance: u32,
        hooks: &[(Phase, Hook<'_>)],
    ) -> Result<Vec<u8>, String> {
        let memory = self.lifts.iter().flat_map(|(_, _, options)| options.iter());
        let memory = memory.copied().find(|option| matches!(option, CanonicalOption::Memory(_)));
        let memory = memory.ok_or("none of its functions is given the memory")?;
        let mut component = Component::new();
        let mut modules = 0..;
        for section in &self.sections {
            match section {
                Section::Other(section) => component.section(section),
                Section::Module(as_written) => {
                    let data = if modules.next() == Some(main) { module } else { as_written };
                    component.section(&RawSection { id: ComponentSectionId::CoreModule as u8, data })
                }
            };
        }
        let mut aliases = ComponentAliasSection::new();
        let mut lifts = CanonicalFunctionSection::new();
        let mut exports = ComponentExportSection::new();
        let mut types = ComponentTypeSection::new();
        // list<u8>, and a function that gives one.
        types.defined_type().list(PrimitiveValType::U8);
        types
            .function()
            .params::<_, wasm_encoder::ComponentValType>([])
            .result(Some(wasm_encoder::ComponentValType::Type(self.types)));
        let firsts = hooks.iter().map(|(phase, hook)| {
            let options = hook.options.iter().copied().map(option).collect::<Option<Vec<_>>>();
            (first(*phase), first_core(hook.name), hook.ty, options)
        });
        let show = (
            MEMORY.to_owned(),
            module::MEMORY.to_owned(),
            self.types + 1,
            option(memory).map(|one| vec![one]),
        );
        let core = u32::try_from(self.core_functions.len()).unwrap_or(u32::MAX);
        for (number, (name, core_name, ty, options)) in (0..).zip(firsts.chain([show])) {
            aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name: &core_name });
            lifts.lift(core + number, ty, options.ok_or("its hooks are lifted in a way not known here")?);
            // An export is a function of its own, so each comes after the ones lifted.
            exports.export(name.as_str(), ComponentExportKind::Func, self.functions + number, None);
        }
        component.section(&aliases).section(&types).section(&lifts).section(&exports);
        Ok(component.finish())
    }
}

/// Whether values of this type, or what an instance of this type exports, can be handles.
fn has_handles(ty: &ComponentType<'_>) -> bool {
    match ty {
        ComponentType::Defined(defined) => matches!(
            defined,
            ComponentDefinedType::Own(_)
                | ComponentDefinedType::Borrow(_)
                | ComponentDefinedType::Future(_)
                | ComponentDefinedType::Stream(_)
        ),
        ComponentType::Instance(declarations) => declarations
            .iter()
            .any(|declaration| matches!(declaration, InstanceTypeDeclaration::Type(ty) if has_handles(ty))),
        ComponentType::Component(declarations) => declarations
            .iter()
            .any(|declaration| matches!(declaration, ComponentTypeDeclaration::Type(ty) if has_handles(ty))),
        ComponentType::Func(_) => false,
        ComponentType::Resource { .. } => true,
    }
}

fn option(option: CanonicalOption) -> Option<Option_> {
    Some(match option {
        CanonicalOption::UTF8 => Option_::UTF8,
        CanonicalOption::UTF16 => Option_::UTF16,
        CanonicalOption::CompactUTF16 => Option_::CompactUTF16,
        CanonicalOption::Memory(index) => Option_::Memory(index),
        CanonicalOption::Realloc(index) => Option_::Realloc(index),
        CanonicalOption::PostReturn(index) => Option_::PostReturn(index),
        _ => return None,
    })
}
