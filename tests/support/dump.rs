//! A database dump as text, and what differs between two of them.

use std::collections::BTreeMap;
use std::fmt;

/// Everything `pg_dump` says about a database.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Dump {
    text: String,
}

/// What one dump has and the other has not. Rows are counted, so a doubled row shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Section (`table …`, `sequence …`, `schema`) to lines that were there and are not any more.
    pub(crate) lost: BTreeMap<String, Vec<String>>,
    /// Section to lines that were not there before.
    pub(crate) added: BTreeMap<String, Vec<String>>,
}

impl Dump {
    /// Takes `pg_dump`'s plain output. Newer minor versions print a random word with `\restrict` and
    /// `\unrestrict`; these two lines are left out, nothing else is.
    pub(crate) fn from_text(text: &str) -> Self {
        let kept = text
            .lines()
            .filter(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "));
        Self {
            text: kept.fold(String::with_capacity(text.len()), |all, line| {
                all + line + "\n"
            }),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// SHA-256 of the text, in hex.
    pub(crate) fn sha256(&self) -> String {
        use sha2::Digest as _;
        use std::fmt::Write as _;
        sha2::Sha256::digest(&self.text)
            .iter()
            .fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("writing to a string");
                hex
            })
    }

    /// What changed from this dump to a later one.
    pub(crate) fn difference(&self, later: &Self) -> Difference {
        let (mut before, after) = (self.sections(), later.sections());
        let mut difference = Difference::default();
        for (section, lines) in after {
            let had = before.entry(section.clone()).or_default();
            let mut added = Vec::new();
            for (line, count) in lines {
                let known = had.get(&line).copied().unwrap_or(0);
                if count >= known {
                    had.remove(&line);
                } else {
                    had.insert(line.clone(), known - count);
                }
                added.extend(std::iter::repeat_n(line, count.saturating_sub(known)));
            }
            if !added.is_empty() {
                difference.added.insert(section, added);
            }
        }
        for (section, lines) in before {
            let lost: Vec<String> = lines
                .into_iter()
                .flat_map(|(line, count)| std::iter::repeat_n(line, count))
                .collect();
            if !lost.is_empty() {
                difference.lost.insert(section, lost);
            }
        }
        difference
    }

    fn sections(&self) -> BTreeMap<String, BTreeMap<String, usize>> {
        let mut sections: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        let mut copying: Option<String> = None;
        for line in self.text.lines() {
            let section = if let Some(table) = &copying {
                table.clone()
            } else if let Some(sequence) = line.strip_prefix("SELECT pg_catalog.setval('") {
                format!(
                    "sequence {}",
                    sequence.split('\'').next().unwrap_or_default()
                )
            } else {
                "schema".to_owned()
            };
            if copying.is_some() && line == "\\." {
                copying = None;
            } else if let Some(rest) = line.strip_prefix("COPY ").filter(|_| copying.is_none()) {
                copying = rest.split(' ').next().map(|table| format!("table {table}"));
            }
            *sections
                .entry(section)
                .or_default()
                .entry(line.to_owned())
                .or_default() += 1;
        }
        sections
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dump({} bytes)", self.text.len())
    }
}

impl Difference {
    pub(crate) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.added.is_empty()
    }

    /// Leaves out what new statuses cause: rows added to these tables, and sequences that went on.
    pub(crate) fn without_new_statuses(mut self) -> Self {
        const TABLES: [&str; 5] = [
            "statuses",
            "status_stats",
            "distributions",
            "statuses_tags",
            "tags",
        ];
        for table in TABLES {
            self.added.remove(&format!("table public.{table}"));
        }
        let sequence = |section: &String| section.starts_with("sequence ");
        self.added.retain(|section, _| !sequence(section));
        self.lost.retain(|section, _| !sequence(section));
        self
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no difference");
        }
        for (sign, sections) in [('-', &self.lost), ('+', &self.added)] {
            for (section, lines) in sections {
                writeln!(f, "{sign} {section}: {} lines, the first:", lines.len())?;
                for line in lines.iter().take(5) {
                    writeln!(
                        f,
                        "    {sign} {}",
                        line.chars().take(200).collect::<String>()
                    )?;
                }
            }
        }
        Ok(())
    }
}
