//! Every exit code, and the only place where their numbers stand. The README has the same table.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "an exit code that is not returned is lost"]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Unexpected error: a bug.
    Bug,
    /// Wrong usage.
    Usage,
    /// `check`: an update is available.
    Available,
    /// `check`: an update is available but waits, or is held.
    Waiting,
    /// The run was rolled back.
    RolledBack,
    /// The run is stuck: an operator is needed.
    Held,
    /// Refused or aborted; nothing was changed.
    Refused,
    /// `snapshot verify`: a snapshot is not what it says.
    Damaged,
    /// GitHub, Docker, the registry or the mail server cannot be reached.
    Unreachable,
    /// Another run or daemon holds the lock.
    Locked,
    /// The configuration is invalid.
    Config,
}

impl Exit {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Bug,
        Self::Usage,
        Self::Available,
        Self::Waiting,
        Self::RolledBack,
        Self::Held,
        Self::Refused,
        Self::Damaged,
        Self::Unreachable,
        Self::Locked,
        Self::Config,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Available => 10,
            Self::Waiting => 11,
            Self::RolledBack => 20,
            Self::Held => 21,
            Self::Refused => 22,
            Self::Damaged => 23,
            Self::Unreachable => 69,
            Self::Locked => 75,
            Self::Config => 78,
        }
    }

    /// What it means, as the table says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Bug => "unexpected error (a bug)",
            Self::Usage => "wrong usage",
            Self::Available => "`check`: an update is available",
            Self::Waiting => {
                "`check`: an update is available but held or waiting, or nothing is certain; `doctor`: a person must look"
            }
            Self::RolledBack => "the run was rolled back",
            Self::Held => "the run is stuck: an operator is needed",
            Self::Refused => "refused or aborted; nothing was changed",
            Self::Damaged => "`snapshot verify`: a snapshot is not what it says",
            Self::Unreachable => {
                "GitHub, Docker, the registry or the mail server cannot be reached"
            }
            Self::Locked => "another run or daemon holds the lock",
            Self::Config => "configuration invalid",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
