//! What the notes demand of other software, held against the host.

use std::collections::BTreeSet;

use super::{Step, Way, cite, read};
use crate::domain::path::{ObstacleKind, Weight, lines};
use crate::domain::release::{Minimum, Numbers, Release, Software};
use crate::domain::version::ReleaseLine;

/// A demand, and the release that makes it.
type Demand<'a> = (&'a Release, &'a Minimum);

impl Step<'_> {
    pub(super) fn demands(&mut self, way: &Way<'_>) {
        let here = self.host.postgresql.map(Numbers::of_postgresql);
        if let Some(here) = here {
            self.compare(way, &Software::Postgresql, &here);
        }
        let here = self.host.redis.as_deref().map(str::parse::<Numbers>);
        if let Some(Ok(here)) = here {
            self.compare(way, &Software::Redis, &here);
        }
        self.others(way);
    }

    /// One server against everything that is demanded of it.
    fn compare(&mut self, way: &Way<'_>, software: &Software, here: &Numbers) {
        let unmet: Vec<Demand<'_>> = way
            .releases
            .iter()
            .flat_map(|release| {
                let unmet = release.notes.unmet(software, here).into_iter();
                unmet.map(move |minimum| (*release, minimum))
            })
            .filter(|(_, minimum)| !minimum.optional)
            .collect();
        if unmet.is_empty() {
            return;
        }
        self.too_old(&unmet, software, here);
        self.excepted(&unmet, software, here);
        self.too_new(way, &unmet, software, here);
    }

    /// The highest of the minimums, unless the table asks for as much.
    fn too_old(&mut self, unmet: &[Demand<'_>], software: &Software, here: &Numbers) {
        let mut highest: Option<Demand<'_>> = None;
        for (release, minimum) in unmet.iter().filter(|(_, it)| *here < it.at_least) {
            // Of equal ones, the first release says so.
            if highest.is_none_or(|(_, high)| minimum.at_least > high.at_least) {
                highest = Some((release, minimum));
            }
        }
        let Some((release, minimum)) = highest else {
            return;
        };
        let in_the_table = self.table_demands(software);
        if in_the_table.is_some_and(|table| *here < table && minimum.at_least <= table) {
            return;
        }
        self.add(
            Weight::Blocks,
            kind(software),
            format!(
                "Mastodon {} needs {software} {} or newer; here runs {here}.",
                release.version, minimum.at_least
            ),
            format!("Move {software} first. {}", read(release)),
        );
    }

    fn table_demands(&self, software: &Software) -> Option<Numbers> {
        let line = lines::holding(self.to)?;
        Some(if *software == Software::Postgresql {
            Numbers::of_postgresql(line.postgresql)
        } else {
            Numbers::new([line.redis.0, line.redis.1])
        })
    }

    /// Versions in between that will not do.
    fn excepted(&mut self, unmet: &[Demand<'_>], software: &Software, here: &Numbers) {
        let number = self
            .host
            .postgresql
            .filter(|_| *software == Software::Postgresql);
        if number.is_some_and(|number| lines::excludes_postgresql(self.to, number)) {
            return;
        }
        let first = unmet
            .iter()
            .find(|(_, it)| *here >= it.at_least && !is_too_new(it, here));
        if let Some((release, minimum)) = first {
            self.add(
                Weight::Blocks,
                kind(software),
                format!(
                    "{} Here runs {software} {here}.",
                    cite(release, &minimum.text)
                ),
                format!(
                    "Move {software} to a version that will do. {}",
                    read(release)
                ),
            );
        }
    }

    /// An upper end counts as the newest release of a line has it: it is often raised later on.
    fn too_new(
        &mut self,
        way: &Way<'_>,
        unmet: &[Demand<'_>],
        software: &Software,
        here: &Numbers,
    ) {
        let mut lines: BTreeSet<ReleaseLine> = BTreeSet::new();
        for release in way.releases.iter().rev() {
            let names_it = release
                .notes
                .minimums
                .iter()
                .any(|it| it.software == *software);
            if !names_it || !lines.insert(release.version.line()) {
                continue;
            }
            let of_it = unmet
                .iter()
                .find(|(at, it)| at.tag == release.tag && is_too_new(it, here));
            let Some((_, minimum)) = of_it else { continue };
            let weight = if self.opens(release) {
                Weight::NeedsPerson
            } else {
                Weight::Notice
            };
            self.add(
                weight,
                kind(software),
                format!("{} Here runs {software} {here}.", cite(release, &minimum.text)),
                "It may well work, and was not tried by those who wrote this; ask before you agree.",
            );
        }
    }

    /// Software that nobody looks at here, and that an instance has or has not.
    fn others(&mut self, way: &Way<'_>) {
        let mut told: BTreeSet<(ReleaseLine, &str)> = BTreeSet::new();
        for release in &way.releases {
            if !self.opens(release) {
                continue;
            }
            for minimum in &release.notes.minimums {
                let weight = match &minimum.software {
                    Software::Elasticsearch if self.searches() => Weight::Notice,
                    // Both stand in for what was compared or is optional.
                    Software::Other(name) if name == "OpenSearch" || name == "Valkey" => continue,
                    Software::Other(_) if !minimum.optional => Weight::NeedsPerson,
                    Software::Other(_)
                    | Software::Elasticsearch
                    | Software::LibreTranslate
                    | Software::Postgresql
                    | Software::Redis
                    | Software::Ruby
                    | Software::Node
                    | Software::ImageMagick
                    | Software::Libvips
                    | Software::Ffmpeg => continue,
                };
                if told.insert((release.version.line(), &minimum.text)) {
                    self.add(
                        weight,
                        ObstacleKind::ManualStep,
                        cite(release, &minimum.text),
                        format!("Look whether your {} fits.", minimum.software),
                    );
                }
            }
        }
    }
}

fn is_too_new(minimum: &Minimum, here: &Numbers) -> bool {
    minimum.below.as_ref().is_some_and(|below| here >= below)
}

fn kind(software: &Software) -> ObstacleKind {
    if *software == Software::Postgresql {
        ObstacleKind::Postgresql
    } else {
        ObstacleKind::Redis
    }
}
