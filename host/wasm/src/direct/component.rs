//! A component that is one core module in truth: how it is taken out, to be called and rewound without what is
//! around it.
//!
//! wit-component puts two tiny modules around the one that an author writes. The first has an entry for each function
//! of the host that needs the author's memory, which is not there yet; the second fills these entries when it is.
//! Here each import of the author's module is followed through both to the function of the host that it comes to.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentDefinedType, ComponentExternalKind,
    ComponentOuterAliasKind, ComponentType, ComponentTypeDeclaration, Export, ExternalKind, Instance,
    InstanceTypeDeclaration, InstantiationArg, Parser, Payload,
};

use super::module::{Module, Origin};
use crate::rewind::StartPages;

/// The module of a component, to be instantiated and called by itself.
pub(super) struct CoreModule {
    /// Its imports are named by the host's interfaces (without their versions) and functions.
    pub(super) bytes: Vec<u8>,
    pub(super) start: StartPages,
    /// The export that is the memory of what is passed.
    pub(super) memory: String,
    /// What makes room in it.
    pub(super) realloc: Option<String>,
    /// Whether one of the hooks that look back can.
    pub(super) looks_back: bool,
}

/// A function of the core module that will be called, by the name that wit-bindgen gives it.
pub(super) struct Hook {
    pub(super) name: String,
    /// Whether it may be the first one of an exchange.
    pub(super) may_be_first: bool,
    /// Whether its instance is thrown away after it, so that nothing has to be freed.
    pub(super) is_last: bool,
    /// Whether it is called when the request has gone on, so that its headers have to be there still if it asks for them.
    pub(super) looks_back: bool,
}

/// What of the contract looks at the request's headers.
const HEADS: [&str; 10] = [
    "authority",
    "content-length",
    "cookie",
    "header",
    "header-bytes",
    "header-equals",
    "header-many",
    "header-values",
    "has-header",
    "packed",
];

/// The name of a hook's second entrance, which is for the first hook of an exchange.
pub(super) fn first(export: &str) -> String {
    format!("limen:first:{export}")
}

impl CoreModule {
    /// Takes the module with these hooks out; the error says why that can't be done, or why its isolates could not be
    /// rewound.
    pub(super) fn of(component: &[u8], hooks: &[Hook]) -> Result<Self, String> {
        let elsewhere = "its hooks are not where they usually are";
        let shape = Shape::read(component)?;
        let lifted = hooks.iter().map(|hook| shape.lifted(&hook.name).ok_or(elsewhere));
        let lifted = lifted.collect::<Result<Vec<_>, _>>()?;
        let instance = lifted.first().map(|hook| hook.instance).ok_or(elsewhere)?;
        if lifted.iter().any(|hook| hook.instance != instance) {
            return Err("its hooks are in several core modules".to_owned());
        }
        let main = shape.module_of(instance)?;
        shape.check_the_others(main, instance)?;
        let module = shape.modules.get(main).ok_or("its core module is not its own")?;
        let start = module.start_pages()?;
        let mut options = Options { instance, memory: None, realloc: None };
        for (hook, lifted) in hooks.iter().zip(&lifted) {
            let frees = |option: &&CanonicalOption| matches!(option, CanonicalOption::PostReturn(_));
            options.take(&shape, lifted.options.iter().filter(|option| !(hook.is_last && frees(option))))?;
        }
        let firsts: Vec<_> =
            hooks.iter().filter(|hook| hook.may_be_first).map(|hook| hook.name.as_str()).collect();
        let origins = module.imports().map(|import| shape.origin(&import, instance, &mut options));
        let origins = origins.collect::<Result<Vec<_>, _>>()?;
        let later: Vec<_> =
            hooks.iter().filter(|hook| hook.looks_back).map(|hook| hook.name.as_str()).collect();
        let looks_back = module.imports_reached(&later).is_none_or(|reached| {
            origins.iter().zip(reached).any(|(origin, is_reached)| is_reached && origin.looks_at_headers())
        });
        let bytes = module.rebuilt(&origins, &firsts, first)?;
        let memory = options.memory.ok_or("none of its functions is given the memory")?.to_owned();
        let realloc = options.realloc.map(str::to_owned);
        Ok(CoreModule { bytes, start, memory, realloc, looks_back })
    }
}

impl Origin<'_> {
    fn looks_at_headers(&self) -> bool {
        self.interface == "limen:policy/request" && HEADS.contains(&self.name)
    }
}

/// A component, read as far as it matters here, by its index spaces.
#[derive(Default)]
struct Shape<'a> {
    modules: Vec<Module<'a>>,
    instances: Vec<Instance<'a>>,
    core_functions: Vec<CoreFunction<'a>>,
    /// The instance and export that each is, as all that a component has of these comes from an instance.
    core_memories: Vec<(u32, &'a str)>,
    core_tables: Vec<(u32, &'a str)>,
    /// The names of the instances that are imported.
    component_instances: Vec<Option<&'a str>>,
    /// The functions: the instance and export that they are, if they are one.
    functions: Vec<Option<(u32, &'a str)>>,
    lifts: Vec<(u32, Box<[CanonicalOption]>)>,
}

enum CoreFunction<'a> {
    /// That of a core instance.
    Of(u32, &'a str),
    /// One of the component's world, to be called from within.
    Lowered(u32, Box<[CanonicalOption]>),
}

/// How a core function is lifted.
struct Lifted<'a> {
    instance: u32,
    options: &'a [CanonicalOption],
}

/// An import of a core module, by its names there.
pub(super) struct Wanted<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
}

/// What all that is passed to the module and from it has in common.
struct Options<'a> {
    instance: u32,
    memory: Option<&'a str>,
    realloc: Option<&'a str>,
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
                    // Its own sections come next.
                    for payload in payloads.by_ref() {
                        if matches!(payload.map_err(|error| error.to_string())?, Payload::End(_)) {
                            break;
                        }
                    }
                    continue;
                }
                Payload::ComponentSection { .. } => {
                    depth += 1;
                    continue;
                }
                Payload::End(_) => {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                _ => {}
            }
            if depth == 0 {
                shape.note(payload).map_err(|error| error.to_string())??;
            } else if matches!(
                payload,
                Payload::ModuleSection { .. }
                    | Payload::InstanceSection(_)
                    | Payload::ComponentCanonicalSection(_)
            ) {
                // A component within, as wit-component makes them, gives names to what it is given.
                return Err("a component within it has code of its own".to_owned());
            }
        }
        Ok(shape)
    }

    fn note(&mut self, payload: Payload<'a>) -> wasmparser::Result<Result<(), String>> {
        match payload {
            Payload::InstanceSection(reader) => {
                for instance in reader {
                    self.instances.push(instance?);
                }
            }
            Payload::ComponentInstanceSection(reader) => {
                for instance in reader {
                    instance?;
                    self.component_instances.push(None);
                }
            }
            Payload::ComponentAliasSection(reader) => {
                for alias in reader {
                    if let Err(what) = self.note_alias(&alias?) {
                        return Ok(Err(what));
                    }
                }
            }
            Payload::ComponentCanonicalSection(reader) => {
                for function in reader {
                    match function? {
                        CanonicalFunction::Lift { core_func_index, options, .. } => {
                            self.lifts.push((core_func_index, options));
                            self.functions.push(None);
                        }
                        CanonicalFunction::Lower { func_index, options } => {
                            self.core_functions.push(CoreFunction::Lowered(func_index, options));
                        }
                        _ => return Ok(Err("it keeps handles or tasks".to_owned())),
                    }
                }
            }
            Payload::ComponentImportSection(reader) => {
                for import in reader {
                    let import = import?;
                    match import.ty.kind() {
                        ComponentExternalKind::Module | ComponentExternalKind::Component => {
                            return Ok(Err("it imports code".to_owned()));
                        }
                        ComponentExternalKind::Instance => {
                            self.component_instances.push(Some(import.name.name));
                        }
                        ComponentExternalKind::Func => self.functions.push(None),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(reader) => {
                for export in reader {
                    // An export is one more of its kind.
                    match export?.kind {
                        ComponentExternalKind::Func => self.functions.push(None),
                        ComponentExternalKind::Instance => self.component_instances.push(None),
                        ComponentExternalKind::Module | ComponentExternalKind::Component => {
                            return Ok(Err("it exports code".to_owned()));
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentTypeSection(reader) => {
                for ty in reader {
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

    fn note_alias(&mut self, alias: &ComponentAlias<'a>) -> Result<(), String> {
        match *alias {
            ComponentAlias::CoreInstanceExport { kind, instance_index: instance, name } => match kind {
                ExternalKind::Func | ExternalKind::FuncExact => {
                    self.core_functions.push(CoreFunction::Of(instance, name));
                }
                ExternalKind::Memory => self.core_memories.push((instance, name)),
                ExternalKind::Table => self.core_tables.push((instance, name)),
                _ => {}
            },
            ComponentAlias::InstanceExport { kind, instance_index, name } => match kind {
                ComponentExternalKind::Func => self.functions.push(Some((instance_index, name))),
                ComponentExternalKind::Instance => self.component_instances.push(None),
                ComponentExternalKind::Module | ComponentExternalKind::Component => {
                    return Err("it takes code from elsewhere".to_owned());
                }
                _ => {}
            },
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => {}
            ComponentAlias::Outer { .. } => return Err("it takes code from outside".to_owned()),
        }
        Ok(())
    }

    /// The one function that a core module exports under this name and that is lifted.
    fn lifted(&self, export: &str) -> Option<Lifted<'_>> {
        let mut all = self.lifts.iter().filter_map(|(core, options)| {
            match self.core_functions.get(*core as usize)? {
                CoreFunction::Of(instance, name) if *name == export => {
                    Some(Lifted { instance: *instance, options })
                }
                _ => None,
            }
        });
        all.next().filter(|_| all.next().is_none())
    }

    /// The module that this is the only instance of.
    fn module_of(&self, instance: u32) -> Result<usize, String> {
        let module = self.instances.get(instance as usize).and_then(module_index);
        let module = module.ok_or("its hooks are not functions of a core module")?;
        match self.instances.iter().filter(|other| module_index(other) == Some(module)).count() {
            1 => Ok(module as usize),
            _ => Err("its core module is instantiated more than once".to_owned()),
        }
    }

    /// Whether all other modules only hand on: nothing that they have or do is missed when they are not there.
    fn check_the_others(&self, main: usize, instance: u32) -> Result<(), String> {
        for (number, module) in self.modules.iter().enumerate() {
            if number != main && module.has_mutable_globals() {
                return Err("a core module beside the one with the hooks has globals that change".to_owned());
            }
            if number != main && module.defines_memory() {
                return Err("it has more than one memory".to_owned());
            }
            if number != main && module.fills_memory() {
                return Err("a core module beside the one with the hooks fills its memory".to_owned());
            }
        }
        if self.fillers().count() > 1 || self.core_tables.len() > 1 {
            return Err("it has several tables that its modules share".to_owned());
        }
        let given_table = |filler| self.given(filler, self.module(filler)?.table_import()?.module);
        let is_alias = |filler| matches!(given_table(filler), Some((_, Instance::FromExports(_))));
        if !self.fillers().all(is_alias) || self.core_tables.iter().any(|(of, _)| *of == instance) {
            return Err("the table of the module with the hooks is used by another one".to_owned());
        }
        Ok(())
    }

    /// The function of the host that an import of an instance comes to.
    fn origin(
        &self,
        wanted: &Wanted<'_>,
        instance: u32,
        options: &mut Options<'a>,
    ) -> Result<Origin<'a>, String> {
        let origin = self.lowered(wanted, instance).and_then(|(function, with)| {
            let (instance, name) = (*self.functions.get(function as usize)?)?;
            let interface = (*self.component_instances.get(instance as usize)?)?;
            Some((Origin { interface: interface.split('@').next().unwrap_or_default(), name }, with))
        });
        let Some((origin, with)) = origin else {
            return Err(format!(
                "its import `{}` of `{}` can't be followed to the host",
                wanted.name, wanted.module
            ));
        };
        options.take(self, with)?;
        Ok(origin)
    }

    /// The same as a function of the component's world, and how it is lowered.
    fn lowered(&self, wanted: &Wanted<'_>, instance: u32) -> Option<(u32, &[CanonicalOption])> {
        match self.given(instance, wanted.module)? {
            (_, Instance::FromExports(exports)) => {
                match self.core_functions.get(export(exports, wanted.name, ExternalKind::Func)? as usize)? {
                    CoreFunction::Lowered(function, options) => Some((*function, options)),
                    CoreFunction::Of(instance, name) => self.through_table(*instance, name),
                }
            }
            (instance, Instance::Instantiate { .. }) => self.through_table(instance, wanted.name),
        }
    }

    /// The same for a function that only calls an entry of its table, which another module fills.
    fn through_table(&self, instance: u32, name: &str) -> Option<(u32, &[CanonicalOption])> {
        let (table, slot) = self.module(instance)?.calls_slot(name)?;
        let filler = self.fillers().next()?;
        let (filled, import) = self.module(filler)?.fills(slot)?;
        let (_, Instance::FromExports(exports)) = self.given(filler, filled.module)? else { return None };
        let place = export(exports, filled.name, ExternalKind::Table)?;
        if *self.core_tables.get(place as usize)? != (instance, table) {
            return None;
        }
        let (_, Instance::FromExports(exports)) = self.given(filler, import.module)? else { return None };
        match self.core_functions.get(export(exports, import.name, ExternalKind::Func)? as usize)? {
            CoreFunction::Lowered(function, options) => Some((*function, &**options)),
            CoreFunction::Of(..) => None,
        }
    }

    /// The instances that are given a table, to put something into it.
    fn fillers(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.instances).filter_map(|(number, instance)| {
            let module = self.modules.get(module_index(instance)? as usize)?;
            module.table_import().map(|_| number)
        })
    }

    /// The instance that an instance is given under a name.
    fn given(&self, instance: u32, name: &str) -> Option<(u32, &Instance<'a>)> {
        let Instance::Instantiate { args, .. } = self.instances.get(instance as usize)? else { return None };
        let InstantiationArg { index, .. } = args.iter().find(|given| given.name == name)?;
        Some((*index, self.instances.get(*index as usize)?))
    }

    fn module(&self, instance: u32) -> Option<&Module<'a>> {
        self.modules.get(module_index(self.instances.get(instance as usize)?)? as usize)
    }
}

fn module_index(instance: &Instance<'_>) -> Option<u32> {
    match instance {
        Instance::Instantiate { module_index, .. } => Some(*module_index),
        Instance::FromExports(_) => None,
    }
}

fn export(exports: &[Export<'_>], name: &str, kind: ExternalKind) -> Option<u32> {
    exports.iter().find(|export| export.name == name && export.kind == kind).map(|export| export.index)
}

impl<'a> Options<'a> {
    /// Looks at how something is passed; the error says that this is not how all else is.
    fn take<'b>(
        &mut self,
        shape: &Shape<'a>,
        options: impl IntoIterator<Item = &'b CanonicalOption>,
    ) -> Result<(), String> {
        let otherwise = || "what it passes is passed in a way not known here".to_owned();
        for option in options {
            let (known, (instance, name)) = match *option {
                CanonicalOption::UTF8 => continue,
                CanonicalOption::Memory(index) => {
                    (&mut self.memory, *shape.core_memories.get(index as usize).ok_or_else(otherwise)?)
                }
                CanonicalOption::Realloc(index) => match shape.core_functions.get(index as usize) {
                    Some(CoreFunction::Of(instance, name)) => (&mut self.realloc, (*instance, *name)),
                    _ => return Err(otherwise()),
                },
                _ => return Err(otherwise()),
            };
            if instance != self.instance || *known.get_or_insert(name) != name {
                return Err(otherwise());
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    /// A policy as wit-component puts it together: `enabled` is there when its module starts, `write` comes through the
    /// table, as it needs the memory.
    const POLICY: &str = r#"(component
        (import "limen:policy/log@0.1.0" (instance $log
            (export "enabled" (func (param "level" u8) (result bool)))
            (export "write" (func (param "level" u8) (param "message" string)))))
        (core module $main
            (import "limen:policy/log@0.1.0" "enabled" (func $enabled (param i32) (result i32)))
            (import "limen:policy/log@0.1.0" "write" (func $write (param i32 i32 i32)))
            (memory (export "memory") 1)
            (global $calls (mut i32) (i32.const 3))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 64)
            (func (export "limen:policy/hook-request@0.1.0#on-request") (result i32)
                (call $write (i32.const 2) (i32.const 0) (i32.const 0))
                (call $enabled (i32.const 0))))
        (core module $shim
            (type $write (func (param i32 i32 i32)))
            (table (export "$imports") 2 2 funcref)
            (func (export "0") (type $write)
                local.get 0 local.get 1 local.get 2 i32.const 1 call_indirect (type $write)))
        (core module $fixups
            (import "" "0" (func (param i32 i32 i32)))
            (import "" "1" (func (param i32 i32 i32)))
            (import "" "$imports" (table 2 2 funcref))
            (elem (i32.const 0) func 0 1))
        (core instance $shim (instantiate $shim))
        (alias export $log "enabled" (func $enabled))
        (core func $enabled (canon lower (func $enabled)))
        (core instance $given
            (export "enabled" (func $enabled)) (export "write" (func $shim "0")))
        (core instance $main (instantiate $main (with "limen:policy/log@0.1.0" (instance $given))))
        (alias core export $main "memory" (core memory $memory))
        (alias core export $main "cabi_realloc" (core func $realloc))
        (alias export $log "write" (func $write))
        (core func $other (canon lower (func $write) (memory $memory) (realloc $realloc)))
        (core func $write (canon lower (func $write) (memory $memory) (realloc $realloc)))
        (core instance $filling
            (export "$imports" (table $shim "$imports"))
            (export "0" (func $other))
            (export "1" (func $write)))
        (core instance (instantiate $fixups (with "" (instance $filling))))
        (func $hook (result u8)
            (canon lift (core func $main "limen:policy/hook-request@0.1.0#on-request")))
        (instance $hooks (export "on-request" (func $hook)))
        (export "limen:policy/hook-request@0.1.0" (instance $hooks)))"#;

    fn hooks() -> [Hook; 1] {
        [Hook {
            name: "limen:policy/hook-request@0.1.0#on-request".to_owned(),
            may_be_first: true,
            is_last: false,
            looks_back: false,
        }]
    }

    fn take(text: &str) -> Result<CoreModule, String> {
        CoreModule::of(&wat::parse_str(text).unwrap(), &hooks())
    }

    #[test]
    fn every_import_is_followed_to_the_host() {
        let CoreModule { bytes, memory, realloc, .. } = take(POLICY).unwrap();
        assert_eq!((&*memory, realloc.as_deref()), ("memory", Some("cabi_realloc")));
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, bytes).unwrap();
        let names: Vec<_> =
            module.imports().map(|it| (it.module().to_owned(), it.name().to_owned())).collect();
        let of_log = |name: &str| ("limen:policy/log".to_owned(), name.to_owned());
        assert_eq!(names, [of_log("enabled"), of_log("write")]);
        let linker = crate::direct::linker(&engine).unwrap();
        linker.instantiate_pre(&module).map(drop).unwrap();
    }

    #[test]
    fn what_goes_another_way_is_left_to_wasmtime() {
        let lost = "its import `write` of `limen:policy/log@0.1.0` can't be followed to the host";
        let otherwise = "what it passes is passed in a way not known here";
        for (from, to, because) in [
            // An entry that does something of its own, or calls with other arguments.
            ("i32.const 1 call_indirect", "nop i32.const 1 call_indirect", lost),
            ("local.get 0 local.get 1", "local.get 0 local.get 0", lost),
            ("i32.const 1 call_indirect", "i32.const 2 call_indirect", lost),
            // Nobody fills the entry.
            ("(elem (i32.const 0) func 0 1)", "(elem declare func 0 1)", lost),
            ("(elem (i32.const 0) func 0 1)", "(elem (i32.const 0) func 0)", lost),
            // Something else may have been there before, or come after.
            (
                "(elem (i32.const 0) func 0 1)",
                "(elem (i32.const 0) func 0 1) (elem (i32.const 1) func 0)",
                lost,
            ),
            ("(elem (i32.const 0) func 0 1)", "(elem (i32.const 0) funcref (ref.func 0) (ref.func 1))", lost),
            (
                "(core instance (instantiate $fixups",
                "(core instance (instantiate $fixups (with \"\" (instance $filling)))) (core instance (instantiate $fixups",
                "it has several tables that its modules share",
            ),
            ("#on-request\")", "#on-response\")", "its hooks are not where they usually are"),
            (
                "(realloc $realloc)))\n        (core instance",
                "string-encoding=utf16))\n        (core instance",
                otherwise,
            ),
            (
                "(global $calls (mut i32) (i32.const 3))",
                "(func $a) (start $a)",
                "a core module has a start function",
            ),
            (
                "(memory (export \"memory\") 1)",
                "(memory (export \"memory\") 0)",
                "it has not one plain memory",
            ),
        ] {
            let text = POLICY.replace(from, to);
            assert_ne!(text, POLICY, "{from}");
            assert_eq!(take(&text).err().as_deref(), Some(because), "{to}");
        }
    }

    /// What it answers is freed by a function of its own, which is not called where the instance is thrown away.
    #[test]
    fn a_tick_is_the_last_that_its_instance_does() {
        let text = POLICY
            .replace(
                "(global $calls",
                r#"(func (export "limen:policy/hook-tick@0.1.0#on-tick") (result i32) i32.const 64)
                (func (export "free") (param i32))
                (global $calls"#,
            )
            .replace(
                "(instance $hooks (export",
                r#"(func $tick (result (result (error string)))
                    (canon lift (core func $main "limen:policy/hook-tick@0.1.0#on-tick")
                        (memory $memory) (post-return (func $main "free"))))
                (instance $ticking (export "on-tick" (func $tick)))
                (export "limen:policy/hook-tick@0.1.0" (instance $ticking))
                (instance $hooks (export"#,
            );
        let take = |is_last| {
            let [request] = hooks();
            let name = "limen:policy/hook-tick@0.1.0#on-tick".to_owned();
            let hooks = [request, Hook { name, may_be_first: false, is_last, looks_back: false }];
            CoreModule::of(&wat::parse_str(&text).unwrap(), &hooks).map(|module| module.memory)
        };
        assert_eq!(take(true).unwrap(), "memory");
        assert_eq!(take(false).unwrap_err(), "what it passes is passed in a way not known here");
    }

    #[test]
    fn what_is_broken_is_refused() {
        let whole = wat::parse_str(POLICY).unwrap();
        let (mut seed, mut good) = (11_usize, 0);
        for _ in 0..20_000 {
            let mut broken = whole.clone();
            for _ in 0..2 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) % broken.len();
                broken[at] = (seed >> 24) as u8;
            }
            if seed.is_multiple_of(3) {
                broken.truncate((seed >> 20) % broken.len());
            }
            good += u32::from(CoreModule::of(&broken, &hooks()).is_ok());
        }
        assert!((1..15_000).contains(&good), "{good} were taken");
    }
}
