//! What values are.

use std::fmt;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Null,
    /// Of anything.
    List,
    /// Texts by their names.
    Texts,
    /// Anything by anything.
    Map,
    /// A pattern of `matches`.
    Pattern,
    /// Known only when it is there.
    Dyn,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Bool => "true or false",
            Type::Int => "an integer",
            Type::Uint => "an unsigned integer",
            Type::Double => "a number with a point",
            Type::Text => "a text",
            Type::Bytes => "bytes",
            Type::Null => "null",
            Type::List => "a list",
            Type::Texts | Type::Map => "a map",
            Type::Pattern => "a pattern",
            Type::Dyn => "anything",
        })
    }
}

impl Type {
    pub(super) fn is_number(self) -> bool {
        matches!(self, Type::Int | Type::Uint | Type::Double)
    }

    /// Whether a value of this type can be where one of the other is asked for.
    pub(super) fn fits(self, other: Type) -> bool {
        self == other
            || self == Type::Dyn
            || other == Type::Dyn
            || (self == Type::Texts && other == Type::Map)
    }

    /// Whether they can ever be equal.
    pub(super) fn compares(self, other: Type) -> bool {
        self.fits(other)
            || other.fits(self)
            || (self.is_number() && other.is_number())
            || self == Type::Null
            || other == Type::Null
    }
}
