//! The core modules of a component: whether anything of theirs can change that can't be put back, what they hand on
//! to each other, and the one that has the hooks with second entrances and with imports of the host's.

use std::collections::HashMap;

use wasm_encoder::{Encode, ExportKind, Function, Instruction};
use wasmparser::{
    CompositeInnerType, ConstExpr, DataKind, ElementItems, ElementKind, ExternalKind, FuncType, FunctionBody,
    GlobalType, Import, MemoryType, Operator, Parser, Payload, TypeRef, ValType,
};

use super::component::Wanted;
use crate::rewind::StartPages;

/// The function of the host that an import comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    /// Without its version.
    pub(super) interface: &'a str,
    pub(super) name: &'a str,
}

/// Functions that a module puts into a table, from an entry on.
struct Elements {
    table: u32,
    from: u32,
    functions: Vec<u32>,
}

/// One core module, read.
#[derive(Default)]
pub(super) struct Module<'a> {
    /// All sections in their order: their numbers and what is in them.
    sections: Vec<(u8, &'a [u8])>,
    types: Vec<Option<FuncType>>,
    imports: Vec<Import<'a>>,
    /// The types of the functions, imported ones first.
    functions: Vec<u32>,
    /// What the functions do that are its own.
    bodies: Vec<FunctionBody<'a>>,
    imported_globals: u32,
    globals: Vec<(GlobalType, ConstExpr<'a>)>,
    memories: Vec<MemoryType>,
    imports_memory: bool,
    /// The functions that are exported.
    exports: HashMap<&'a str, u32>,
    exported_tables: HashMap<u32, &'a str>,
    /// What it puts into tables when it starts; none where that can't be told.
    elements: Vec<Option<Elements>>,
    /// The functions in its segments for tables; none where some can't be told.
    in_tables: Option<Vec<u32>>,
    data: Vec<(usize, &'a [u8])>,
}

impl<'a> Module<'a> {
    /// Reads one; the error says what of it can't be put back.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut module = Module { in_tables: Some(Vec::new()), ..Module::default() };
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| error.to_string())?;
            if let Some((number, range)) = payload.as_section() {
                module.sections.push((number, bytes.get(range).unwrap_or_default()));
            }
            module.note(payload).map_err(|error| error.to_string())??;
        }
        Ok(module)
    }

    fn note(&mut self, payload: Payload<'a>) -> wasmparser::Result<Result<(), String>> {
        match payload {
            Payload::TypeSection(reader) => {
                for group in reader {
                    for sub in group?.types() {
                        self.types.push(match &sub.composite_type.inner {
                            CompositeInnerType::Func(function) => Some(function.clone()),
                            _ => None,
                        });
                    }
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    let import = import?;
                    self.imports.push(import);
                    match import.ty {
                        TypeRef::Func(index) => self.functions.push(index),
                        TypeRef::Global(_) => self.imported_globals += 1,
                        TypeRef::Memory(_) => self.imports_memory = true,
                        TypeRef::Table(_) => {}
                        _ => return Ok(Err("a core module imports what is not known here".to_owned())),
                    }
                }
            }
            Payload::FunctionSection(reader) => {
                for index in reader {
                    self.functions.push(index?);
                }
            }
            Payload::GlobalSection(reader) => {
                for global in reader {
                    let global = global?;
                    self.globals.push((global.ty, global.init_expr));
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    self.memories.push(memory?);
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Func => _ = self.exports.insert(export.name, export.index),
                        ExternalKind::Table => _ = self.exported_tables.insert(export.index, export.name),
                        _ => {}
                    }
                }
            }
            Payload::ElementSection(reader) => {
                for segment in reader {
                    let segment = segment?;
                    let functions: Option<Vec<u32>> = match segment.items {
                        ElementItems::Functions(functions) => {
                            Some(functions.into_iter().collect::<wasmparser::Result<_>>()?)
                        }
                        ElementItems::Expressions(..) => None,
                    };
                    self.in_tables = self.in_tables.take().zip(functions.as_ref()).map(|(mut all, these)| {
                        all.extend(these);
                        all
                    });
                    let ElementKind::Active { table_index, offset_expr } = segment.kind else { continue };
                    self.elements.push(match (constant(&offset_expr)?, functions) {
                        (Some(Instruction::I32Const(from)), Some(functions)) => {
                            let (table, from) = (table_index.unwrap_or(0), from.cast_unsigned());
                            Some(Elements { table, from, functions })
                        }
                        _ => None,
                    });
                }
            }
            Payload::StartSection { .. } => return Ok(Err("a core module has a start function".to_owned())),
            Payload::DataSection(reader) => {
                for segment in reader {
                    let segment = segment?;
                    let DataKind::Active { offset_expr, .. } = segment.kind else { continue };
                    let Some(Instruction::I32Const(at)) = constant(&offset_expr)? else {
                        return Ok(Err("a data segment is where only a new instance knows".to_owned()));
                    };
                    self.data.push((at.cast_unsigned() as usize, segment.data));
                }
            }
            Payload::CodeSectionEntry(body) => {
                let stays = changes_what_stays(&body)?;
                self.bodies.push(body);
                return Ok(stays);
            }
            _ => {}
        }
        Ok(Ok(()))
    }

    /// Whether it has globals that change.
    pub(super) fn has_mutable_globals(&self) -> bool {
        self.globals.iter().any(|(global, _)| global.mutable)
    }

    /// The table that it is given, to put something into it.
    pub(super) fn table_import(&self) -> Option<Wanted<'a>> {
        let table = self.imports.iter().find(|import| matches!(import.ty, TypeRef::Table(_)))?;
        Some(Wanted { module: table.module, name: table.name })
    }

    /// Whether it puts something into another one's memory.
    pub(super) fn fills_memory(&self) -> bool {
        self.imports_memory && !self.data.is_empty()
    }

    pub(super) fn defines_memory(&self) -> bool {
        !self.memories.is_empty()
    }

    /// What its memory holds in a new instance.
    pub(super) fn start_pages(&self) -> Result<StartPages, String> {
        let memory = match *self.memories {
            [memory] if !self.imports_memory && !memory.memory64 && !memory.shared && memory.initial > 0 => {
                memory
            }
            _ => return Err("it has not one plain memory".to_owned()),
        };
        if memory.page_size_log2.is_some_and(|log2| log2 != 16) {
            return Err("its memory has pages of another size".to_owned());
        }
        let bytes = usize::try_from(memory.initial).unwrap_or(usize::MAX).saturating_mul(64 << 10);
        // Read from a component that has been instantiated, so it is within limits.
        let mut pages = StartPages::blank(bytes);
        match self.data.iter().all(|(at, data)| pages.put(*at, data)) {
            true => Ok(pages),
            false => Err("a data segment lies beyond the memory".to_owned()),
        }
    }

    /// What it imports.
    pub(super) fn imports(&self) -> impl Iterator<Item = Wanted<'a>> {
        self.imports.iter().map(|import| Wanted { module: import.module, name: import.name })
    }

    /// The exported table, and the entry of it, that an exported function calls with what it was given and does nothing
    /// else.
    pub(super) fn calls_slot(&self, export: &str) -> Option<(&'a str, u32)> {
        let function = *self.exports.get(export)?;
        let ty = *self.functions.get(function as usize)?;
        let parameters = self.types.get(ty as usize)?.as_ref()?.params().len();
        let imported = self.functions.len().checked_sub(self.bodies.len())?;
        let body = self.bodies.get((function as usize).checked_sub(imported)?)?;
        let mut operators = body.get_operators_reader().ok()?;
        let mut next = || operators.read().ok();
        for parameter in 0..parameters {
            match next()? {
                Operator::LocalGet { local_index } if local_index as usize == parameter => {}
                _ => return None,
            }
        }
        let Operator::I32Const { value } = next()? else { return None };
        match next()? {
            Operator::CallIndirect { type_index, table_index } if type_index == ty => {
                matches!(next()?, Operator::End).then_some(())?;
                Some((*self.exported_tables.get(&table_index)?, value.cast_unsigned()))
            }
            _ => None,
        }
    }

    /// The table that it imports and fills, and the function that it imports and puts into this entry.
    pub(super) fn fills(&self, slot: u32) -> Option<(Wanted<'a>, Wanted<'a>)> {
        let of = |kind: fn(&TypeRef) -> bool, index: u32| {
            let import = self.imports.iter().filter(|import| kind(&import.ty)).nth(index as usize)?;
            Some(Wanted { module: import.module, name: import.name })
        };
        let [Some(Elements { table, from, functions })] = &*self.elements else { return None };
        let function = *functions.get(slot.checked_sub(*from)? as usize)?;
        let table = of(|ty| matches!(ty, TypeRef::Table(_)), *table)?;
        Some((table, of(|ty| matches!(ty, TypeRef::Func(_)), function)?))
    }

    /// Which of its imported functions can be called from these exports on; none where that can't be told. A function
    /// that is in a table may be called by everything that calls through one.
    pub(super) fn imports_reached(&self, exports: &[&str]) -> Option<Vec<bool>> {
        let imported = self.functions.len().checked_sub(self.bodies.len())?;
        let mut reached = vec![false; self.functions.len()];
        let mut next: Vec<_> =
            exports.iter().map(|name| self.exports.get(name).copied()).collect::<Option<_>>()?;
        let mut through_tables = false;
        while let Some(function) = next.pop() {
            if std::mem::replace(reached.get_mut(function as usize)?, true) {
                continue;
            }
            let Some(own) = (function as usize).checked_sub(imported) else { continue };
            let mut operators = self.bodies.get(own)?.get_operators_reader().ok()?;
            while !operators.eof() {
                match operators.read().ok()? {
                    Operator::Call { function_index }
                    | Operator::ReturnCall { function_index }
                    | Operator::RefFunc { function_index } => next.push(function_index),
                    Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. }
                        if !through_tables =>
                    {
                        through_tables = true;
                        next.extend(self.in_tables.as_ref()?);
                    }
                    Operator::CallRef { .. } | Operator::ReturnCallRef { .. } => return None,
                    _ => {}
                }
            }
        }
        reached.truncate(imported);
        Some(reached)
    }

    /// The module with imports of these origins, one for each of its own, and a second entrance for each of these
    /// exports, under the name that `first` makes.
    pub(super) fn rebuilt(
        &self,
        origins: &[Origin<'_>],
        exports: &[&str],
        first: impl Fn(&str) -> String,
    ) -> Result<Vec<u8>, String> {
        let broken = || "a hook is not where it should be".to_owned();
        let resets = self.resets()?;
        let mut added = Added { functions: count(&self.functions), ..Added::default() };
        for export in exports {
            let original = *self.exports.get(export).ok_or_else(broken)?;
            let ty = *self.functions.get(original as usize).ok_or_else(broken)?;
            let parameters =
                self.types.get(ty as usize).and_then(Option::as_ref).ok_or_else(broken)?.params();
            let mut body = Function::new([]);
            resets.iter().for_each(|instruction| {
                body.instruction(instruction);
            });
            for local in 0..count(parameters) {
                body.instruction(&Instruction::LocalGet(local));
            }
            body.instruction(&Instruction::Call(original));
            body.instruction(&Instruction::End);
            added.function(&first(export), ty, &body);
        }
        let mut imports = wasm_encoder::ImportSection::new();
        for (origin, import) in origins.iter().zip(&self.imports) {
            let TypeRef::Func(ty) = import.ty else {
                return Err("it imports what is not a function".to_owned());
            };
            imports.import(origin.interface, origin.name, wasm_encoder::EntityType::Function(ty));
        }
        let mut section = Vec::new();
        imports.encode(&mut section);
        // As encoded it begins with its size.
        let mut reader = wasmparser::BinaryReader::new(&section, 0);
        reader.read_var_u32().map_err(|error| error.to_string())?;
        let imports = section.get(reader.original_position()..).unwrap_or_default();
        Ok(added.to(&self.sections, imports))
    }

    /// Sets every global that changes to what it is in a new instance.
    fn resets(&self) -> Result<Vec<Instruction<'static>>, String> {
        let mut resets = Vec::new();
        for (index, (global, start)) in (self.imported_globals..).zip(&self.globals) {
            if !global.mutable {
                continue;
            }
            let number =
                matches!(global.content_type, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
            match constant(start) {
                Ok(Some(value)) if number => resets.extend([value, Instruction::GlobalSet(index)]),
                _ => return Err("a global starts with what only a new instance knows".to_owned()),
            }
        }
        Ok(resets)
    }
}

/// What is added to a module, by section.
#[derive(Default)]
struct Added {
    /// How many there are already.
    functions: u32,
    function_section: Vec<u8>,
    export_section: Vec<u8>,
    code_section: Vec<u8>,
    bodies: u32,
}

impl Added {
    fn function(&mut self, name: &str, ty: u32, body: &Function) {
        ty.encode(&mut self.function_section);
        name.encode(&mut self.export_section);
        ExportKind::Func.encode(&mut self.export_section);
        (self.functions + self.bodies).encode(&mut self.export_section);
        body.encode(&mut self.code_section);
        self.bodies += 1;
    }

    fn to(&self, sections: &[(u8, &[u8])], imports: &[u8]) -> Vec<u8> {
        let mut module = wasm_encoder::Module::HEADER.to_vec();
        for &(number, data) in sections {
            let data = if number == 2 { imports } else { data };
            let added: Option<(u32, &[u8])> = match number {
                3 => Some((self.bodies, &self.function_section)),
                7 => Some((self.bodies, &self.export_section)),
                10 => Some((self.bodies, &self.code_section)),
                _ => None,
            };
            let longer = added.and_then(|(items, more)| longer(data, items, more));
            module.push(number);
            longer.as_deref().unwrap_or(data).encode(&mut module);
        }
        module
    }
}

/// A section that begins with the number of its items, with more of them.
fn longer(section: &[u8], items: u32, more: &[u8]) -> Option<Vec<u8>> {
    let mut reader = wasmparser::BinaryReader::new(section, 0);
    let before = reader.read_var_u32().ok()?;
    let mut longer = Vec::with_capacity(section.len() + more.len() + 5);
    (before + items).encode(&mut longer);
    longer.extend_from_slice(section.get(reader.original_position()..)?);
    longer.extend_from_slice(more);
    Some(longer)
}

/// Refuses instructions whose effect is neither in memory nor in a global.
fn changes_what_stays(body: &FunctionBody<'_>) -> wasmparser::Result<Result<(), String>> {
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let what = match operators.read()? {
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. } => "changes a table",
            Operator::ElemDrop { .. } | Operator::DataDrop { .. } => "drops a segment",
            _ => continue,
        };
        return Ok(Err(format!("it {what}")));
    }
    Ok(Ok(()))
}

/// A constant expression that is a number.
fn constant(expression: &ConstExpr<'_>) -> wasmparser::Result<Option<Instruction<'static>>> {
    let mut operators = expression.get_operators_reader();
    let value = match operators.read()? {
        Operator::I32Const { value } => Instruction::I32Const(value),
        Operator::I64Const { value } => Instruction::I64Const(value),
        Operator::F32Const { value } => Instruction::F32Const(wasm_encoder::Ieee32::new(value.bits())),
        Operator::F64Const { value } => Instruction::F64Const(wasm_encoder::Ieee64::new(value.bits())),
        _ => return Ok(None),
    };
    Ok(matches!(operators.read()?, Operator::End).then_some(value))
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CodeSection, ConstExpr as Constant, ExportSection, FunctionSection, GlobalSection, GlobalType,
        MemorySection, MemoryType, RefType, TableSection, TableType, TypeSection, ValType as Type,
    };

    /// A module with a memory, a table, a global that starts as 7, and a `hook` with this body.
    fn module(hook: &[Instruction<'_>]) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], [Type::I32]);
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut tables = TableSection::new();
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: 1,
            maximum: None,
            shared: false,
        });
        let mut memories = MemorySection::new();
        let memory =
            MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
        memories.memory(memory);
        let mut globals = GlobalSection::new();
        let global = GlobalType { val_type: Type::I32, mutable: true, shared: false };
        globals.global(global, &Constant::i32_const(7));
        let mut exports = ExportSection::new();
        exports.export("hook", ExportKind::Func, 0);
        let mut body = Function::new([]);
        hook.iter().chain([&Instruction::End]).for_each(|instruction| {
            body.instruction(instruction);
        });
        let mut code = CodeSection::new();
        code.function(&body);
        let mut module = wasm_encoder::Module::new();
        module.section(&types).section(&functions).section(&tables).section(&memories);
        module.section(&globals).section(&exports).section(&code);
        module.finish()
    }

    /// Adds one to the global and answers it.
    const COUNTS: [Instruction<'_>; 5] = [
        Instruction::GlobalGet(0),
        Instruction::I32Const(1),
        Instruction::I32Add,
        Instruction::GlobalSet(0),
        Instruction::GlobalGet(0),
    ];

    #[test]
    fn the_second_entrance_finds_globals_as_they_were_at_the_start() {
        let bytes = module(&COUNTS);
        let bytes = Module::read(&bytes).unwrap().rebuilt(&[], &["hook"], |hook| format!("first-{hook}"));
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, bytes.unwrap()).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let mut ask = |name| {
            let hook = instance.get_typed_func::<(), i32>(&mut store, name).unwrap();
            hook.call(&mut store, ()).unwrap()
        };
        assert_eq!(["hook", "hook", "first-hook", "hook", "first-hook"].map(&mut ask), [8, 9, 8, 9, 8]);
    }

    #[test]
    fn what_an_export_can_come_to_is_told() {
        let text = r#"(module
            (import "a" "near" (func $near))
            (import "a" "far" (func $far))
            (import "a" "table" (func $table))
            (type $plain (func))
            (table 2 funcref)
            (elem (i32.const 0) func $calls-near $table)
            (func $calls-near (call $near))
            (func $returns (return_call $far))
            (func (export "nothing"))
            (func (export "deep") (call $returns))
            (func (export "itself") (call 7))
            (func (export "indirect") (call_indirect (type $plain) (i32.const 0)))
            (func (export "both") (call $far) (call_indirect (type $plain) (i32.const 0))))"#;
        let bytes = wat::parse_str(text).unwrap();
        let module = Module::read(&bytes).unwrap();
        let reached = |exports: &[&str]| module.imports_reached(exports);
        assert_eq!(reached(&[]), Some(vec![false; 3]));
        assert_eq!(reached(&["nothing", "itself"]), Some(vec![false; 3]));
        assert_eq!(reached(&["deep"]), Some(vec![false, true, false]));
        assert_eq!(reached(&["nothing", "indirect"]), Some(vec![true, false, true]));
        assert_eq!(reached(&["both"]), Some(vec![true; 3]));
        assert_eq!(reached(&["there is none"]), None);
        let by_expression =
            text.replace("func $calls-near $table)", "funcref (ref.func $calls-near) (ref.func $table))");
        assert_ne!(by_expression, text);
        let bytes = wat::parse_str(by_expression).unwrap();
        let module = Module::read(&bytes).unwrap();
        assert_eq!(module.imports_reached(&["deep"]), Some(vec![false, true, false]));
        assert_eq!(module.imports_reached(&["indirect"]), None, "what is in its table can't be told");
    }

    #[test]
    fn what_can_not_be_put_back_is_refused() {
        let refused = |hook: &[Instruction<'_>]| Module::read(&module(hook)).err();
        assert_eq!(refused(&COUNTS), None);
        let table = [
            Instruction::I32Const(0),
            Instruction::RefNull(wasm_encoder::HeapType::FUNC),
            Instruction::TableSet(0),
            Instruction::I32Const(0),
        ];
        assert_eq!(refused(&table).unwrap(), "it changes a table");
        let grow = [
            Instruction::RefNull(wasm_encoder::HeapType::FUNC),
            Instruction::I32Const(1),
            Instruction::TableGrow(0),
        ];
        assert_eq!(refused(&grow).unwrap(), "it changes a table");
        assert_eq!(refused(&[Instruction::ElemDrop(0)]).unwrap(), "it drops a segment");
        assert_eq!(refused(&[Instruction::DataDrop(0)]).unwrap(), "it drops a segment");
    }
}
