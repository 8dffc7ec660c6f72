use proptest::prelude::*;
use tidegate_plugin_sdk::serde_json::{self, Value, json};
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::ParseLog;

fn parse(config: &str, line: impl AsRef<[u8]>) -> Result<Value, String> {
    let mut plugin = Tester::<ParseLog>::transform(config).unwrap();
    let puts = plugin.apply_one(&Input::value(line))?;
    assert_eq!(puts.len(), 1);
    Ok(serde_json::from_str(puts[0].text()).unwrap())
}

fn parsed(line: &str) -> Value {
    parse("", line).unwrap()
}

/// What is said of an sshd message besides the line's own fields.
fn event(message: &str) -> Value {
    let line = format!("Dec 10 06:55:48 host sshd[7]: {message}");
    let mut value = parse(r#"{"message": false}"#, line).unwrap();
    let object = value.as_object_mut().unwrap();
    for name in ["timestamp", "host", "program", "pid"] {
        assert!(object.remove(name).is_some(), "{message}: no {name}");
    }
    value
}

#[test]
fn rfc_3164_with_and_without_its_parts() {
    assert_eq!(
        parsed("<38>Dec  1 06:55:46 LabSZ sshd[24200]: hello \"x\"\r\n"),
        json!({"timestamp": "Dec  1 06:55:46", "facility": 4, "severity": 6, "host": "LabSZ",
               "program": "sshd", "pid": 24200, "message": "hello \"x\""})
    );
    assert_eq!(
        parsed(
            "\u{feff}Jun 14 15:16:01 combo su(pam_unix)[1]: session opened for user news by (uid=0)"
        ),
        json!({"timestamp": "Jun 14 15:16:01", "host": "combo", "program": "su",
               "module": "pam_unix", "pid": 1, "event": "session_opened", "user": "news",
               "message": "session opened for user news by (uid=0)"})
    );
    assert_eq!(parsed("Jun 14 15:16:01 combo kernel: a: b")["program"], "kernel");
    let bare = parsed("Jun 14 15:16:01 combo syslogd 1.4.1: restart.");
    assert_eq!(bare["message"], "syslogd 1.4.1: restart.");
    assert_eq!(bare.get("program"), None);
    let iso = parsed("2024-05-01T10:00:00.123456+02:00 edge systemd[1]: Started.");
    assert_eq!(iso["timestamp"], "2024-05-01T10:00:00.123456+02:00");
    assert_eq!(iso["program"], "systemd");
}

#[test]
fn rfc_5424_with_structured_data() {
    let value = parsed(
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 12 ID47 \
         [ex@32473 iut=\"3\" q=\"a \\\"b\\\" \\] \\n\"][two] \u{feff}An event",
    );
    assert_eq!(
        value,
        json!({"timestamp": "2003-10-11T22:14:15.003Z", "facility": 20, "severity": 5,
               "host": "mymachine.example.com", "program": "evntslog", "pid": 12,
               "message_id": "ID47",
               "structured": {"ex@32473": {"iut": "3", "q": "a \"b\" ] \\n"}, "two": {}},
               "message": "An event"})
    );
    assert_eq!(parsed("<0>1 - - - - - -"), json!({"facility": 0, "severity": 0, "message": ""}));
}

#[test]
fn what_is_no_syslog_fails_with_the_reason_or_is_kept() {
    for (line, reason) in [
        ("", "no timestamp"),
        ("hello world", "no timestamp"),
        ("Foo 10 06:55:46 host x: y", "no timestamp"),
        ("Dec 10 06:55:46", "no timestamp"),
        ("Dec 10 06:55:46 host", "nothing behind the host"),
        ("<38 x", "`<` without `>`"),
        ("<192>Dec 10 06:55:46 host x: y", "above 191"),
        ("<x>Dec 10 06:55:46 host x: y", "no number"),
        ("<+1>Dec 10 06:55:46 host x: y", "no number"),
        ("<1>1 - - -", "ends early"),
        ("<1>1 - - - - - [a b=\"c\"", "structured data"),
        ("<1>1 - - - - - x", "structured data"),
        ("Dec\u{e9}10 06:55:46 host x: y", "no timestamp"),
    ] {
        let found = parse("", line).unwrap_err();
        assert!(found.contains(reason), "{line}: {found}");
        assert!(found.starts_with("not a syslog line"), "{found}");
        assert_eq!(parse(r#"{"on_mismatch": "keep"}"#, line), Ok(json!({"message": line})));
    }
    assert!(parse("", b"\xff\n").unwrap_err().contains("UTF-8"));
    let kept = parse(r#"{"on_mismatch": "keep"}"#, b"a\xff\n");
    assert_eq!(kept, Ok(json!({"message": "a\u{fffd}"})));
    let mut plugin = Tester::<ParseLog>::transform("").unwrap();
    assert_eq!(plugin.apply_one(&Input::null()), Err("value is null".into()));
}

#[test]
fn sshd_logins() {
    for (message, expected) in [
        (
            "Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2",
            json!({"event": "failed_password", "method": "password", "user": "webmaster",
                   "invalid_user": true, "ip": "173.234.31.186", "port": 38926}),
        ),
        (
            "Failed keyboard-interactive/pam for root from ::1 port 2 ssh2",
            json!({"event": "failed_keyboard_interactive", "method": "keyboard-interactive/pam",
                   "user": "root", "ip": "::1", "port": 2}),
        ),
        (
            "Accepted publickey for eve from 10.0.0.1 port 50514 ssh2: RSA SHA256:abc",
            json!({"event": "accepted_publickey", "method": "publickey", "user": "eve",
                   "ip": "10.0.0.1", "port": 50514}),
        ),
        (
            "Accepted password for fztu from 119.137.62.142 port 49116 ssh2",
            json!({"event": "accepted_password", "method": "password", "user": "fztu",
                   "ip": "119.137.62.142", "port": 49116}),
        ),
        (
            "Invalid user a from 9.9.9.9 port 1 from 10.0.0.2",
            json!({"event": "invalid_user", "user": "a from 9.9.9.9 port 1", "invalid_user": true,
                   "ip": "10.0.0.2"}),
        ),
        (
            "Invalid user  from 10.0.0.2 port 5",
            json!({"event": "invalid_user", "invalid_user": true, "ip": "10.0.0.2", "port": 5}),
        ),
        (
            "input_userauth_request: invalid user 0 [preauth]",
            json!({"event": "invalid_user_request", "user": "0", "invalid_user": true}),
        ),
        (
            "message repeated 5 times: [ Failed password for root from 1.2.3.4 port 5 ssh2]",
            json!({"event": "failed_password", "method": "password", "user": "root",
                   "ip": "1.2.3.4", "port": 5, "repeated": 5}),
        ),
        (
            "error: maximum authentication attempts exceeded for invalid user x from 1.2.3.4 port 5 ssh2 [preauth]",
            json!({"event": "too_many_failures", "user": "x", "invalid_user": true,
                   "ip": "1.2.3.4", "port": 5}),
        ),
        (
            "Disconnecting: Too many authentication failures for root [preauth]",
            json!({"event": "too_many_failures", "user": "root"}),
        ),
    ] {
        assert_eq!(event(message), expected, "{message}");
    }
}

#[test]
fn sshd_connections() {
    for (message, expected) in [
        (
            "Connection closed by 212.47.254.145 [preauth]",
            json!({"event": "connection_closed", "ip": "212.47.254.145"}),
        ),
        (
            "Connection closed by authenticating user root 1.2.3.4 port 22 [preauth]",
            json!({"event": "connection_closed", "user": "root", "ip": "1.2.3.4", "port": 22}),
        ),
        (
            "Connection reset by invalid user a b 1.2.3.4 port 22",
            json!({"event": "connection_reset", "user": "a b", "invalid_user": true,
                   "ip": "1.2.3.4", "port": 22}),
        ),
        (
            "Disconnected from user eve 1.2.3.4 port 22",
            json!({"event": "disconnected", "user": "eve", "ip": "1.2.3.4", "port": 22}),
        ),
        (
            "Received disconnect from 52.80.34.196: 11: Bye Bye [preauth]",
            json!({"event": "disconnected", "ip": "52.80.34.196", "code": 11, "reason": "Bye Bye"}),
        ),
        (
            "error: Received disconnect from fe80::1 port 7:3: com.jcraft.jsch.JSchException: Auth fail [preauth]",
            json!({"event": "disconnected", "ip": "fe80::1", "port": 7, "code": 3,
                   "reason": "com.jcraft.jsch.JSchException: Auth fail"}),
        ),
        (
            "Connection from 1.2.3.4 port 5 on 10.0.0.1 port 22",
            json!({"event": "connection_opened", "ip": "1.2.3.4", "port": 5}),
        ),
        (
            "Did not receive identification string from 1.2.3.4",
            json!({"event": "no_identification", "ip": "1.2.3.4"}),
        ),
        (
            "Bad protocol version identification 'GET / from x' from 1.2.3.4 port 5",
            json!({"event": "bad_protocol", "ip": "1.2.3.4", "port": 5}),
        ),
        (
            "reverse mapping checking getaddrinfo for ns.example.com [1.2.3.4] failed - POSSIBLE BREAK-IN ATTEMPT!",
            json!({"event": "reverse_mapping_failed", "ip": "1.2.3.4", "reason": "ns.example.com"}),
        ),
        (
            "Address 1.2.3.4 maps to a.example.com, but this does not map back to the address - POSSIBLE BREAK-IN ATTEMPT!",
            json!({"event": "reverse_mapping_failed", "ip": "1.2.3.4", "reason": "a.example.com"}),
        ),
        ("Server listening on 0.0.0.0 port 22.", json!({})),
    ] {
        assert_eq!(event(message), expected, "{message}");
    }
}

#[test]
fn pam() {
    let attributes = "logname= uid=0 euid=0 tty=ssh ruser= rhost=";
    for (message, expected) in [
        (
            format!(
                "pam_unix(sshd:auth): authentication failure; {attributes}a.example.com  user=root"
            ),
            json!({"event": "pam_failure", "user": "root", "rhost": "a.example.com"}),
        ),
        (
            format!("pam_unix(sshd:auth): authentication failure; {attributes}1.2.3.4 "),
            json!({"event": "pam_failure", "ip": "1.2.3.4"}),
        ),
        (
            format!("PAM 4 more authentication failures; {attributes}1.2.3.4  user=root"),
            json!({"event": "pam_failure", "user": "root", "ip": "1.2.3.4", "count": 4}),
        ),
        (
            "pam_unix(sshd:auth): check pass; user unknown".into(),
            json!({"event": "pam_unknown_user"}),
        ),
        (
            "PAM service(sshd) ignoring max retries; 6 > 3".into(),
            json!({"event": "pam_max_retries"}),
        ),
        (
            "pam_unix(sshd:session): session opened for user eve(uid=1000) by (uid=0)".into(),
            json!({"event": "session_opened", "user": "eve"}),
        ),
        (
            "pam_unix(sshd:session): session closed for user eve".into(),
            json!({"event": "session_closed", "user": "eve"}),
        ),
    ] {
        assert_eq!(event(&message), expected, "{message}");
    }
}

#[test]
fn events_and_message_can_be_left_out() {
    let line = "Dec 10 06:55:48 h sshd[7]: Connection closed by 1.2.3.4";
    let value = parse(r#"{"events": false}"#, line).unwrap();
    assert_eq!(value.get("event"), None);
    assert_eq!(value["message"], "Connection closed by 1.2.3.4");
    let other = parsed("Dec 10 06:55:48 h cron[7]: Connection closed by 1.2.3.4");
    assert_eq!(other.get("event"), None);
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        (r#"{"mismatch": "keep"}"#, "unknown field `mismatch`"),
        (r#"{"on_mismatch": "drop"}"#, "unknown variant `drop`"),
        (r#"{"events": "yes"}"#, "invalid type"),
    ] {
        let reason = Tester::<ParseLog>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

/// Fragments that steer lines into every branch.
fn fragment() -> impl Strategy<Value = String> {
    const WORDS: [&str; 24] = [
        "<38>",
        "1 ",
        "Dec 10 06:55:48 ",
        "host ",
        "sshd[7]: ",
        "sshd(pam_unix)[1]: ",
        " from ",
        " port ",
        "Failed ",
        "password for ",
        "invalid user ",
        "Received disconnect from ",
        ": ",
        "message repeated 2 times: [ ",
        "]",
        "pam_unix(x): authentication failure;",
        " rhost=",
        " user=",
        "[id k=\"v\"]",
        "- - - - - ",
        "\"",
        "\\",
        "Address ",
        " maps to ",
    ];
    prop_oneof![prop::sample::select(&WORDS[..]).prop_map(String::from), "\\PC{0,3}"]
}

proptest! {
    #[test]
    fn any_line_gives_json_or_a_reason(words in prop::collection::vec(fragment(), 0..14)) {
        let tail = words.concat();
        for line in [tail.clone(), format!("Dec 10 06:55:48 h sshd[7]: {tail}"), format!("<1>1 - - - - - {tail}")] {
            // `parse` fails the test where the output is no JSON.
            if let Ok(value) = parse("", &line) {
                prop_assert!(value["message"].is_string());
            }
            let kept = parse(r#"{"on_mismatch": "keep"}"#, &line);
            prop_assert!(kept.is_ok());
        }
    }
}
