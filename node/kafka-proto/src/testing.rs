//! For tests: seeded numbers, and request bodies by their layouts.

use crate::shape::{Field, Kind, Layout};

/// splitmix64.
#[derive(Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

const MOST_ELEMENTS: u64 = 3;

/// Writes bodies that fit a layout. A body knows nothing of the codec: what it holds is what the
/// layout says, so a layout that is wrong gives bytes that the codec reads otherwise or not at all.
pub(crate) struct Writer<'a> {
    pub(crate) rng: &'a mut Rng,
    version: i16,
    flexible: bool,
    /// Write null to this one of the fields that may not be, counted from 0.
    pub(crate) wrong_null: Option<usize>,
    /// The one it was.
    pub(crate) wrong_field: Option<&'static str>,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(rng: &'a mut Rng, layout: &Layout, version: i16) -> Writer<'a> {
        Writer {
            rng,
            version,
            flexible: version >= layout.flexible,
            wrong_null: None,
            wrong_field: None,
            out: Vec::new(),
        }
    }

    pub(crate) fn body(mut self, layout: &Layout) -> (Vec<u8>, Writer<'a>) {
        self.structure(layout.fields);
        (std::mem::take(&mut self.out), self)
    }

    fn structure(&mut self, fields: &'static [Field]) {
        for field in fields {
            if field.tag.is_none() && field.is_in(self.version) {
                self.field(field);
            }
        }
        if self.flexible {
            self.tags(fields);
        }
    }

    fn field(&mut self, field: &Field) {
        let nullable = field.may_be_null(self.version);
        let has_null = field.kind.fixed_size().is_none() && !matches!(field.kind, Kind::Struct(_));
        let mut null = nullable && self.rng.one_in(3);
        if has_null && !nullable && self.wrong_field.is_none() {
            match &mut self.wrong_null {
                Some(0) => {
                    null = true;
                    self.wrong_field = Some(field.name);
                }
                Some(n) => *n -= 1,
                None => {}
            }
        }
        if null && !matches!(field.kind, Kind::Struct(_)) {
            return self.null(field.kind);
        }
        if let Kind::Struct(fields) = field.kind {
            if nullable {
                self.out.push(if null { 0xff } else { 1 });
            }
            if !null {
                self.structure(fields);
            }
            return;
        }
        self.value(field.kind);
    }

    fn null(&mut self, kind: Kind) {
        match kind {
            _ if self.flexible => self.out.push(0),
            Kind::String => self.out.extend([0xff; 2]),
            _ => self.out.extend([0xff; 4]),
        }
    }

    fn value(&mut self, kind: Kind) {
        match kind {
            Kind::Bool => {
                let value = self.rng.below(2) as u8;
                self.out.push(value);
            }
            Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Uuid => {
                // Not a default that a codec might leave out: neither 0, -1 nor the largest.
                let size = kind.fixed_size().unwrap();
                let start = self.out.len();
                self.out.resize(start + size, 0);
                let bits = self.rng.next();
                for (i, byte) in self.out[start..].iter_mut().enumerate() {
                    *byte = (bits >> (i % 8 * 8)) as u8;
                }
                self.out[start + size - 1] = 1 + self.rng.below(250) as u8;
            }
            Kind::String => {
                let len = self.rng.below(12);
                self.length(Kind::String, len as usize);
                for _ in 0..len {
                    let letter = b'a' + self.rng.below(26) as u8;
                    self.out.push(letter);
                }
            }
            Kind::Bytes => {
                let len = self.rng.below(40);
                self.length(Kind::Bytes, len as usize);
                for _ in 0..len {
                    let byte = self.rng.next() as u8;
                    self.out.push(byte);
                }
            }
            Kind::List(element) => {
                let count = self.rng.below(MOST_ELEMENTS + 1);
                self.length(kind, count as usize);
                (0..count).for_each(|_| self.value(*element));
            }
            Kind::Structs(fields) => {
                let count = self.rng.below(MOST_ELEMENTS + 1);
                self.length(kind, count as usize);
                (0..count).for_each(|_| self.structure(fields));
            }
            Kind::Struct(fields) => self.structure(fields),
        }
    }

    fn tags(&mut self, fields: &'static [Field]) {
        let known: Vec<&Field> = fields
            .iter()
            .filter(|field| field.tag.is_some() && field.is_in(self.version))
            .filter(|_| self.rng.one_in(2))
            .collect();
        let unknown = if self.rng.one_in(4) { self.rng.below(3) } else { 0 };
        self.varint(known.len() as u32 + unknown as u32);
        for field in known {
            let outer = std::mem::take(&mut self.out);
            // A null under a tag is what leaving it out means; codecs do not write it.
            self.value(field.kind);
            let value = std::mem::replace(&mut self.out, outer);
            self.varint(field.tag.unwrap());
            self.varint(value.len() as u32);
            self.out.extend(value);
        }
        // From the first number that no field has, or ever had.
        let first = fields.iter().filter_map(|field| field.tag).map(|tag| tag + 1).max();
        for n in 0..unknown as u32 {
            self.varint(first.unwrap_or(0) + n);
            let len = self.rng.below(5);
            self.varint(len as u32);
            for _ in 0..len {
                let byte = self.rng.next() as u8;
                self.out.push(byte);
            }
        }
    }

    fn length(&mut self, kind: Kind, len: usize) {
        match kind {
            _ if self.flexible => self.varint(len as u32 + 1),
            Kind::String => self.out.extend((len as i16).to_be_bytes()),
            _ => self.out.extend((len as i32).to_be_bytes()),
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
