//! Turns syslog and sshd lines into JSON fields.
