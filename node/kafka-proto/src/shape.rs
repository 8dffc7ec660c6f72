//! How a request's layout is written down: constants that [`walk`](crate::walk) interprets.
//!
//! A layout is a tree of constant tables, so that reading by it neither allocates nor recurses
//! deeper than the tables do. It knows how many bytes a field takes and whether it may be null, and
//! nothing of what a field means.

/// A field in no version: for nullability and tags that a field does not have.
const NEVER: i16 = i16::MAX;

/// The layout of one request in all its versions.
#[derive(Debug)]
pub(crate) struct Layout {
    /// First version with compact lengths and tagged fields.
    pub(crate) flexible: i16,
    pub(crate) fields: &'static [Field],
}

/// One field: what it holds and in which versions.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// First and last version that has it.
    since: i16,
    until: i16,
    /// First version in which it may be null.
    null_since: i16,
    /// Its number, if it is a tagged field.
    pub(crate) tag: Option<u32>,
}

/// What a field or an array element holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uuid,
    String,
    /// Bytes whose content is not the protocol's: records, metadata, assignments.
    Bytes,
    /// An array of what is no structure.
    List(&'static Kind),
    /// An array of structures.
    Structs(&'static [Field]),
    /// One structure.
    Struct(&'static [Field]),
}

impl Kind {
    /// Bytes it takes, where they are always the same.
    pub(crate) const fn fixed_size(self) -> Option<usize> {
        match self {
            Kind::Bool | Kind::Int8 => Some(1),
            Kind::Int16 => Some(2),
            Kind::Int32 => Some(4),
            Kind::Int64 => Some(8),
            Kind::Uuid => Some(16),
            Kind::String | Kind::Bytes | Kind::List(_) | Kind::Structs(_) | Kind::Struct(_) => None,
        }
    }
}

impl Field {
    /// Only from `version` on.
    pub(crate) const fn since(mut self, version: i16) -> Field {
        self.since = version;
        self
    }

    /// Only up to `version`.
    pub(crate) const fn until(mut self, version: i16) -> Field {
        self.until = version;
        self
    }

    /// May be null, from `version` on.
    pub(crate) const fn null_since(mut self, version: i16) -> Field {
        self.null_since = version;
        self
    }

    /// May be null in every version.
    pub(crate) const fn nullable(self) -> Field {
        self.null_since(0)
    }

    /// Not in its place but among the tagged fields, under this number.
    pub(crate) const fn tagged(mut self, tag: u32) -> Field {
        self.tag = Some(tag);
        self
    }

    pub(crate) const fn is_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }

    pub(crate) const fn may_be_null(&self, version: i16) -> bool {
        self.null_since <= version
    }
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, since: 0, until: NEVER, null_since: NEVER, tag: None }
}

pub(crate) const fn boolean(name: &'static str) -> Field {
    field(name, Kind::Bool)
}

pub(crate) const fn int8(name: &'static str) -> Field {
    field(name, Kind::Int8)
}

pub(crate) const fn int16(name: &'static str) -> Field {
    field(name, Kind::Int16)
}

pub(crate) const fn int32(name: &'static str) -> Field {
    field(name, Kind::Int32)
}

pub(crate) const fn int64(name: &'static str) -> Field {
    field(name, Kind::Int64)
}

pub(crate) const fn uuid(name: &'static str) -> Field {
    field(name, Kind::Uuid)
}

pub(crate) const fn string(name: &'static str) -> Field {
    field(name, Kind::String)
}

pub(crate) const fn bytes(name: &'static str) -> Field {
    field(name, Kind::Bytes)
}

pub(crate) const fn int8s(name: &'static str) -> Field {
    field(name, Kind::List(&Kind::Int8))
}

pub(crate) const fn int32s(name: &'static str) -> Field {
    field(name, Kind::List(&Kind::Int32))
}

pub(crate) const fn strings(name: &'static str) -> Field {
    field(name, Kind::List(&Kind::String))
}

pub(crate) const fn structs(name: &'static str, fields: &'static [Field]) -> Field {
    field(name, Kind::Structs(fields))
}

pub(crate) const fn structure(name: &'static str, fields: &'static [Field]) -> Field {
    field(name, Kind::Struct(fields))
}

/// A request whose versions from `flexible` on have compact lengths and tagged fields.
pub(crate) const fn layout(flexible: i16, fields: &'static [Field]) -> Layout {
    Layout { flexible, fields }
}

/// A request without compact lengths in any version.
pub(crate) const fn rigid(fields: &'static [Field]) -> Layout {
    layout(NEVER, fields)
}
