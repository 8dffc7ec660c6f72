//! One pass over a text that asks, where a word begins, whether something to mask does.
//!
//! Every test looks ahead over bytes that the pass then skips, or over a few at most, so that the
//! time is linear in the text.

use crate::config::Rules;
use crate::{address, secret};

/// Bytes to put the mask in place of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mask {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The bytes are a bare JSON number: the mask needs quotes.
    pub(crate) quoted: bool,
}

impl Mask {
    pub(crate) fn bare(start: usize, end: usize) -> Mask {
        Mask { start, end, quoted: false }
    }
}

/// What of the rules a text can meet at all: most texts lack the bytes for most of them, and one
/// look at every byte is cheaper than asking at every word.
struct Chances {
    email: bool,
    ipv4: bool,
    ipv6: bool,
    named: bool,
    url: bool,
}

impl Chances {
    fn of(text: &[u8], rules: &Rules) -> Chances {
        let mut seen = [false; 256];
        for byte in text {
            seen[usize::from(*byte)] = true;
        }
        let has = |byte: u8| seen[usize::from(byte)];
        Chances {
            email: rules.email && has(b'@'),
            ipv4: rules.ipv4 && has(b'.'),
            ipv6: rules.ipv6 && has(b':'),
            named: rules.secrets && (has(b'=') || has(b':')),
            url: rules.secrets && has(b'@') && has(b':'),
        }
    }
}

/// Finds what is to be masked, in order and apart.
pub(crate) fn find(text: &[u8], rules: &Rules, masks: &mut Vec<Mask>) {
    let chances = Chances::of(text, rules);
    let mut at = 0;
    while at < text.len() {
        let word = word_len(text, at);
        let found = match text[at] {
            b':' if chances.ipv6 => colon(text, at),
            _ if word > 0 => first(text, at, at + word, rules, &chances),
            _ => None,
        };
        match found {
            Some(mask) => {
                masks.push(mask);
                at = mask.end.max(at + 1);
                // What is left of a word behind a mask is no word of its own.
                at += if mask.end > 0 && is_word(text[mask.end - 1]) {
                    word_len(text, at)
                } else {
                    0
                };
            }
            None => at += word.max(1),
        }
    }
}

/// An IPv6 address that begins with its colons.
fn colon(text: &[u8], at: usize) -> Option<Mask> {
    let apart = at == 0 || !is_word(text[at - 1]);
    address::ipv6(text, at).filter(|_| apart).map(|end| Mask::bare(at, end))
}

/// What begins with the word from `at` to `end`.
fn first(text: &[u8], at: usize, end: usize, rules: &Rules, chances: &Chances) -> Option<Mask> {
    if rules.secrets {
        let by_looks = secret::known_key(text, at).or_else(|| secret::behind_scheme(text, at, end));
        let by_name = || secret::named(text, at, &rules.names).filter(|_| chances.named);
        let in_url = || secret::in_url(text, end).filter(|_| chances.url);
        if let Some(mask) = by_looks.or_else(by_name).or_else(in_url) {
            return Some(mask);
        }
    }
    // Parts of a dotted or dashed word are no beginning of an address or a mail address.
    let before = if at > 0 { text[at - 1] } else { b' ' };
    if chances.email
        && !matches!(before, b'.' | b'-' | b'+' | b'%')
        && let Some(end) = address::email(text, at)
    {
        return Some(Mask::bare(at, end));
    }
    if chances.ipv6
        && text[at].is_ascii_hexdigit()
        && text.get(end) == Some(&b':')
        && let Some(end) = address::ipv6(text, at)
    {
        return Some(Mask::bare(at, end));
    }
    if chances.ipv4
        && before != b'.'
        && text[at].is_ascii_digit()
        && text.get(end) == Some(&b'.')
        && let Some((end, last)) = address::ipv4(text, at)
    {
        return Some(Mask::bare(at, if rules.keep_last_octet { last } else { end }));
    }
    None
}

/// Letters, digits and what joins them; bytes of other alphabets are letters.
pub(crate) fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

static WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte >= 0x80 || (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

fn word_len(text: &[u8], at: usize) -> usize {
    text[at..].iter().take_while(|byte| is_word(**byte)).count()
}
