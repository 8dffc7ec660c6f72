use tidegate_plugin_sdk::serde_json::{Value, json};

use super::parse;

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
