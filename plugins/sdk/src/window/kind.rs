//! Which windows there are, and their bounds.

use std::fmt;
use std::time::Duration;

/// Most windows that one record lies in: each is a value that is read and written.
pub const MAX_OVERLAP: i64 = 100;
/// Longest span: it keeps sums of times far from overflow.
const MAX_SPAN: Duration = Duration::from_secs(3_660 * 24 * 3_600);

/// How time is cut into windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    #[doc(hidden)]
    Fixed { size: i64, every: i64 },
    #[doc(hidden)]
    Session { gap: i64 },
}

/// Why there are no such windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KindError {
    /// A span is below a millisecond or above ten years.
    Span,
    /// Windows begin so far apart that records would lie in none.
    Gaps,
    /// A record would lie in more than a hundred windows.
    Overlap,
}

impl fmt::Display for KindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KindError::Span => f.write_str("a window is between 1 ms and 3660 days long"),
            KindError::Gaps => f.write_str("windows must begin at least as often as they are long"),
            KindError::Overlap => {
                write!(f, "a record may lie in at most {MAX_OVERLAP} windows")
            }
        }
    }
}

impl std::error::Error for KindError {}

impl Kind {
    /// Windows side by side, each `size` long, counted from 1970: a record lies in one.
    pub fn tumbling(size: Duration) -> Result<Kind, KindError> {
        Kind::hopping(size, size)
    }

    /// Windows that are `size` long, one beginning at each multiple of `every`: a record lies in
    /// several. With a small `every` they slide.
    pub fn hopping(size: Duration, every: Duration) -> Result<Kind, KindError> {
        let (size, every) = (span(size)?, span(every)?);
        if every > size {
            return Err(KindError::Gaps);
        }
        if size.div_ceil(every) > MAX_OVERLAP as u64 {
            return Err(KindError::Overlap);
        }
        Ok(Kind::Fixed { size: size.cast_signed(), every: every.cast_signed() })
    }

    /// Windows that last as long as the next record of the key comes within less than `gap`.
    pub fn session(gap: Duration) -> Result<Kind, KindError> {
        Ok(Kind::Session { gap: span(gap)?.cast_signed() })
    }
}

fn span(span: Duration) -> Result<u64, KindError> {
    let valid = span >= Duration::from_millis(1) && span <= MAX_SPAN;
    valid.then(|| millis(span).cast_unsigned()).ok_or(KindError::Span)
}

pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
