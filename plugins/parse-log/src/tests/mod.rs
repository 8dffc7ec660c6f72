mod access;
mod events;

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
        (r#"{"format": "csv"}"#, "unknown variant `csv`"),
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
