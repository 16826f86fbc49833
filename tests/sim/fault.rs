//! What can go wrong, and when.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::stranger::Deed;

/// Where in a call a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// Nothing of the effect has happened.
    Before,
    /// A part of it, where it has parts.
    Middle,
    /// All of it, but nobody was told.
    After,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The process is killed.
    Kill(When),
    /// The host loses power: the process dies, every container stops, what was not synchronised is torn.
    PowerCut(When),
    /// The host loses power in the middle of the call, and what was not synchronised is cut off or torn: by these dice.
    TornWrite(u32),
    /// The engine restarts: every container stops and starts again by its policy; the call fails.
    EngineRestart,
    /// The call fails, and nothing happened.
    Error,
    /// Nobody answers, and nothing happened.
    Lost,
    /// Nobody answers, and the effect has happened.
    LostAfter,
    /// The call lasts until its limit, and nothing happened.
    Hang,
    /// The disk is full: from here on the journal and the files take nothing, for so many calls.
    DiskFull(u32),
    /// Somebody does something; the call itself goes well.
    Stranger(Deed),
}

impl Fault {
    /// The faults of the table. A stranger's deeds are in the random schedules.
    pub(crate) const TABLE: [Self; 14] = [
        Self::Kill(When::Before),
        Self::Kill(When::Middle),
        Self::Kill(When::After),
        Self::PowerCut(When::Before),
        Self::PowerCut(When::Middle),
        Self::PowerCut(When::After),
        Self::TornWrite(0),
        Self::TornWrite(1),
        Self::EngineRestart,
        Self::Error,
        Self::Lost,
        Self::LostAfter,
        Self::Hang,
        Self::DiskFull(40),
    ];

    /// The column of the table it is counted in.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::PowerCut(_) => "power cut",
            Self::TornWrite(_) => "torn write",
            Self::EngineRestart => "engine restart",
            Self::Error => "error",
            Self::Lost | Self::LostAfter => "time-out",
            Self::Hang => "hang",
            Self::DiskFull(_) => "disk full",
            Self::Stranger(_) => "stranger",
        }
    }
}

impl fmt::Display for Fault {
    /// The word that [`Self::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |when: When| match when {
            When::Before => 0,
            When::Middle => 1,
            When::After => 2,
        };
        match self {
            Self::Kill(when) => write!(f, "kill-{}", part(*when)),
            Self::PowerCut(when) => write!(f, "power-{}", part(*when)),
            Self::TornWrite(dice) => write!(f, "torn-{dice}"),
            Self::EngineRestart => f.write_str("restart-0"),
            Self::Error => f.write_str("error-0"),
            Self::Lost => f.write_str("lost-0"),
            Self::LostAfter => f.write_str("lost-1"),
            Self::Hang => f.write_str("hang-0"),
            Self::DiskFull(calls) => write!(f, "full-{calls}"),
            Self::Stranger(deed) => {
                let number = Deed::ALL.iter().position(|it| it == deed);
                write!(f, "stranger-{}", number.unwrap())
            }
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let unknown = || format!("`{word}` is no fault");
        let (name, number) = word.split_once('-').ok_or_else(unknown)?;
        let number: u32 = number.parse().map_err(|_err| unknown())?;
        let place = usize::try_from(number).unwrap();
        let part = || {
            let parts = [When::Before, When::Middle, When::After];
            parts.get(place).copied().ok_or_else(unknown)
        };
        Ok(match name {
            "kill" => Self::Kill(part()?),
            "power" => Self::PowerCut(part()?),
            "torn" => Self::TornWrite(number),
            "restart" => Self::EngineRestart,
            "error" => Self::Error,
            "lost" if number == 0 => Self::Lost,
            "lost" => Self::LostAfter,
            "hang" => Self::Hang,
            "full" => Self::DiskFull(number),
            "stranger" => Self::Stranger(*Deed::ALL.get(place).ok_or_else(unknown)?),
            _ => return Err(unknown()),
        })
    }
}

/// Faults by the number of the call at which they strike, counted over all processes.
pub(crate) type Schedule = BTreeMap<u32, Fault>;

/// Numbers from a seed: the same seed, the same numbers, on every machine (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        u32::try_from(self.throw() % u64::from(n.max(1))).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(u32::try_from(from.len()).unwrap())).unwrap()]
    }
}
