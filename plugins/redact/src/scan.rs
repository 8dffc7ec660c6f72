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

/// Finds what is to be masked, in order and apart.
pub(crate) fn find(text: &[u8], rules: &Rules, masks: &mut Vec<Mask>) {
    let mut at = 0;
    while at < text.len() {
        let begins = starts_something(text[at]) && (at == 0 || !is_word(text[at - 1]));
        let found = if begins { first(text, at, rules) } else { None };
        match found {
            Some(mask) => {
                masks.push(mask);
                at = mask.end.max(at + 1);
            }
            None if begins && is_word(text[at]) => at += word_len(text, at),
            None => at += 1,
        }
    }
}

fn first(text: &[u8], at: usize, rules: &Rules) -> Option<Mask> {
    // Parts of a dotted or dashed word are no beginning of an address or a mail address.
    let joined = at > 0 && matches!(text[at - 1], b'.' | b'-' | b'+' | b'%');
    if rules.secrets
        && let Some(mask) = secret::find(text, at, &rules.names)
    {
        return Some(mask);
    }
    if rules.email
        && !joined
        && let Some(end) = address::email(text, at)
    {
        return Some(Mask::bare(at, end));
    }
    if rules.ipv6
        && let Some(end) = address::ipv6(text, at)
    {
        return Some(Mask::bare(at, end));
    }
    if rules.ipv4
        && !(at > 0 && text[at - 1] == b'.')
        && let Some((end, last)) = address::ipv4(text, at)
    {
        return Some(Mask::bare(at, if rules.keep_last_octet { last } else { end }));
    }
    None
}

fn starts_something(byte: u8) -> bool {
    is_word(byte) || byte == b':'
}

/// Letters, digits and what joins them; bytes of other alphabets are letters.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn word_len(text: &[u8], at: usize) -> usize {
    text[at..].iter().take_while(|byte| is_word(**byte)).count()
}
