//! What sshd and PAM say in their messages.
//!
//! Users come from the network: a name may hold spaces, or the words of another message. Therefore
//! names are cut from the right, where sshd itself wrote.

use std::net::IpAddr;

/// What a message says; what it does not say is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Event<'a> {
    pub(crate) name: &'static str,
    /// Behind `accepted_` and `failed_`.
    pub(crate) method: &'a str,
    pub(crate) user: &'a str,
    pub(crate) invalid_user: bool,
    /// An address or a host's name.
    pub(crate) peer: &'a str,
    pub(crate) port: &'a str,
    pub(crate) code: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) repeated: &'a str,
    pub(crate) count: &'a str,
}

impl Event<'_> {
    /// Whether the peer is an address, not a name.
    pub(crate) fn peer_is_address(&self) -> bool {
        self.peer.parse::<IpAddr>().is_ok()
    }
}

/// The event in a message of this program, if it is one that is known.
pub(crate) fn find<'a>(program: &str, module: &str, message: &'a str) -> Option<Event<'a>> {
    if matches!(program, "sshd" | "sshd-session" | "sshd-auth") {
        return sshd(message).or_else(|| pam(module, message));
    }
    pam(module, message)
}

fn sshd(message: &str) -> Option<Event<'_>> {
    if let Some(rest) = message.strip_prefix("message repeated ") {
        let (repeated, rest) = rest.split_once(" times: [ ")?;
        return Some(Event { repeated, ..once(rest.strip_suffix(']')?)? });
    }
    once(message)
}

fn once(message: &str) -> Option<Event<'_>> {
    let message = message.strip_suffix(" [preauth]").unwrap_or(message).trim_end();
    let message = ["error: ", "fatal: "]
        .iter()
        .find_map(|level| message.strip_prefix(level))
        .unwrap_or(message);
    logins(message).or_else(|| connections(message)).or_else(|| oddities(message))
}

fn named(name: &'static str) -> Event<'static> {
    Event { name, ..Event::default() }
}

/// Attempts to log in, good and bad.
fn logins(message: &str) -> Option<Event<'_>> {
    for (begin, name) in [("Failed ", "failed_"), ("Accepted ", "accepted_")] {
        if let Some(rest) = message.strip_prefix(begin) {
            let (method, rest) = rest.split_once(" for ")?;
            let (user, peer) = rest.rsplit_once(" from ")?;
            return Some(Event { method, ..with_user(with_peer(named(name), peer), user) });
        }
    }
    if let Some(rest) = message.strip_prefix("Invalid user ") {
        let (user, peer) = rest.rsplit_once(" from ").or_else(|| {
            // An empty name leaves nothing between the two.
            Some(("", rest.strip_prefix("from ")?))
        })?;
        return Some(Event { user, invalid_user: true, ..with_peer(named("invalid_user"), peer) });
    }
    if let Some(user) = message.strip_prefix("input_userauth_request: invalid user ") {
        return Some(Event { user, invalid_user: true, ..named("invalid_user_request") });
    }
    if let Some(rest) = message.strip_prefix("maximum authentication attempts exceeded for ") {
        let (user, peer) = rest.rsplit_once(" from ")?;
        return Some(with_user(with_peer(named("too_many_failures"), peer), user));
    }
    if let Some(rest) = message.strip_prefix("Disconnecting: Too many authentication failures") {
        let user = rest.strip_prefix(" for ").unwrap_or_default();
        return Some(with_user(named("too_many_failures"), user));
    }
    None
}

/// Connections that come and go.
fn connections(message: &str) -> Option<Event<'_>> {
    for (begin, name) in [
        ("Connection closed by ", "connection_closed"),
        ("Connection reset by ", "connection_reset"),
        ("Disconnected from ", "disconnected"),
    ] {
        if let Some(rest) = message.strip_prefix(begin) {
            return Some(with_user_and_peer(named(name), rest));
        }
    }
    if let Some(rest) = message.strip_prefix("Connection from ") {
        return Some(with_peer(named("connection_opened"), rest));
    }
    if let Some(rest) = message.strip_prefix("Received disconnect from ") {
        // A port stands before the colon in newer versions; an IPv6 address has colons of its own,
        // but no space behind them.
        let (peer, rest) = match rest.split_once(" port ") {
            Some((address, behind)) if !address.contains(' ') => {
                let (port, _) = behind.split_once(':')?;
                rest.split_at(address.len() + " port ".len() + port.len())
            }
            _ => rest.split_at(rest.find(": ")?),
        };
        let (code, reason) = rest.strip_prefix(':')?.trim_start().split_once(':')?;
        let reason = reason.trim();
        return Some(Event { code, reason, ..with_peer(named("disconnected"), peer) });
    }
    if let Some(rest) = message.strip_prefix("Did not receive identification string from ") {
        return Some(with_peer(named("no_identification"), rest));
    }
    if let Some(rest) = message.strip_prefix("Bad protocol version identification ") {
        let (_, peer) = rest.rsplit_once(" from ")?;
        return Some(with_peer(named("bad_protocol"), peer));
    }
    None
}

fn oddities(message: &str) -> Option<Event<'_>> {
    if let Some(rest) = message.strip_prefix("reverse mapping checking getaddrinfo for ") {
        let (host, rest) = rest.split_once(" [")?;
        let (peer, _) = rest.split_once("] failed")?;
        return Some(Event { peer, reason: host, ..named("reverse_mapping_failed") });
    }
    if let Some(rest) = message.strip_prefix("Address ") {
        let (peer, rest) = rest.split_once(" maps to ")?;
        let (host, _) = rest.split_once(", but this does not map back")?;
        return Some(Event { peer, reason: host, ..named("reverse_mapping_failed") });
    }
    None
}

/// PAM's own messages, which name their module in front, or behind the program's name.
fn pam<'a>(module: &str, message: &'a str) -> Option<Event<'a>> {
    let text = message.trim_end();
    if let Some(rest) = text.strip_prefix("PAM ") {
        if rest.starts_with("service(") && rest.contains(" ignoring max retries") {
            return Some(named("pam_max_retries"));
        }
        let (count, rest) = rest.split_once(" more authentication failure")?;
        return Some(Event { count, ..with_attributes(named("pam_failure"), rest) });
    }
    let text = match text.strip_prefix("pam_") {
        Some(rest) => rest.split_once("): ")?.1,
        None if module.starts_with("pam_") => text,
        None => return None,
    };
    if let Some(rest) = text.strip_prefix("authentication failure;") {
        return Some(with_attributes(named("pam_failure"), rest));
    }
    if text == "check pass; user unknown" {
        return Some(named("pam_unknown_user"));
    }
    for (begin, name) in [
        ("session opened for user ", "session_opened"),
        ("session closed for user ", "session_closed"),
    ] {
        if let Some(rest) = text.strip_prefix(begin) {
            let user = rest.split_once(" by ").map_or(rest, |(user, _)| user);
            // Newer versions write `eve(uid=1000)`.
            let user = user.split_once("(uid=").map_or(user, |(user, _)| user);
            return Some(Event { user, ..named(name) });
        }
    }
    None
}

/// `rhost=` and `user=` among PAM's attributes. The user is the last of them.
fn with_attributes<'a>(mut event: Event<'a>, text: &'a str) -> Event<'a> {
    let word = |text: &'a str| text.split_once(' ').map_or(text, |(word, _)| word);
    if let Some((_, rest)) = text.split_once(" rhost=") {
        event.peer = word(rest);
        if let Some((_, user)) = rest.split_once(" user=") {
            event.user = user.trim();
        }
    }
    event
}

/// `invalid user eve` or `eve`.
fn with_user<'a>(mut event: Event<'a>, text: &'a str) -> Event<'a> {
    let invalid = text.strip_prefix("invalid user ");
    event.invalid_user = invalid.is_some();
    event.user = invalid.unwrap_or(text);
    event
}

/// `10.1.2.3`, `10.1.2.3 port 22`, and more words behind.
fn with_peer<'a>(mut event: Event<'a>, text: &'a str) -> Event<'a> {
    let mut words = text.split(' ');
    event.peer = words.next().unwrap_or_default();
    if words.next() == Some("port") {
        let port = words.next().unwrap_or_default();
        event.port = port.trim_end_matches(|c: char| !c.is_ascii_digit());
    }
    event
}

/// `authenticating user eve 10.1.2.3 port 22`, or without the user.
fn with_user_and_peer<'a>(event: Event<'a>, text: &'a str) -> Event<'a> {
    let (user, invalid_user) = match (
        text.strip_prefix("authenticating user ").or_else(|| text.strip_prefix("user ")),
        text.strip_prefix("invalid user "),
    ) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return with_peer(event, text),
    };
    let (before, port) = user.rsplit_once(" port ").unwrap_or((user, ""));
    let (user, peer) = before.rsplit_once(' ').unwrap_or(("", before));
    Event { user, invalid_user, peer, port, ..event }
}
