//! IP and mail addresses.

use std::net::Ipv6Addr;

use crate::scan::is_word;

/// Longest text of an IPv6 address, with an IPv4 address at its end.
const MAX_IPV6: usize = 45;
/// Longest mail address.
const MAX_EMAIL: usize = 254;

/// The end of the IPv4 address that starts here, and where its last dot is.
pub(crate) fn ipv4(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut i = at;
    let mut last_dot = at;
    for octet in 0..4 {
        if octet > 0 {
            if text.get(i) != Some(&b'.') {
                return None;
            }
            last_dot = i;
            i += 1;
        }
        let digits = text[i..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let number = text[i..i + digits].iter().fold(0_u32, |n, b| n * 10 + u32::from(b - b'0'));
        if digits == 0 || digits > 3 || number > 255 {
            return None;
        }
        i += digits;
    }
    let follows = |n: usize| text.get(i + n).copied().unwrap_or(b' ');
    let longer = is_word(follows(0)) || (follows(0) == b'.' && follows(1).is_ascii_digit());
    (!longer).then_some((i, last_dot))
}

/// The end of the IPv6 address that starts here.
pub(crate) fn ipv6(text: &[u8], at: usize) -> Option<usize> {
    if at > 0 && matches!(text[at - 1], b':' | b'.') {
        return None;
    }
    let run = text[at..]
        .iter()
        .take(MAX_IPV6 + 1)
        .take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        .count();
    let mut end = at + run;
    if run > MAX_IPV6 || text.get(end).copied().is_some_and(is_word) {
        return None;
    }
    // Colons and dots behind an address belong to the sentence.
    while end > at
        && (text[end - 1] == b'.' || text[at..end].ends_with(b":"))
        && !text[at..end].ends_with(b"::")
    {
        end -= 1;
    }
    let address = str::from_utf8(&text[at..end]).ok()?;
    let digits = address.bytes().any(|b| b.is_ascii_hexdigit());
    (digits && address.contains("::") || address.matches(':').count() >= 6)
        .then(|| address.parse::<Ipv6Addr>().ok())
        .flatten()
        .map(|_| end)
}

/// The end of the mail address whose first byte is here.
pub(crate) fn email(text: &[u8], at: usize) -> Option<usize> {
    let local = |b: &u8| is_word(*b) || matches!(b, b'.' | b'%' | b'+' | b'-');
    let part = text[at..].iter().take(MAX_EMAIL).take_while(|b| local(b)).count();
    if part == 0 || text.get(at + part) != Some(&b'@') {
        return None;
    }
    let domain = at + part + 1;
    let host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let run = text[domain..].iter().take(MAX_EMAIL).take_while(|b| host(b)).count();
    let name = text[domain..domain + run].trim_ascii_end();
    // A dot or dash at the end belongs to the sentence.
    let trailing = name.iter().rev().take_while(|b| matches!(b, b'.' | b'-')).count();
    let name = &name[..name.len() - trailing];
    let last = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
    let valid = name.contains(&b'.')
        && last.len() >= 2
        && last.iter().all(u8::is_ascii_alphabetic)
        && !name.starts_with(b".");
    valid.then_some(domain + name.len())
}
