use proptest::prelude::*;
use tidegate_plugin_sdk::serde_json::{Value, json};
use tidegate_plugin_sdk::testing::{Input, Tester};

use super::{parse, parsed};
use crate::ParseLog;

const COMBINED: &str = r#"10.1.2.3 - eve [10/Oct/2000:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326 "http://x.example/" "Mozilla/5.0 (X11)""#;

#[test]
fn the_combined_form() {
    assert_eq!(
        parsed(COMBINED),
        json!({"timestamp": "2000-10-10T13:55:36-07:00", "ip": "10.1.2.3", "user": "eve",
               "method": "GET", "path": "/a", "query": "b=1", "protocol": "HTTP/1.1",
               "status": 200, "bytes": 2326, "referer": "http://x.example/",
               "user_agent": "Mozilla/5.0 (X11)", "message": "GET /a?b=1 HTTP/1.1"})
    );
    let lean =
        parse(r#"{"format": "access", "message": false}"#, format!("{COMBINED}\r\n")).unwrap();
    assert_eq!(lean.get("message"), None);
    assert_eq!(lean["user_agent"], "Mozilla/5.0 (X11)");
}

#[test]
fn the_common_form_and_longer_ones() {
    let common = r#"host.example - - [01/Jan/2024:00:00:00 +0000] "HEAD / HTTP/2.0" 304 -"#;
    assert_eq!(
        parsed(common),
        json!({"timestamp": "2024-01-01T00:00:00+00:00", "rhost": "host.example", "method": "HEAD",
               "path": "/", "protocol": "HTTP/2.0", "status": 304, "message": "HEAD / HTTP/2.0"})
    );
    let longer = parsed(&format!(r#"{COMBINED} "203.0.113.9" rt=0.004"#));
    assert_eq!(longer["more"], r#""203.0.113.9" rt=0.004"#);
    let v6 = parsed(r#"2001:db8::1 - a b [01/Jan/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 5"#);
    assert_eq!((&v6["ip"], &v6["user"]), (&json!("2001:db8::1"), &json!("a b")));
}

#[test]
fn what_clients_send_is_unescaped_and_does_not_break_out() {
    let tls = r#"1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "\x16\x03\x01\x00" 400 150 "-" "-""#;
    assert_eq!(
        parsed(tls),
        json!({"timestamp": "2024-01-01T00:00:00+00:00", "ip": "1.2.3.4", "status": 400, "bytes": 150,
               "message": "\u{16}\u{3}\u{1}\0"})
    );
    let forged = r#"1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "GET /\" 200 1 \"x HTTP/1.1" 404 7 "\\" "a\x22b \xc3\xa9 \xff \q""#;
    let value = parsed(forged);
    assert_eq!(value["status"], 404);
    assert_eq!(value["message"], r#"GET /" 200 1 "x HTTP/1.1"#);
    assert_eq!(value.get("method"), None, "that is no request of HTTP");
    assert_eq!(value["referer"], "\\");
    assert_eq!(value["user_agent"], "a\"b é \u{fffd} \\q");
}

#[test]
fn what_is_no_access_log_says_what_it_lacks() {
    let line =
        |line: &str| COMBINED.replacen("10.1.2.3 - eve [10/Oct/2000:13:55:36 -0700]", line, 1);
    let access = r#"{"format": "access"}"#;
    for (text, reason) in [
        ("hello".to_owned(), "no time in brackets"),
        (line("10.1.2.3 - eve [10/Okt/2000:13:55:36 -0700]"), "no time in brackets"),
        (line("10.1.2.3 - eve [10/Oct/2000:13:55 -0700]"), "no time in brackets"),
        (line("10.1.2.3 - eve [10/Oct/2000:13:55:36]"), "no time in brackets"),
        (line("10.1.2.3 - [10/Oct/2000:13:55:36 -0700]"), "client, identity and user"),
        (COMBINED.replace("\"GET", "GET"), "no request in quotes"),
        (COMBINED.replace(" 200 ", " 20 "), "no status"),
        (COMBINED.replace("2326", "many"), "no size"),
        (COMBINED[..60].to_owned(), "no request in quotes"),
    ] {
        let found = parse(access, &text).unwrap_err();
        assert!(
            found.starts_with("not an access log line: ") && found.contains(reason),
            "{text}: {found}"
        );
        let kept = parse(r#"{"format": "access", "on_mismatch": "keep"}"#, &text);
        assert_eq!(kept, Ok(json!({ "message": text })));
    }
}

#[test]
fn json_lines_pass_as_they_are() {
    let line = r#"{ "level":"info","n":1.50 }"#;
    let mut plugin = Tester::<ParseLog>::transform("").unwrap();
    assert_eq!(plugin.apply_one(&Input::value(line)).unwrap()[0].text(), line);
    let ends = plugin.apply_one(&Input::value(format!("\u{feff}{line}\r\n"))).unwrap();
    assert_eq!(ends[0].text(), line);
    let json = r#"{"format": "json"}"#;
    assert!(parse(json, r#"{"a":"#).unwrap_err().starts_with("not a JSON line: EOF"));
    assert!(parse(json, "[1]").unwrap_err().contains("no object"));
    assert!(parse(json, COMBINED).unwrap_err().contains("no object"));
}

#[test]
fn each_form_is_told_from_the_others() {
    assert_eq!(parsed(COMBINED)["status"], 200);
    assert_eq!(parsed("Dec 10 06:55:48 h sshd[7]: x")["program"], "sshd");
    assert_eq!(parsed(r#"{"a":1}"#), json!({"a": 1}));
    let relayed = parsed(&format!("Dec 10 06:55:48 h nginx: {COMBINED}"));
    assert_eq!((&relayed["program"], &relayed["message"]), (&json!("nginx"), &json!(COMBINED)));
    assert!(
        parse(r#"{"format": "syslog"}"#, COMBINED).unwrap_err().starts_with("not a syslog line")
    );
    assert!(parse(r#"{"format": "syslog"}"#, r#"{"a":1}"#).is_err());
}

proptest! {
    #[test]
    fn any_line_gives_json_or_a_reason(
        request in "[\\PC\"\\\\\\[\\] ]{0,12}", agent in "[\\PC\"\\\\ ]{0,8}", tail in "\\PC{0,4}"
    ) {
        let line = format!(
            r#"1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "{request}" 200 5 "-" "{agent}"{tail}"#
        );
        // `parse` fails the test where the output is no JSON.
        let found: Result<Value, String> = parse(r#"{"format": "access"}"#, &line);
        let plain = !request.contains(['"', '\\']) && !agent.contains(['"', '\\']);
        if plain {
            let found = found.unwrap();
            prop_assert_eq!(&found["status"], 200);
            prop_assert_eq!(&found["message"], if request == "-" { "" } else { &request });
        }
    }
}
