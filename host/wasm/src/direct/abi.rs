//! How values go to and from a core module: the canonical ABI of the component model (`CanonicalABI.md` of its
//! repository), for the types that the contract has. Texts are UTF-8, addresses have 32 bits.
//!
//! A number is passed as it is, everything longer by its address: a text or list as address and length, and what a
//! function answers that is more than one number through a place that the guest names.

use wasmtime::{Val, ValRaw, ValType};

use crate::capability::bindings::limen::policy::counters::TakeResult;
use crate::capability::bindings::limen::policy::jwt::JwtError;
use crate::capability::bindings::limen::policy::kv::KvError;
use crate::capability::bindings::limen::policy::secrets::SecretError;
use crate::capability::bindings::limen::policy::types::{EditError, HttpMethod, HttpVersion, Level};
use crate::capability::heads::Text;
use crate::isolate::OUT_OF_FUEL;

/// The arguments of a call, as numbers.
pub(super) struct Numbers<'a>(pub(super) std::slice::Iter<'a, ValRaw>);

/// The guest's memory, while arguments are read from it.
pub(super) struct Source<'a> {
    pub(super) memory: &'a [u8],
    /// How many bytes this call may still bring.
    pub(super) left: u64,
}

/// Where an answer is put.
pub(super) trait Target {
    /// The address of that much new room.
    fn room(&mut self, size: usize, align: usize) -> wasmtime::Result<usize>;
    /// The memory, as it is now.
    fn memory(&mut self) -> &mut [u8];

    fn put(&mut self, at: usize, bytes: &[u8]) -> wasmtime::Result<()> {
        let place = at.checked_add(bytes.len()).and_then(|end| self.memory().get_mut(at..end));
        place.ok_or_else(out_of_bounds)?.copy_from_slice(bytes);
        Ok(())
    }
}

/// A kind of number.
#[derive(Clone, Copy)]
pub(super) enum Number {
    I32,
    I64,
    F64,
}

impl Number {
    pub(super) fn ty(self) -> ValType {
        match self {
            Number::I32 => ValType::I32,
            Number::I64 => ValType::I64,
            Number::F64 => ValType::F64,
        }
    }

    /// The number with these bits, for those of wasmtime's functions that take values.
    pub(super) fn value(self, bits: u64) -> Val {
        match self {
            Number::I32 => Val::I32(low(bits).cast_signed()),
            Number::I64 => Val::I64(bits.cast_signed()),
            Number::F64 => Val::F64(bits),
        }
    }

    /// The same as they lie on its stack.
    pub(super) fn raw(self, bits: u64) -> ValRaw {
        match self {
            Number::I32 => ValRaw::u32(low(bits)),
            Number::I64 => ValRaw::u64(bits),
            Number::F64 => ValRaw::f64(bits),
        }
    }
}

/// How a function answers.
pub(super) enum Return {
    Nothing,
    Number(Number),
    /// In memory, at the address that is its last argument.
    Stored,
}

/// What a guest passes.
pub(super) trait Lift: Sized {
    /// The numbers that it is passed as.
    fn numbers(types: &mut Vec<Number>);
    fn lift(numbers: &mut Numbers<'_>, from: &mut Source<'_>) -> wasmtime::Result<Self>;
}

/// What a guest passes many of.
pub(super) trait Element: Sized {
    const SIZE: usize;
    const ALIGN: usize;
    fn load(bytes: &[u8], from: &mut Source<'_>) -> wasmtime::Result<Self>;

    fn load_all(bytes: &[u8], from: &mut Source<'_>) -> wasmtime::Result<Vec<Self>> {
        bytes.chunks_exact(Self::SIZE).map(|one| Self::load(one, from)).collect()
    }
}

/// What a guest is answered.
pub(super) trait Lower: Sized {
    const SIZE: usize;
    const ALIGN: usize;
    const RETURN: Return = Return::Stored;

    /// The bits of what is answered as a number.
    fn bits(&self) -> u64 {
        0
    }

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()>;

    fn store_all(all: &[Self], at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        (0..).zip(all).try_for_each(|(number, one): (usize, _)| one.store(at + number * Self::SIZE, to))
    }
}

#[cold]
pub(super) fn out_of_bounds() -> wasmtime::Error {
    wasmtime::format_err!("an address beyond the end of the memory")
}

#[cold]
fn invalid(what: &str) -> wasmtime::Error {
    wasmtime::format_err!("{what}")
}

fn low(bits: u64) -> u32 {
    (bits & u64::from(u32::MAX)) as u32
}

impl Numbers<'_> {
    fn next(&mut self) -> wasmtime::Result<ValRaw> {
        self.0.next().copied().ok_or_else(|| invalid("fewer arguments than the function has"))
    }

    /// An address or length.
    pub(super) fn word(&mut self) -> wasmtime::Result<usize> {
        Ok(self.next()?.get_u32() as usize)
    }

    /// The address of a place for a value of this size and alignment.
    pub(super) fn place(&mut self, memory: &[u8], size: usize, align: usize) -> wasmtime::Result<usize> {
        let at = self.word()?;
        match at.checked_add(size) {
            Some(end) if end <= memory.len() && at.is_multiple_of(align) => Ok(at),
            _ => Err(out_of_bounds()),
        }
    }
}

impl<'a> Source<'a> {
    /// So many elements of this size, from there on.
    fn elements(&self, at: usize, count: usize, size: usize, align: usize) -> wasmtime::Result<&'a [u8]> {
        let end =
            count.checked_mul(size).and_then(|bytes| at.checked_add(bytes)).ok_or_else(out_of_bounds)?;
        let elements = self.memory.get(at..end).ok_or_else(out_of_bounds)?;
        if !at.is_multiple_of(align) {
            return Err(invalid("an address that is not aligned"));
        }
        Ok(elements)
    }

    /// Takes what is about to be kept from what this call may bring.
    fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.left = self.left.checked_sub(bytes as u64).ok_or_else(|| invalid(OUT_OF_FUEL))?;
        Ok(())
    }

    pub(super) fn text(&mut self, at: usize, bytes: usize) -> wasmtime::Result<&'a str> {
        let text = self.elements(at, bytes, 1, 1)?;
        self.charge(bytes)?;
        std::str::from_utf8(text).map_err(|_| invalid("a text that is not UTF-8"))
    }
}

/// A number of four bytes in memory.
fn word(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word) as usize)
}

/// What a function with `result<_, string>` has answered at this address.
pub(super) fn result_of_text(at: usize, from: &mut Source<'_>) -> wasmtime::Result<Result<(), String>> {
    let result = from.elements(at, 1, 12, 4)?;
    match result.first() {
        Some(0) => Ok(Ok(())),
        Some(1) => from.text(word(result, 4), word(result, 8)).map(|text| Err(text.to_owned())),
        _ => Err(invalid("neither a success nor an error")),
    }
}

macro_rules! numbers {
    ($($kind:ty: $number:ident, $raw:ident => $lift:expr, $bits:expr;)*) => {$(
        impl Lift for $kind {
            fn numbers(types: &mut Vec<Number>) {
                types.push(Number::$number);
            }

            fn lift(numbers: &mut Numbers<'_>, _: &mut Source<'_>) -> wasmtime::Result<Self> {
                let $raw = numbers.next()?;
                Ok($lift)
            }
        }

        impl Lower for $kind {
            const SIZE: usize = size_of::<$kind>();
            const ALIGN: usize = size_of::<$kind>();
            const RETURN: Return = Return::Number(Number::$number);

            fn bits(&self) -> u64 {
                let $raw = *self;
                $bits
            }

            fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
                to.put(at, self.bits().to_le_bytes().get(..Self::SIZE).unwrap_or_default())
            }
        }
    )*};
}

numbers! {
    bool: I32, it => it.get_u32() != 0, u64::from(it);
    u16: I32, it => (it.get_u32() & 0xffff) as u16, u64::from(it);
    u32: I32, it => it.get_u32(), u64::from(it);
    u64: I64, it => it.get_u64(), it;
    i64: I64, it => it.get_i64(), it.cast_unsigned();
    f64: F64, it => f64::from_bits(it.get_f64()), it.to_bits();
}

impl Lower for () {
    const SIZE: usize = 0;
    const ALIGN: usize = 1;
    const RETURN: Return = Return::Nothing;

    fn store(&self, _: usize, _: &mut impl Target) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// Those without anything beside: their cases in the order of `wit/`.
macro_rules! enums {
    ($($kind:ty),*) => {$(
        impl Lower for $kind {
            const SIZE: usize = 1;
            const ALIGN: usize = 1;
            const RETURN: Return = Return::Number(Number::I32);

            fn bits(&self) -> u64 {
                *self as u64
            }

            fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
                to.put(at, &[*self as u8])
            }
        }
    )*};
}

enums!(HttpMethod, HttpVersion, EditError, SecretError, JwtError);

impl Lift for Level {
    fn numbers(types: &mut Vec<Number>) {
        u32::numbers(types);
    }

    fn lift(numbers: &mut Numbers<'_>, _: &mut Source<'_>) -> wasmtime::Result<Self> {
        Ok(match numbers.word()? {
            0 => Level::Trace,
            1 => Level::Debug,
            2 => Level::Info,
            3 => Level::Warn,
            4 => Level::Error,
            _ => return Err(invalid("a level that there is not")),
        })
    }
}

impl Lift for String {
    fn numbers(types: &mut Vec<Number>) {
        types.extend([Number::I32; 2]);
    }

    fn lift(numbers: &mut Numbers<'_>, from: &mut Source<'_>) -> wasmtime::Result<Self> {
        let (at, bytes) = (numbers.word()?, numbers.word()?);
        from.text(at, bytes).map(str::to_owned)
    }
}

impl Element for String {
    const SIZE: usize = 8;
    const ALIGN: usize = 4;

    fn load(bytes: &[u8], from: &mut Source<'_>) -> wasmtime::Result<Self> {
        from.text(word(bytes, 0), word(bytes, 4)).map(str::to_owned)
    }
}

impl Element for (String, String) {
    const SIZE: usize = 16;
    const ALIGN: usize = 4;

    fn load(bytes: &[u8], from: &mut Source<'_>) -> wasmtime::Result<Self> {
        let mut text = |at| from.text(word(bytes, at), word(bytes, at + 4)).map(str::to_owned);
        Ok((text(0)?, text(8)?))
    }
}

impl Element for u8 {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;

    fn load(bytes: &[u8], _: &mut Source<'_>) -> wasmtime::Result<Self> {
        bytes.first().copied().ok_or_else(out_of_bounds)
    }

    fn load_all(bytes: &[u8], _: &mut Source<'_>) -> wasmtime::Result<Vec<Self>> {
        Ok(bytes.to_vec())
    }
}

impl<T: Element> Lift for Vec<T> {
    fn numbers(types: &mut Vec<Number>) {
        types.extend([Number::I32; 2]);
    }

    fn lift(numbers: &mut Numbers<'_>, from: &mut Source<'_>) -> wasmtime::Result<Self> {
        let (at, count) = (numbers.word()?, numbers.word()?);
        let bytes = from.elements(at, count, T::SIZE, T::ALIGN)?;
        from.charge(count.saturating_mul(size_of::<T>()))?;
        T::load_all(bytes, from)
    }
}

impl<T: Lift> Lift for Option<T> {
    fn numbers(types: &mut Vec<Number>) {
        types.push(Number::I32);
        T::numbers(types);
    }

    fn lift(numbers: &mut Numbers<'_>, from: &mut Source<'_>) -> wasmtime::Result<Self> {
        match numbers.word()? {
            0 => {
                // Its numbers are there and mean nothing.
                let mut unused = Vec::new();
                T::numbers(&mut unused);
                for _ in unused {
                    numbers.next()?;
                }
                Ok(None)
            }
            1 => Ok(Some(T::lift(numbers, from)?)),
            _ => Err(invalid("neither something nor nothing")),
        }
    }
}

macro_rules! arguments {
    ($($($kind:ident)*;)*) => {$(
        impl<$($kind: Lift),*> Lift for ($($kind,)*) {
            fn numbers(_types: &mut Vec<Number>) {
                $($kind::numbers(_types);)*
            }

            fn lift(_numbers: &mut Numbers<'_>, _from: &mut Source<'_>) -> wasmtime::Result<Self> {
                Ok(($($kind::lift(_numbers, _from)?,)*))
            }
        }
    )*};
}

arguments! {
    ;
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
}

impl Lower for u8 {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;
    const RETURN: Return = Return::Number(Number::I32);

    fn bits(&self) -> u64 {
        u64::from(*self)
    }

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        to.put(at, &[*self])
    }

    fn store_all(all: &[Self], at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        to.put(at, all)
    }
}

/// Puts elements into new room, and the room's address and their number to `at`.
fn store_list<T: Lower>(list: &[T], at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
    let room = to.room(list.len() * T::SIZE, T::ALIGN)?;
    T::store_all(list, room, to)?;
    let mut pair = [0; 8];
    let (address, length) = pair.split_at_mut(4);
    address.copy_from_slice(&low(room as u64).to_le_bytes());
    length.copy_from_slice(&low(list.len() as u64).to_le_bytes());
    to.put(at, &pair)
}

impl<T: Lower> Lower for Vec<T> {
    const SIZE: usize = 8;
    const ALIGN: usize = 4;

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        store_list(self, at, to)
    }
}

impl Lower for String {
    const SIZE: usize = 8;
    const ALIGN: usize = 4;

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        store_list(self.as_bytes(), at, to)
    }
}

impl Lower for Text {
    const SIZE: usize = 8;
    const ALIGN: usize = 4;

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        store_list(self.as_bytes(), at, to)
    }
}

/// Where what belongs to a case begins, after the number of the case.
const fn payload(align: usize) -> usize {
    1_usize.next_multiple_of(align)
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

impl<T: Lower> Lower for Option<T> {
    const SIZE: usize = (payload(T::ALIGN) + T::SIZE).next_multiple_of(T::ALIGN);
    const ALIGN: usize = T::ALIGN;

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        to.put(at, &[u8::from(self.is_some())])?;
        self.iter().try_for_each(|it| it.store(at + payload(Self::ALIGN), to))
    }
}

impl<T: Lower, E: Lower> Lower for Result<T, E> {
    const SIZE: usize = (payload(Self::ALIGN) + max(T::SIZE, E::SIZE)).next_multiple_of(Self::ALIGN);
    const ALIGN: usize = max(T::ALIGN, E::ALIGN);

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        to.put(at, &[u8::from(self.is_err())])?;
        match self {
            Ok(it) => it.store(at + payload(Self::ALIGN), to),
            Err(error) => error.store(at + payload(Self::ALIGN), to),
        }
    }
}

impl Lower for KvError {
    const SIZE: usize = 12;
    const ALIGN: usize = 4;

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        let case = match self {
            KvError::NoSuchStore => 0,
            KvError::Denied => 1,
            KvError::TooLarge => 2,
            KvError::WrongType => 3,
            KvError::TimedOut => 4,
            KvError::Other(_) => 5,
        };
        to.put(at, &[case])?;
        match self {
            KvError::Other(reason) => reason.store(at + 4, to),
            _ => Ok(()),
        }
    }
}

impl<A: Lower, B: Lower> Lower for (A, B) {
    const SIZE: usize =
        (A::SIZE.next_multiple_of(B::ALIGN) + B::SIZE).next_multiple_of(max(A::ALIGN, B::ALIGN));
    const ALIGN: usize = max(A::ALIGN, B::ALIGN);

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        self.0.store(at, to)?;
        self.1.store(at + A::SIZE.next_multiple_of(B::ALIGN), to)
    }
}

impl Lower for TakeResult {
    const SIZE: usize = 24;
    const ALIGN: usize = 8;

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        self.allowed.store(at, to)?;
        self.remaining.store(at + 8, to)?;
        self.retry_after_ms.store(at + 16, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::component::ComponentType;

    /// As large and as aligned as wasmtime's own.
    fn is_laid_out<T: Lower + ComponentType>() {
        let name = std::any::type_name::<T>();
        assert_eq!((T::SIZE, T::ALIGN), (T::SIZE32, T::ALIGN32 as usize), "{name}");
        let stored = matches!(T::RETURN, Return::Stored);
        assert_eq!(stored, T::flatten_count() > 1, "{name} is answered in another way");
    }

    #[test]
    fn values_lie_in_memory_as_the_component_model_has_it() {
        is_laid_out::<()>();
        is_laid_out::<bool>();
        is_laid_out::<u16>();
        is_laid_out::<u32>();
        is_laid_out::<u64>();
        is_laid_out::<i64>();
        is_laid_out::<f64>();
        is_laid_out::<String>();
        is_laid_out::<Vec<u8>>();
        is_laid_out::<Vec<Vec<u8>>>();
        is_laid_out::<Vec<Option<String>>>();
        is_laid_out::<Option<bool>>();
        is_laid_out::<Option<u32>>();
        is_laid_out::<Option<u64>>();
        is_laid_out::<Option<String>>();
        is_laid_out::<(u64, u64)>();
        is_laid_out::<(u64, u32)>();
        is_laid_out::<HttpMethod>();
        is_laid_out::<HttpVersion>();
        is_laid_out::<EditError>();
        is_laid_out::<KvError>();
        is_laid_out::<JwtError>();
        is_laid_out::<TakeResult>();
        is_laid_out::<Result<(), EditError>>();
        is_laid_out::<Result<Vec<u8>, SecretError>>();
        is_laid_out::<Result<Option<Vec<u8>>, KvError>>();
        is_laid_out::<Result<i64, KvError>>();
        is_laid_out::<Result<bool, KvError>>();
        is_laid_out::<Result<String, JwtError>>();
    }

    #[test]
    fn what_a_tick_says_is_read_within_its_memory() {
        let memory = [&[1, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0][..], b"no"].concat();
        let read = |memory: &[u8], at, left| result_of_text(at, &mut Source { memory, left });
        assert_eq!(read(&memory, 0, 2).unwrap(), Err("no".to_owned()));
        assert_eq!(read(&memory, 0, 1).unwrap_err().to_string(), OUT_OF_FUEL);
        assert_eq!(read(&[0; 12], 0, 0).unwrap(), Ok(()));
        for (at, byte) in [(0, 2), (4, 13), (7, 255), (8, 3), (12, 0xff)] {
            let mut memory = memory.clone();
            memory[at] = byte;
            assert!(read(&memory, 0, 99).is_err(), "{at}: {byte}");
        }
        assert!(read(&memory, 2, 99).is_err() && read(&memory, usize::MAX, 99).is_err());
    }
}
