//! RFC 3164 and RFC 5424, as they are found in the wild.
//!
//! Parsing borrows from the line and allocates nothing; structured data is checked here and walked
//! when it is written.

/// Largest facility times eight plus severity.
const MAX_PRIORITY: u32 = 191;
pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What a line says; what it does not say is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Line<'a> {
    pub(crate) priority: Option<u32>,
    pub(crate) timestamp: &'a str,
    pub(crate) host: &'a str,
    pub(crate) program: &'a str,
    /// What stands in parentheses behind the program: the PAM module, as older systems write it.
    pub(crate) module: &'a str,
    /// The process id, which need not be a number.
    pub(crate) pid: &'a str,
    pub(crate) message_id: &'a str,
    /// Structured data, brackets included.
    pub(crate) structured: &'a str,
    pub(crate) message: &'a str,
}

/// Parses a line without its end, or says what it lacks.
pub(crate) fn parse(text: &str) -> Result<Line<'_>, &'static str> {
    let (priority, rest) = match text.strip_prefix('<') {
        None => (None, text),
        Some(rest) => {
            let (number, rest) = rest.split_once('>').ok_or("`<` without `>`")?;
            let valid = matches!(number.len(), 1..=3) && number.bytes().all(|b| b.is_ascii_digit());
            let number: u32 = number.parse().ok().filter(|_| valid).ok_or("no number in `<>`")?;
            if number > MAX_PRIORITY {
                return Err("the number in `<>` is above 191");
            }
            (Some(number), rest)
        }
    };
    match rest.strip_prefix("1 ") {
        Some(rest) if priority.is_some() => parse_5424(priority, rest),
        _ => parse_3164(priority, rest),
    }
}

fn parse_3164(priority: Option<u32>, text: &str) -> Result<Line<'_>, &'static str> {
    let (timestamp, rest) = timestamp(text).ok_or("no timestamp")?;
    let (host, rest) = rest.split_once(' ').ok_or("nothing behind the host")?;
    if host.is_empty() {
        return Err("no host");
    }
    let mut line = Line { priority, timestamp, host, message: rest, ..Line::default() };
    if let Some((tag, message)) = tag(rest) {
        (line.program, line.module, line.pid) = tag;
        line.message = message;
    }
    Ok(line)
}

/// `Dec 10 06:55:48` or RFC 3339, and what follows the space behind it.
fn timestamp(text: &str) -> Option<(&str, &str)> {
    if text.as_bytes().first()?.is_ascii_digit() {
        let (time, rest) = text.split_once(' ')?;
        let shape = time.as_bytes();
        let valid = shape.len() >= 19
            && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
                .iter()
                .all(|(at, byte)| shape[*at] == *byte);
        return valid.then_some((time, rest));
    }
    let (time, rest) = text.split_at_checked(15)?;
    let shape = time.as_bytes();
    let digit = |at: usize| shape[at].is_ascii_digit();
    let valid = MONTHS.contains(&time.get(..3)?)
        && shape[3] == b' '
        && (shape[4] == b' ' || digit(4))
        && digit(5)
        && shape[6] == b' '
        && [7, 8, 10, 11, 13, 14].into_iter().all(digit)
        && shape[9] == b':'
        && shape[12] == b':';
    // Some devices write a year behind the time, or a colon.
    let rest = rest.strip_prefix(' ').or_else(|| rest.strip_prefix(": "))?;
    valid.then_some((time, rest))
}

/// Program, module and process id.
type Tag<'a> = (&'a str, &'a str, &'a str);

/// `sshd[123]: `, `sshd(pam_unix)[123]: `, `kernel: `, and what follows.
fn tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let end = text.find(['[', '(', ':', ' '])?;
    let (program, mut rest) = text.split_at(end);
    if program.is_empty() {
        return None;
    }
    let mut module = "";
    if let Some(inner) = rest.strip_prefix('(') {
        (module, rest) = inner.split_once(')')?;
    }
    let mut pid = "";
    if let Some(inner) = rest.strip_prefix('[') {
        (pid, rest) = inner.split_once(']')?;
    }
    let message = rest.strip_prefix(':')?;
    let plain = |part: &str| !part.contains(' ');
    (plain(module) && plain(pid))
        .then(|| ((program, module, pid), message.strip_prefix(' ').unwrap_or(message)))
}

fn parse_5424(priority: Option<u32>, text: &str) -> Result<Line<'_>, &'static str> {
    let mut rest = text;
    let mut next = || -> Result<_, &'static str> {
        let (part, behind) = rest.split_once(' ').ok_or("an RFC 5424 header that ends early")?;
        rest = behind;
        Ok(if part == "-" { "" } else { part })
    };
    let (timestamp, host, program) = (next()?, next()?, next()?);
    let (pid, message_id) = (next()?, next()?);
    let (structured, rest) = match rest.strip_prefix('-') {
        Some(rest) => ("", rest),
        None => {
            let end = structured_end(rest).ok_or("structured data that breaks RFC 5424")?;
            rest.split_at(end)
        }
    };
    let message = match rest {
        "" => "",
        rest => rest.strip_prefix(' ').ok_or("no space behind structured data")?,
    };
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    let module = "";
    Ok(Line { priority, timestamp, host, program, module, pid, message_id, structured, message })
}

/// Where structured data ends; `None` where it breaks the rules or there is none.
fn structured_end(text: &str) -> Option<usize> {
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix('[') {
        let end = inner.find([' ', ']']).filter(|end| *end > 0)?;
        rest = &inner[end..];
        while let Some((_, _, behind)) = parameter(rest) {
            rest = behind;
        }
        rest = rest.strip_prefix(']')?;
    }
    (rest.len() < text.len()).then(|| text.len() - rest.len())
}

/// ` name="value"`, with the value still escaped, and what follows.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix(' ')?.split_once("=\"")?;
    if name.is_empty() || name.contains([' ', ']', '"']) {
        return None;
    }
    let mut escaped = false;
    let end = rest.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some((name, &rest[..end], &rest[end + 1..]))
}

/// Walks structured data that was found valid: each element's id, and its parameters.
pub(crate) fn elements(structured: &str) -> impl Iterator<Item = (&str, Parameters<'_>)> {
    let mut rest = structured;
    std::iter::from_fn(move || {
        let inner = rest.strip_prefix('[')?;
        let (id, parameters) = inner.split_at(inner.find([' ', ']'])?);
        rest = parameters;
        while let Some((_, _, behind)) = parameter(rest) {
            rest = behind;
        }
        rest = rest.strip_prefix(']')?;
        Some((id, Parameters { rest: parameters }))
    })
}

/// The parameters of one element.
pub(crate) struct Parameters<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let (name, value, behind) = parameter(self.rest)?;
        self.rest = behind;
        Some((name, value))
    }
}
