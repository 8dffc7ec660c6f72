//! JSON strings and numbers to and from plain text.

use std::borrow::Cow;

/// The text of a raw JSON value: a string without quotes and escapes, anything else as it stands.
///
/// `None` where it is a string that breaks JSON's rules, or no UTF-8.
pub fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    match raw {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
            std::str::from_utf8(inner).ok().map(Cow::Borrowed)
        }
        [b'"', ..] => serde_json::from_slice(raw).ok().map(Cow::Owned),
        raw => std::str::from_utf8(raw).ok().map(Cow::Borrowed),
    }
}

/// The number that a raw JSON value is; `None` where it is none, or none that is finite.
pub fn number(raw: &[u8]) -> Option<f64> {
    // Rust's own parser takes "inf", "nan", "+1" and ".5" too, which JSON does not.
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    let valid = digits.first().is_some_and(u8::is_ascii_digit)
        && digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    let number: f64 = std::str::from_utf8(raw).ok().filter(|_| valid)?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Appends a number as JSON; one that is not finite, which JSON has none for, as `null`.
///
/// It reads as the same number again. Whole numbers are written without a point.
pub fn write_number(out: &mut Vec<u8>, number: f64) {
    use std::io::Write;
    let size = number.abs();
    let written = match size {
        _ if !number.is_finite() => write!(out, "null"),
        0.0 => write!(out, "0"),
        // Written out, these would be rows of zeros.
        _ if !(1e-7..1e21).contains(&size) => write!(out, "{number:e}"),
        _ => write!(out, "{number}"),
    };
    debug_assert!(written.is_ok(), "a vector takes everything");
}

/// Whether the inner bytes of a JSON string spell `name`.
pub(super) fn same_string(inner: &[u8], name: &str) -> bool {
    if !inner.contains(&b'\\') {
        return inner == name.as_bytes();
    }
    let mut quoted = Vec::with_capacity(inner.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(inner);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted).is_ok_and(|text| text == name)
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    out.push(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..i]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'0', b'0', high, low]);
        }
        plain = i + 1;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}
