//! Goes over the bytes of a request by its layout, before anything is made of them.
//!
//! Afterwards it is certain that every length and count in it is backed by bytes that are there,
//! that the limits hold, and that no string is anything but UTF-8. What follows the last field is
//! left alone, as Kafka leaves it: librdkafka 2.16 sends some bytes behind a Metadata request. The walk allocates nothing and takes time in proportion to the bytes that it has seen.

use crate::limits::{MAX_ELEMENTS, MAX_STRING, MAX_UNKNOWN_TAGS};
use crate::malformed::{Fault, Malformed};
use crate::shape::{Field, Kind, Layout};

/// Walks over `input` from `start` on, and says where the last field ends.
pub(crate) fn walk(
    layout: &Layout,
    version: i16,
    input: &[u8],
    start: usize,
) -> Result<usize, Malformed> {
    let flexible = version >= layout.flexible;
    let mut walker = Walker { input, at: start, version, flexible, elements: 0, unknown_tags: 0 };
    walker.structure(layout.fields)?;
    Ok(walker.at)
}

/// Walks over a section of tagged fields that knows no tags, and says where it ends.
pub(crate) fn walk_tags(input: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut walker =
        Walker { input, at: start, version: 0, flexible: true, elements: 0, unknown_tags: 0 };
    walker.tags(&[])?;
    Ok(walker.at)
}

struct Walker<'a> {
    /// Everything up to the end of what is walked over; shorter within a tagged field.
    input: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
    elements: usize,
    unknown_tags: usize,
}

impl Walker<'_> {
    fn left(&self) -> usize {
        self.input.len() - self.at
    }

    fn fail(&self, field: &'static str, fault: Fault) -> Malformed {
        Malformed { field, at: self.at, fault }
    }

    fn structure(&mut self, fields: &'static [Field]) -> Result<(), Malformed> {
        for field in fields {
            if field.tag.is_none() && field.is_in(self.version) {
                self.field(field)?;
            }
        }
        if self.flexible { self.tags(fields) } else { Ok(()) }
    }

    fn field(&mut self, field: &Field) -> Result<(), Malformed> {
        let nullable = field.may_be_null(self.version);
        let Kind::Struct(fields) = field.kind else {
            return self.value(field.name, field.kind, nullable);
        };
        // A marker stands in front only where the structure may be absent.
        if nullable {
            match self.take::<1>(field.name)?[0] as i8 {
                1 => {}
                -1 => return Ok(()),
                marker => return Err(self.fail(field.name, Fault::BadMarker { marker })),
            }
        }
        self.structure(fields)
    }

    fn value(&mut self, name: &'static str, kind: Kind, nullable: bool) -> Result<(), Malformed> {
        if let Some(size) = kind.fixed_size() {
            return self.skip(name, size);
        }
        match kind {
            Kind::Bytes => match self.length(name, nullable, Width::Int32)? {
                Some(len) => self.skip(name, len),
                None => Ok(()),
            },
            Kind::List(element) => {
                let Some(count) = self.count(name, nullable, *element)? else { return Ok(()) };
                if let Some(size) = element.fixed_size() {
                    return self.skip(name, count * size);
                }
                (0..count).try_for_each(|_| self.value(name, *element, false))
            }
            Kind::Structs(fields) => {
                let Some(count) = self.count(name, nullable, kind)? else { return Ok(()) };
                (0..count).try_for_each(|_| self.structure(fields))
            }
            _ => self.string(name, nullable),
        }
    }

    fn string(&mut self, name: &'static str, nullable: bool) -> Result<(), Malformed> {
        let Some(len) = self.length(name, nullable, Width::Int16)? else { return Ok(()) };
        if len > MAX_STRING {
            return Err(self.fail(name, Fault::StringTooLong { len, max: MAX_STRING }));
        }
        let start = self.at;
        self.skip(name, len)?;
        if std::str::from_utf8(&self.input[start..self.at]).is_err() {
            return Err(Malformed { field: name, at: start, fault: Fault::NotUtf8 });
        }
        Ok(())
    }

    /// The number of elements that follow, each of which takes at least a byte.
    fn count(
        &mut self,
        name: &'static str,
        nullable: bool,
        element: Kind,
    ) -> Result<Option<usize>, Malformed> {
        let Some(count) = self.length(name, nullable, Width::Int32)? else { return Ok(None) };
        let left = self.left();
        if count > left / element.fixed_size().unwrap_or(1) {
            return Err(self.fail(name, Fault::TooManyForInput { count, left }));
        }
        // Both are at most the frame's length, so the sum is far from overflowing.
        self.elements += count;
        if self.elements > MAX_ELEMENTS {
            return Err(self.fail(name, Fault::TooManyElements { max: MAX_ELEMENTS }));
        }
        Ok(Some(count))
    }

    /// The length of what follows; `None` for null.
    fn length(
        &mut self,
        name: &'static str,
        nullable: bool,
        width: Width,
    ) -> Result<Option<usize>, Malformed> {
        let start = self.at;
        let len = if self.flexible {
            // One more than the length, so that 0 is null.
            (self.varint(name)? as usize).checked_sub(1)
        } else {
            let len = match width {
                Width::Int16 => i32::from(i16::from_be_bytes(self.take(name)?)),
                Width::Int32 => i32::from_be_bytes(self.take(name)?),
            };
            if len < -1 {
                let fault = Fault::NegativeLength { len };
                return Err(Malformed { field: name, at: start, fault });
            }
            usize::try_from(len).ok()
        };
        match len {
            None if !nullable => Err(Malformed { field: name, at: start, fault: Fault::Null }),
            len => Ok(len),
        }
    }

    fn tags(&mut self, fields: &'static [Field]) -> Result<(), Malformed> {
        const NAME: &str = "tagged_fields";
        for _ in 0..self.varint(NAME)? {
            let tag = self.varint(NAME)?;
            let size = self.varint(NAME)? as usize;
            let start = self.at;
            self.skip(NAME, size)?;
            let end = self.at;
            // Tags are signed to the codec, and to Kafka.
            if i32::try_from(tag).is_err() {
                return Err(self.fail(NAME, Fault::TagNotInVersion { tag }));
            }
            let Some(field) = fields.iter().find(|field| field.tag == Some(tag)) else {
                self.unknown_tags += 1;
                if self.unknown_tags > MAX_UNKNOWN_TAGS {
                    return Err(self.fail(NAME, Fault::TooManyTags { max: MAX_UNKNOWN_TAGS }));
                }
                continue;
            };
            if !field.is_in(self.version) {
                return Err(self.fail(field.name, Fault::TagNotInVersion { tag }));
            }
            // The value may use no more than its size, and must use all of it.
            let whole = self.input;
            self.input = &whole[..end];
            self.at = start;
            self.field(field)?;
            if self.at < end {
                let left = end - self.at;
                return Err(self.fail(field.name, Fault::TagSize { tag, left }));
            }
            self.input = whole;
        }
        Ok(())
    }

    fn varint(&mut self, name: &'static str) -> Result<u32, Malformed> {
        let start = self.at;
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take::<1>(name)?;
            let bits = u32::from(byte & 0x7f);
            // Of the fifth byte only four bits are left in 32, and none may follow it.
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed { field: name, at: start, fault: Fault::VarintTooLong })
    }

    fn take<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], Malformed> {
        match self.input[self.at..].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(self.fail(name, Fault::Truncated { needed: N, left: self.left() })),
        }
    }

    fn skip(&mut self, name: &'static str, len: usize) -> Result<(), Malformed> {
        let left = self.left();
        if len > left {
            return Err(self.fail(name, Fault::Truncated { needed: len, left }));
        }
        self.at += len;
        Ok(())
    }
}

/// How wide a length is where it is not a compact one.
#[derive(Clone, Copy)]
enum Width {
    Int16,
    Int32,
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
