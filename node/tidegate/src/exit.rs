//! Exit codes, and the failures that carry them.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | it failed |
//! | 2 | wrong usage |
//! | 3 | the topic, partition, plugin, link or group does not exist |
//! | 4 | not allowed |
//! | 5 | the node could not be reached, or did not answer in time |
//!
//! [`Exit::of_code`] is the one place where the protocol's errors become exit codes.

use std::error::Error;
use std::fmt;

use tidegate_wire::{ErrorBody, ErrorCode};

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// What was asked for does not exist.
    NotFound = 3,
    /// Not allowed.
    Denied = 4,
    /// The node could not be reached, or did not answer in time.
    Unreachable = 5,
}

impl Exit {
    /// The exit code of an error that a node answered with.
    #[must_use]
    pub const fn of_code(code: ErrorCode) -> Exit {
        match code {
            ErrorCode::UnknownTopic
            | ErrorCode::UnknownPartition
            | ErrorCode::UnknownPlugin
            | ErrorCode::UnknownAttachment
            | ErrorCode::UnknownLink
            | ErrorCode::UnknownGroup => Exit::NotFound,
            ErrorCode::NotAuthorized | ErrorCode::ReadOnly => Exit::Denied,
            ErrorCode::ShuttingDown => Exit::Unreachable,
            // New codes are failures until someone says otherwise.
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// A command's failure: what to tell, and the exit code.
///
/// It is made where an operation's own error is known, and only told after that.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure with its message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into() }
    }

    /// Wrong usage that the parser of the command line could not see.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// A failure with the error's message and those of its causes.
    pub fn of(exit: Exit, error: &dyn Error) -> Failure {
        Failure::new(exit, with_causes(error))
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn while_doing(self, what: impl fmt::Display) -> Failure {
        Failure { exit: self.exit, message: format!("{what}: {}", self.message) }
    }

    /// The exit code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ErrorBody> for Failure {
    fn from(error: ErrorBody) -> Failure {
        Failure::new(Exit::of_code(error.code), error.message)
    }
}

/// The error and its causes in one line; a cause that its parent tells already is left out.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !told.is_empty() && !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_has_its_exit_code() {
        for (code, exit) in [
            (ErrorCode::UnknownTopic, 3),
            (ErrorCode::UnknownPartition, 3),
            (ErrorCode::UnknownPlugin, 3),
            (ErrorCode::UnknownAttachment, 3),
            (ErrorCode::UnknownLink, 3),
            (ErrorCode::UnknownGroup, 3),
            (ErrorCode::GroupInUse, 1),
            (ErrorCode::NotAuthorized, 4),
            (ErrorCode::ReadOnly, 4),
            (ErrorCode::ShuttingDown, 5),
            (ErrorCode::TopicExists, 1),
            (ErrorCode::RejectedByPlugin, 1),
            (ErrorCode::InvalidRequest, 1),
            (ErrorCode::Internal, 1),
        ] {
            let failure = Failure::from(ErrorBody::new(code, "why"));
            assert_eq!(failure.exit() as u8, exit, "{code:?}");
            assert_eq!(failure.to_string(), "why");
        }
    }

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the list: {source}")]
        struct Told {
            source: std::io::Error,
        }
        #[derive(Debug, thiserror::Error)]
        #[error("no plan")]
        struct Untold {
            source: Told,
        }
        let io = || std::io::Error::other("disk gone");
        let told = Failure::of(Exit::Failed, &Told { source: io() });
        assert_eq!(told.to_string(), "cannot read the list: disk gone");
        let untold = Failure::of(Exit::Failed, &Untold { source: Told { source: io() } });
        assert_eq!(untold.to_string(), "no plan: cannot read the list: disk gone");
    }
}
