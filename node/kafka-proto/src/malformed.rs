//! What is wrong with the bytes of a request.

/// Where a body leaves its layout, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field} at byte {at}: {fault}")]
pub struct Malformed {
    /// The field that could not be read, or the structure after which bytes were left.
    pub field: &'static str,
    /// Position within the frame's payload.
    pub at: usize,
    /// How.
    pub fault: Fault,
}

/// How bytes can differ from what a layout asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes are claimed or needed than there are.
    #[error("needs {needed} bytes, {left} are left")]
    Truncated {
        /// Bytes that are needed.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// More elements are claimed than there are bytes to hold them.
    #[error("claims {count} elements, {left} bytes are left")]
    TooManyForInput {
        /// Elements claimed.
        count: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The request's arrays have too many elements in all.
    #[error("more than {max} elements in one request")]
    TooManyElements {
        /// The limit.
        max: usize,
    },
    /// The request has too many tagged fields that nobody knows.
    #[error("more than {max} unknown tagged fields in one request")]
    TooManyTags {
        /// The limit.
        max: usize,
    },
    /// A length below -1, or -1 where null is not allowed in any encoding.
    #[error("length {len} is negative")]
    NegativeLength {
        /// The length.
        len: i32,
    },
    /// Null in a field that must have a value.
    #[error("is null, which this version does not allow")]
    Null,
    /// A string longer than the protocol allows.
    #[error("string of {len} bytes is over the limit of {max}")]
    StringTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A string that is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// A variable-length number beyond 32 bits.
    #[error("variable-length number is over 32 bits")]
    VarintTooLong,
    /// A structure that may be absent is marked neither so nor so.
    #[error("marker {marker} is neither present (1) nor absent (-1)")]
    BadMarker {
        /// The marker.
        marker: i8,
    },
    /// A tagged field that exists, but not yet in this version.
    #[error("tagged field {tag} is not valid in this version")]
    TagNotInVersion {
        /// The tag.
        tag: u32,
    },
    /// A tagged field whose value does not fill the size that it states.
    #[error("tagged field {tag} leaves {left} bytes of its size unused")]
    TagSize {
        /// The tag.
        tag: u32,
        /// Bytes of its size that are left.
        left: usize,
    },
    /// Bytes after the last field.
    #[error("{left} bytes follow the last field")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// The walk was content and the body codec is not: the two disagree about a layout.
    #[error("body codec: {reason}")]
    Codec {
        /// What it said.
        reason: String,
    },
}
