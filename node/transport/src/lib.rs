//! QUIC endpoints, TLS identities and the built-in certificate authority.
