//! Zigzag varints: seven bits a byte, low ones first, the sign in the lowest.

/// Most bytes that a 32-bit number takes.
pub(crate) const MAX_I32: usize = 5;
/// Most bytes that a 64-bit number takes.
pub(crate) const MAX_I64: usize = 10;

/// Takes a 32-bit number from the start of `buf`; `None` if it is cut off or has more bits.
#[inline(always)]
pub(crate) fn take_i32(buf: &mut &[u8]) -> Option<i32> {
    // One and two bytes are nearly all there is: lengths below 8,192.
    let raw = match **buf {
        [a, ref rest @ ..] if a < 0x80 => {
            *buf = rest;
            u32::from(a)
        }
        [a, b, ref rest @ ..] if b < 0x80 => {
            *buf = rest;
            u32::from(a & 0x7f) | u32::from(b) << 7
        }
        _ => u32::try_from(take_long(buf, MAX_I32)?).ok()?,
    };
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a 64-bit number from the start of `buf`; `None` if it is cut off or has more bits.
#[inline(always)]
pub(crate) fn take_i64(buf: &mut &[u8]) -> Option<i64> {
    let raw = match **buf {
        [a, ref rest @ ..] if a < 0x80 => {
            *buf = rest;
            u64::from(a)
        }
        [a, b, ref rest @ ..] if b < 0x80 => {
            *buf = rest;
            u64::from(a & 0x7f) | u64::from(b) << 7
        }
        _ => take_long(buf, MAX_I64)?,
    };
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn take_long(buf: &mut &[u8], max: usize) -> Option<u64> {
    let mut raw = 0u64;
    for (i, &byte) in buf.iter().take(max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // Only the tenth byte can push bits out at the top.
        let shifted = bits << (7 * i);
        if shifted >> (7 * i) != bits {
            return None;
        }
        raw |= shifted;
        if byte < 0x80 {
            *buf = &buf[i + 1..];
            return Some(raw);
        }
    }
    None
}

/// Bytes that `value` takes.
#[inline]
pub(crate) const fn len_i32(value: i32) -> usize {
    len_i64(value as i64)
}

/// Bytes that `value` takes.
#[inline]
pub(crate) const fn len_i64(value: i64) -> usize {
    let raw = zigzag(value);
    // The lowest bit stands in for zero, which takes a byte as well.
    (64 - (raw | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes `value` at `*at` in `out` and moves `*at` past it.
#[inline]
pub(crate) fn put_i64(out: &mut [u8], at: &mut usize, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out[*at] = raw as u8 | 0x80;
        *at += 1;
        raw >>= 7;
    }
    out[*at] = raw as u8;
    *at += 1;
}

/// Appends `value` to `out`.
#[inline]
pub(crate) fn push_i32(out: &mut Vec<u8>, value: i32) {
    let mut bytes = [0; MAX_I32];
    let mut len = 0;
    put_i64(&mut bytes, &mut len, i64::from(value));
    out.extend_from_slice(&bytes[..len]);
}

/// A 32-bit number has the same zigzag form in 64 bits, so one function serves both.
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(value: i64) -> Vec<u8> {
        let mut bytes = [0; MAX_I64];
        let mut len = 0;
        put_i64(&mut bytes, &mut len, value);
        bytes[..len].to_vec()
    }

    #[test]
    fn numbers_have_the_documented_bytes() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
            (8_191, &[0xfe, 0x7f]),
            (8_192, &[0x80, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            assert_eq!(encode(value), bytes, "{value}");
        }
    }

    #[test]
    fn overlong_and_cut_off_numbers_are_refused() {
        for bytes in [&[][..], &[0x80], &[0x80; 5], &[0xff, 0xff, 0xff, 0xff, 0x1f]] {
            let mut rest = bytes;
            assert_eq!(take_i32(&mut rest), None, "{bytes:x?}");
        }
        let mut too_many_bits = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02][..];
        assert_eq!(take_i64(&mut too_many_bits), None);
        assert_eq!(take_i64(&mut &[0x80; 10][..]), None);
    }

    #[test]
    fn padded_numbers_are_read_as_java_reads_them() {
        let mut rest = &[0x82, 0x80, 0x00, 9][..];
        assert_eq!(take_i32(&mut rest), Some(1));
        assert_eq!(rest, [9]);
    }

    proptest! {
        #[test]
        fn numbers_round_trip(wide: i64, narrow: i32, shift in 0u32..64) {
            for value in [wide >> shift, i64::from(narrow >> (shift / 2))] {
                let bytes = encode(value);
                prop_assert_eq!(bytes.len(), len_i64(value));
                let mut rest = &bytes[..];
                prop_assert_eq!(take_i64(&mut rest), Some(value));
                prop_assert!(rest.is_empty());
                let mut rest = &bytes[..];
                prop_assert_eq!(take_i32(&mut rest), i32::try_from(value).ok());
            }
            let mut pushed = Vec::new();
            push_i32(&mut pushed, narrow);
            prop_assert_eq!(pushed.len(), len_i32(narrow));
            prop_assert_eq!(pushed, encode(i64::from(narrow)));
        }
    }
}
