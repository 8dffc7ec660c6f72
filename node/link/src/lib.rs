//! One site-to-site copy as a state machine, without IO or clock.
