use proptest::prelude::*;
use tidegate_plugin_sdk::serde_json::Value;
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::Redact;

fn redact(config: &str, text: &str) -> String {
    let mut plugin = Tester::<Redact>::transform(config).unwrap();
    let puts = plugin.apply_one(&Input::value(text)).unwrap();
    assert_eq!(puts.len(), 1);
    puts[0].text().to_owned()
}

fn masked(text: &str) -> String {
    redact("", text)
}

#[test]
fn secrets_go_by_their_names() {
    for (text, expected) in [
        ("login password=hunter2 ok", "login password=*** ok"),
        ("PASSWORD: hunter2, next", "PASSWORD: ***, next"),
        ("db_password='a b'; x", "db_password='***'; x"),
        ("X-Api-Key: abc123", "X-Api-Key: ***"),
        ("url?a=1&access_token=abc&b=2", "url?a=1&access_token=***&b=2"),
        (r#"{"user":"eve","token":"t\"1","n":2}"#, r#"{"user":"eve","token":"***","n":2}"#),
        (r#"{"pwd" : 12345 , "n":2}"#, r#"{"pwd" : "***" , "n":2}"#),
        (r#"{"token":null,"secret":{"a":1}}"#, r#"{"token":null,"secret":{"a":1}}"#),
        (r#"{"m":"{\"secret\":\"s3\",\"b\":1}"}"#, r#"{"m":"{\"secret\":\"***\",\"b\":1}"}"#),
        (r#"{"m":"password=s3"}"#, r#"{"m":"password=***"}"#),
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        (r#"{"authorization":"Basic dXNlcjpw"}"#, r#"{"authorization":"Basic ***"}"#),
        ("password=", "password="),
        ("secret => x", "secret => ***"),
        ("passwords=ok tokens: 12 monkey=1", "passwords=ok tokens: 12 monkey=1"),
        ("Failed password for root from x", "Failed password for root from x"),
        ("password=\"never closed", "password=\"***"),
    ] {
        assert_eq!(masked(text), expected, "{text}");
    }
}

#[test]
fn secrets_go_by_their_looks() {
    for (text, expected) in [
        ("got Bearer abcDEF123456 ok", "got Bearer *** ok"),
        ("basic knowledge of things", "basic knowledge of things"),
        ("basic authentication failed", "basic authentication failed"),
        ("key AKIAABCDEFGHIJKLMNOP.", "key ***."),
        ("ghp_abcdefghijklmnop1234", "***"),
        ("sk-short", "sk-short"),
        ("jwt eyJhbGciOi.eyJzdWIiOi.abc-_1 end", "jwt *** end"),
        ("amqp://u:p%40w@host:5672/v", "amqp://u:***@host:5672/v"),
        ("http://host:80/a@b", "http://host:80/a@b"),
    ] {
        assert_eq!(masked(text), expected, "{text}");
    }
}

#[test]
fn addresses_are_found_and_what_looks_like_them_is_not() {
    for (text, expected) in [
        ("from 173.234.31.186 port 22", "from *** port 22"),
        ("10.0.0.1:8080, 10.0.0.0/8.", "***:8080, ***/8."),
        ("rhost=1.2.3.4", "rhost=***"),
        (
            "1.2.3.4.5 1.2.3 256.1.1.1 v1.2.3.4 1.2.3.4a",
            "1.2.3.4.5 1.2.3 256.1.1.1 v1.2.3.4 1.2.3.4a",
        ),
        ("[::1]:80 fe80::1%eth0 2001:db8::ff00:42:8329.", "[***]:80 ***%eth0 ***."),
        ("from ::1: refused, ::ffff:1.2.3.4", "from ***: refused, ***"),
        ("1:2:3:4:5:6:7:8 at", "*** at"),
        (
            "12:34:56 std::fs a::b() 00:11:22:33:44:55 ::",
            "12:34:56 std::fs ***() 00:11:22:33:44:55 ::",
        ),
        ("mail eve.x+tag@example.co.uk.", "mail ***."),
        ("<bob@example.org>, a@b root@host user@10", "<***>, a@b root@host user@10"),
    ] {
        assert_eq!(masked(text), expected, "{text}");
    }
}

#[test]
fn only_the_kinds_that_are_asked_for_go() {
    let text = "password=a 1.2.3.4 ::1 a@b.org";
    assert_eq!(redact(r#"{"kinds":["secrets"]}"#, text), "password=*** 1.2.3.4 ::1 a@b.org");
    assert_eq!(redact(r#"{"kinds":["ipv4"]}"#, text), "password=a *** ::1 a@b.org");
    assert_eq!(redact(r#"{"kinds":["ipv6"]}"#, text), "password=a 1.2.3.4 *** a@b.org");
    assert_eq!(redact(r#"{"kinds":["email"]}"#, text), "password=a 1.2.3.4 ::1 ***");
}

#[test]
fn mask_names_and_the_last_octet_are_settings() {
    assert_eq!(redact(r#"{"mask":"<gone>"}"#, "at 1.2.3.4"), "at <gone>");
    assert_eq!(redact(r#"{"keep_last_octet":true}"#, "at 1.2.3.45:80"), "at ***.45:80");
    assert_eq!(redact(r#"{"names":["Session-ID"]}"#, "session_id=7 id=8"), "session_id=*** id=8");
}

#[test]
fn what_holds_nothing_is_kept_as_it_is() {
    let mut plugin = Tester::<Redact>::transform("").unwrap();
    for record in [Input::null(), Input::value(""), Input::value(b"\xff\xfe\0 \x80")] {
        let puts = plugin.apply_one(&record).unwrap();
        assert_eq!(puts[0].record, record);
    }
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        (r#"{"kind":[]}"#, "unknown field `kind`"),
        (r#"{"kinds":[]}"#, "`kinds` is empty"),
        (r#"{"kinds":["ip"]}"#, "unknown variant `ip`"),
        (r#"{"mask":"\""}"#, "`mask`"),
        (r#"{"names":["a b"]}"#, "`a b` in `names`"),
        (r#"{"names":["-"]}"#, "`-` in `names`"),
        (r#"{"names":["a"],"kinds":["ipv4"]}"#, "`names` is for kind `secrets`"),
    ] {
        let reason = Tester::<Redact>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

/// Pieces of which hostile texts are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-f0-9:.@=_\"'\\\\ -]{0,12}",
        Just("password=".to_owned()),
        Just("Bearer ".to_owned()),
        Just("://".to_owned()),
        Just("eyJ".to_owned()),
        "\\PC{0,4}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_taken_and_masking_twice_changes_no_more_addresses(
        pieces in prop::collection::vec(piece(), 0..12)
    ) {
        let text = pieces.concat();
        let config = r##"{"kinds": ["ipv4", "ipv6", "email"], "mask": "#"}"##;
        let once = redact(config, &text);
        prop_assert_eq!(redact(config, &once), once.clone());
        masked(&text);
    }

    #[test]
    fn a_json_line_stays_json(
        name in "[a-z_]{0,6}(password|token|id|secret)",
        value in prop_oneof![any::<i32>().prop_map(Value::from), "\\PC{0,12}".prop_map(Value::from)],
        ip in any::<[u8; 4]>(),
    ) {
        let ip = std::net::Ipv4Addr::from(ip);
        let text = format!(r#"{{"a": [1], "{name}": {value}, "ip":"{ip}", "z": true}}"#);
        let out = masked(&text);
        prop_assert!(valid(&out), "{} became {}", text, out);
        let address = format!("\"{ip}\"");
        prop_assert!(!out.contains(&address), "{} became {}", text, out);
    }

    #[test]
    fn every_address_alone_is_masked(v4 in any::<[u8; 4]>(), v6 in any::<[u16; 8]>()) {
        prop_assert_eq!(masked(&std::net::Ipv4Addr::from(v4).to_string()), "***");
        prop_assert_eq!(masked(&std::net::Ipv6Addr::from(v6).to_string()), "***");
    }
}

fn valid(text: &str) -> bool {
    tidegate_plugin_sdk::serde_json::from_str::<Value>(text).is_ok()
}
