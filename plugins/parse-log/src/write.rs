//! From what was read to JSON.

use tidegate_plugin_sdk::ValueWriter;

use crate::Config;
use crate::event::{self, Event};
use crate::syslog::{Line, elements};

/// Longest digits that every reader of JSON takes for a whole number.
const MAX_DIGITS: usize = 15;

/// Writes a JSON object, field by field.
pub(crate) struct Object<'a, 'b> {
    out: &'a mut ValueWriter<'b>,
    first: bool,
}

impl<'a, 'b> Object<'a, 'b> {
    pub(crate) fn new(out: &'a mut ValueWriter<'b>) -> Object<'a, 'b> {
        out.put(b"{");
        Object { out, first: true }
    }

    fn name(&mut self, name: &str) {
        if !self.first {
            self.out.put(b",");
        }
        self.first = false;
        self.out.put_json_string(name);
        self.out.put(b":");
    }

    /// A text, even if it is empty.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.out.put_json_string(text);
    }

    /// A text, unless it is empty.
    pub(crate) fn some(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }

    /// A number where the text is one, else the text; nothing where it is empty.
    pub(crate) fn number(&mut self, name: &str, text: &str) {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let plain = text.len() <= MAX_DIGITS && (text.len() == 1 || !text.starts_with('0'));
        if text.is_empty() || !digits || !plain {
            self.some(name, text);
        } else {
            self.raw(name, text);
        }
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.out.put(json.as_bytes());
    }

    pub(crate) fn end(self) {
        self.out.put(b"}");
    }
}

pub(crate) fn line(out: &mut ValueWriter<'_>, line: &Line<'_>, config: &Config) {
    let mut object = Object::new(out);
    object.some("timestamp", line.timestamp);
    if let Some(priority) = line.priority {
        object.raw("facility", &(priority / 8).to_string());
        object.raw("severity", &(priority % 8).to_string());
    }
    object.some("host", line.host);
    object.some("program", line.program);
    object.some("module", line.module);
    object.number("pid", line.pid);
    object.some("message_id", line.message_id);
    structured(&mut object, line.structured);
    if config.events
        && let Some(found) = event::find(line.program, line.module, line.message)
    {
        event(&mut object, &found);
    }
    if config.message {
        object.text("message", line.message);
    }
    object.end();
}

fn event(object: &mut Object<'_, '_>, event: &Event<'_>) {
    if event.method.is_empty() {
        object.text("event", event.name);
    } else {
        // `keyboard-interactive/pam` becomes `failed_keyboard_interactive`.
        let method = event.method.split('/').next().unwrap_or_default().replace('-', "_");
        object.text("event", &format!("{}{method}", event.name));
        object.text("method", event.method);
    }
    object.some("user", event.user);
    if event.invalid_user {
        object.raw("invalid_user", "true");
    }
    object.some(if event.peer_is_address() { "ip" } else { "rhost" }, event.peer);
    object.number("port", event.port);
    object.number("code", event.code);
    object.some("reason", event.reason);
    object.number("repeated", event.repeated);
    object.number("count", event.count);
}

fn structured(object: &mut Object<'_, '_>, structured: &str) {
    if structured.is_empty() {
        return;
    }
    object.name("structured");
    let mut ids = Object::new(object.out);
    for (id, parameters) in elements(structured) {
        ids.name(id);
        let mut fields = Object::new(ids.out);
        for (name, value) in parameters {
            fields.text(name, &unescaped(value));
        }
        fields.end();
    }
    ids.end();
}

/// RFC 5424 escapes `"`, `\` and `]`; any other backslash stands for itself.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next @ ('"' | '\\' | ']')) if c == '\\' => {
                text.push(*next);
                chars.next();
            }
            _ => text.push(c),
        }
    }
    text
}
