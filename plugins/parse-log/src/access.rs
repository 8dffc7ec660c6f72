//! Access logs of nginx and Apache: the common and the combined form.
//!
//! Clients write most of such a line. What they sent is between quotes, in which both servers escape
//! quotes and control characters; it is cut there and nowhere else.

use std::borrow::Cow;
use std::net::IpAddr;

use tidegate_plugin_sdk::ValueWriter;

use crate::Config;
use crate::syslog::MONTHS;
use crate::write::Object;

/// What a line says, still escaped; what it does not say is empty, or a dash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line<'a> {
    client: &'a str,
    user: &'a str,
    time: Time<'a>,
    request: &'a str,
    status: &'a str,
    bytes: &'a str,
    referer: &'a str,
    agent: &'a str,
    /// What a longer form has behind that.
    more: &'a str,
}

/// `10/Oct/2000:13:55:36 -0700`, its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Time<'a> {
    day: &'a str,
    month: usize,
    year: &'a str,
    clock: &'a str,
    zone: &'a str,
}

/// Parses a line without its end, or says what it lacks.
pub(crate) fn parse(text: &str) -> Result<Line<'_>, &'static str> {
    let (who, rest) = text.split_once(" [").ok_or("no time in brackets")?;
    let mut words = who.splitn(3, ' ');
    let (client, ident) = (words.next().unwrap_or_default(), words.next());
    // A user's name may hold spaces.
    let user = words.next().ok_or("client, identity and user are expected before the time")?;
    if client.is_empty() || ident.is_none_or(str::is_empty) {
        return Err("client, identity and user are expected before the time");
    }
    let (time, rest) = rest.split_once("] ").ok_or("no time in brackets")?;
    let time = Time::parse(time).ok_or("no time in brackets")?;
    let (request, rest) = quoted(rest).ok_or("no request in quotes")?;
    let (status, rest) = word(rest);
    if status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit()) {
        return Err("no status behind the request");
    }
    let (bytes, rest) = word(rest);
    if bytes != "-" && (bytes.is_empty() || !bytes.bytes().all(|b| b.is_ascii_digit())) {
        return Err("no size behind the status");
    }
    let (referer, agent, more) = match quoted(rest)
        .and_then(|(referer, rest)| quoted(rest).map(|(agent, rest)| (referer, agent, rest)))
    {
        Some(combined) => combined,
        None => ("", "", rest),
    };
    Ok(Line { client, user, time, request, status, bytes, referer, agent, more: more.trim() })
}

impl<'a> Time<'a> {
    fn parse(text: &'a str) -> Option<Time<'a>> {
        let (date, zone) = text.split_once(' ')?;
        let (date, clock) = date.split_once(':')?;
        let mut parts = date.split('/');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let digits =
            |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
        let colons = clock.split(':').filter(|part| digits(part, 2)).count() == 3;
        let signed = zone.strip_prefix(['+', '-'])?;
        let valid = digits(day, 2)
            && digits(year, 4)
            && clock.len() == 8
            && colons
            && digits(signed, 4)
            && parts.next().is_none();
        let month = MONTHS.iter().position(|known| *known == month).filter(|_| valid)? + 1;
        Some(Time { day, month, year, clock, zone })
    }

    /// RFC 3339.
    fn text(self) -> String {
        let Time { day, month, year, clock, zone } = self;
        let (hours, minutes) = zone.split_at(3);
        format!("{year}-{month:02}-{day}T{clock}{hours}:{minutes}")
    }
}

/// The text in quotes that comes next, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some((&inner[..end], &inner[end + 1..]))
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(' ').unwrap_or((text, ""))
}

/// What the client sent: nginx escapes as `\x22`, Apache as `\"` and `\n` too.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, used) = match rest {
            [b'\\', b'x', high, low, ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => (b'\\', 1),
            },
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', byte @ (b'"' | b'\\'), ..] => (*byte, 2),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &behind[used - 1..];
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

pub(crate) fn write(out: &mut ValueWriter<'_>, line: &Line<'_>, config: &Config) {
    let mut object = Object::new(out);
    object.text("timestamp", &line.time.text());
    let is_address = line.client.parse::<IpAddr>().is_ok();
    object.text(if is_address { "ip" } else { "rhost" }, line.client);
    let said = |text: &str| if text == "-" { String::new() } else { unescaped(text).into_owned() };
    object.some("user", &said(line.user));
    let request = said(line.request);
    let mut parts = request.split(' ');
    if let (Some(method), Some(target), Some(protocol), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
        && protocol.starts_with("HTTP/")
    {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        object.some("method", method);
        object.some("path", path);
        object.some("query", query);
        object.some("protocol", protocol);
    }
    object.number("status", line.status);
    if line.bytes != "-" {
        object.number("bytes", line.bytes);
    }
    object.some("referer", &said(line.referer));
    object.some("user_agent", &said(line.agent));
    object.some("more", line.more);
    if config.message {
        object.text("message", &request);
    }
    object.end();
}
