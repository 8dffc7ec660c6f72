//! What the stock plugins should come to, by simple code that shares nothing with them.

/// Whether the number in a line's second column lies outside the band.
pub(crate) fn is_outside(line: &str, low: f64, high: f64) -> bool {
    let number: f64 = line.split(',').nth(1).expect("a second column").parse().expect("a number");
    number < low || number > high
}

/// The line with each dotted IPv4 address replaced by `***`.
pub(crate) fn mask_ipv4(line: &str) -> String {
    let part_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut masked = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(part_of_number) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !part_of_number(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let bare = word.trim_end_matches('.');
        masked.push_str(before);
        let glued = before.ends_with(|c: char| c.is_ascii_alphanumeric())
            || (bare == word && after.starts_with(|c: char| c.is_ascii_alphanumeric()));
        if is_ipv4(bare) && !glued {
            masked.push_str("***");
            masked.push_str(&word[bare.len()..]);
        } else {
            masked.push_str(word);
        }
        rest = after;
    }
    masked + rest
}

fn is_ipv4(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| part.len() <= 3 && part.parse::<u8>().is_ok())
}

#[test]
fn addresses_are_found_and_other_numbers_left() {
    assert_eq!(mask_ipv4("from 10.1.2.3 port 22"), "from *** port 22");
    assert_eq!(mask_ipv4("[10.1.2.3]."), "[***].");
    assert_eq!(mask_ipv4("10.1.2.3.host and 10.1.2.3x"), "***.host and 10.1.2.3x");
    assert_eq!(mask_ipv4("1.2.3 and 300.1.1.1 and 1.2.3.4.5"), "1.2.3 and 300.1.1.1 and 1.2.3.4.5");
    assert!(is_outside("t,5.5", 6.0, 7.0) && !is_outside("t,6.0", 6.0, 7.0));
}
