//! Secrets: by the name in front of them, or by how they begin.

use crate::scan::Mask;

/// Endings of names whose values are secrets, in the form of [`plain`].
const NAMES: [&[u8]; 14] = [
    b"password",
    b"passwd",
    b"pwd",
    b"passphrase",
    b"secret",
    b"token",
    b"apikey",
    b"accesskey",
    b"secretkey",
    b"privatekey",
    b"authorization",
    b"credential",
    b"credentials",
    b"cookie",
];

/// Words in front of a credential.
const SCHEMES: [&[u8]; 4] = [b"bearer", b"basic", b"digest", b"token"];

/// How keys of well-known services begin, and how long they are at least.
const KEYS: [(&[u8], usize); 14] = [
    (b"AKIA", 20),
    (b"ASIA", 20),
    (b"ghp_", 20),
    (b"gho_", 20),
    (b"ghs_", 20),
    (b"ghu_", 20),
    (b"github_pat_", 30),
    (b"glpat-", 20),
    (b"xoxb-", 20),
    (b"xoxp-", 20),
    (b"sk_live_", 20),
    (b"rk_live_", 20),
    (b"sk-", 24),
    (b"AIza", 35),
];

/// Longest name that is looked at.
const MAX_NAME: usize = 64;
/// Fewest bytes of what follows `Bearer` and its like outside a named field.
const MIN_CREDENTIAL: usize = 8;

/// A name as it is compared: in lower case, without dashes and underscores.
pub(crate) fn plain(name: &[u8]) -> Vec<u8> {
    let kept = name.iter().filter(|b| !matches!(b, b'-' | b'_'));
    kept.map(u8::to_ascii_lowercase).collect()
}

pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn run(text: &[u8], at: usize, most: usize, accepted: impl Fn(u8) -> bool) -> usize {
    text[at..].iter().take(most).take_while(|byte| accepted(**byte)).count()
}

/// A key that is known by its beginning.
pub(crate) fn known_key(text: &[u8], at: usize) -> Option<Mask> {
    let rest = &text[at..];
    if !matches!(rest.first(), Some(b'A' | b'e' | b'g' | b'r' | b's' | b'x')) {
        return None;
    }
    let len = || run(text, at, usize::MAX, is_name_byte);
    for (beginning, least) in KEYS {
        if rest.starts_with(beginning) {
            let len = len();
            return (len >= least).then(|| Mask::bare(at, at + len));
        }
    }
    // A JSON web token: three parts, the first of which is JSON in base64.
    // Behind a dash the run was looked at before; to look again at each would take square time.
    if rest.starts_with(b"eyJ") && (at == 0 || text[at - 1] != b'-') {
        let len = run(text, at, usize::MAX, |b| is_name_byte(b) || b == b'.');
        let parts = rest[..len].split(|b| *b == b'.').filter(|part| !part.is_empty()).count();
        return (parts >= 2 && len >= 20).then(|| Mask::bare(at, at + len));
    }
    None
}

/// `name=value`, `name: value`, `"name": "value"`.
pub(crate) fn named(text: &[u8], at: usize, names: &[Vec<u8>]) -> Option<Mask> {
    let len = run(text, at, MAX_NAME + 1, is_name_byte);
    if len == 0 || len > MAX_NAME {
        return None;
    }
    let mut i = at + len;
    // The quote behind the name, escaped as often as the text is JSON within JSON.
    let escapes = run(text, i, 8, |b| b == b'\\');
    let quoted_name = matches!(text.get(i + escapes), Some(b'"' | b'\''));
    if quoted_name {
        i += escapes + 1;
    }
    i += run(text, i, 8, |b| b == b' ');
    // Most words end here: what follows is cheaper to look at than the names are to compare.
    if !matches!(text.get(i), Some(b'=' | b':')) || !is_secret_name(&text[at..at + len], names) {
        return None;
    }
    i += 1;
    if text.get(i) == Some(&b'>') {
        i += 1;
    }
    i += run(text, i, 8, |b| matches!(b, b' ' | b'\t'));
    value(text, i, quoted_name)
}

fn is_secret_name(name: &[u8], names: &[Vec<u8>]) -> bool {
    // The letters that the names above end in.
    let last = name.last().map(u8::to_ascii_lowercase);
    let may_end =
        matches!(last, Some(b'd' | b'e' | b't' | b'n' | b'y' | b'l' | b's' | b'-' | b'_'));
    if names.is_empty() && !may_end {
        return false;
    }
    let mut buffer = [0; MAX_NAME];
    let mut len = 0;
    for byte in name.iter().filter(|b| !matches!(b, b'-' | b'_')) {
        buffer[len] = byte.to_ascii_lowercase();
        len += 1;
    }
    let name = &buffer[..len];
    NAMES.iter().any(|ending| name.ends_with(ending)) || names.iter().any(|own| own == name)
}

/// The value that starts here.
fn value(text: &[u8], at: usize, quoted_name: bool) -> Option<Mask> {
    let escapes = run(text, at, 8, |b| b == b'\\');
    let quote = text.get(at + escapes).copied().filter(|b| matches!(b, b'"' | b'\''));
    if let Some(quote) = quote {
        let start = at + escapes + 1;
        let end = quoted_end(text, start, quote, escapes);
        return within_scheme(text, start, end);
    }
    let end = at + run(text, at, usize::MAX, |b| !ends_bare(b));
    let bare = &text[at..end];
    if bare.is_empty() || quoted_name && matches!(bare, b"null" | b"true" | b"false") {
        return None;
    }
    if SCHEMES.iter().any(|scheme| bare.eq_ignore_ascii_case(scheme)) {
        let start = end + run(text, end, 8, |b| b == b' ');
        let len = run(text, start, usize::MAX, |b| !ends_bare(b));
        if start > end && len > 0 {
            return Some(Mask::bare(start, start + len));
        }
    }
    // In JSON a bare value is a number, and the mask is none.
    Some(Mask { start: at, end, quoted: quoted_name })
}

/// Inside quotes, a scheme's name in front of the credential stays.
fn within_scheme(text: &[u8], start: usize, end: usize) -> Option<Mask> {
    let word = run(&text[..end], start, 16, |b| b.is_ascii_alphabetic());
    let scheme = &text[start..start + word];
    let known = SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let start = match text[start + word..end] {
        [b' ', ..] if known => start + word + 1,
        _ => start,
    };
    (start < end).then(|| Mask::bare(start, end))
}

/// Where the closing quote is that is escaped as the opening one was; the end where there is none.
fn quoted_end(text: &[u8], start: usize, quote: u8, escapes: usize) -> usize {
    let mut slashes = 0;
    for (i, byte) in text.iter().enumerate().skip(start) {
        if *byte == b'\\' {
            slashes += 1;
            continue;
        }
        // With more backslashes, the quote belongs to the value.
        if *byte == quote && (slashes == escapes || escapes == 0 && slashes % 2 == 0) {
            return i - escapes;
        }
        slashes = 0;
    }
    text.len()
}

fn ends_bare(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || matches!(
            byte,
            b',' | b';'
                | b'&'
                | b'"'
                | b'\''
                | b'<'
                | b'>'
                | b'('
                | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'|'
                | b'\\'
        )
}

/// `Bearer abc...` without a name in front; the word ends at `end`.
pub(crate) fn behind_scheme(text: &[u8], at: usize, end: usize) -> Option<Mask> {
    // "token" alone is too common a word.
    let known = |scheme: &&[u8]| text[at..end].eq_ignore_ascii_case(scheme);
    if !matches!(end - at, 5..=6) || text.get(end) != Some(&b' ') || !SCHEMES[..3].iter().any(known)
    {
        return None;
    }
    let start = end + 1;
    let credential = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'-')
    };
    let len = run(text, start, usize::MAX, credential);
    let found = &text[start..start + len];
    // A sentence may go on behind "basic": a credential has digits, signs or capitals within.
    let telling =
        found.iter().skip(1).any(|b| !b.is_ascii_lowercase() && !matches!(b, b'.' | b'-'));
    (len >= MIN_CREDENTIAL && telling).then(|| Mask::bare(start, start + len))
}

/// The password in `scheme://user:password@host`; the scheme ends at `end`.
pub(crate) fn in_url(text: &[u8], end: usize) -> Option<Mask> {
    if !text[end..].starts_with(b"://") {
        return None;
    }
    let user = end + 3;
    let stops = |b: u8| {
        b.is_ascii_whitespace() || matches!(b, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>')
    };
    let len = run(text, user, 1024, |b| !stops(b));
    let authority = &text[user..user + len];
    let host = authority.iter().rposition(|b| *b == b'@')?;
    let colon = authority[..host].iter().position(|b| *b == b':')?;
    (colon + 1 < host).then(|| Mask::bare(user + colon + 1, user + host))
}
