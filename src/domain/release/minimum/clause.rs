//! Reading the sentences that people write about versions.

use super::super::words::{Phrase, listed};
use super::bounds::minimum;
use super::token::{Token, tokens};
use super::{Minimum, Software};

/// What was found in a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::domain::release) struct Clauses {
    pub(in crate::domain::release) minimums: Vec<Minimum>,
    /// Sentences that were not, or not wholly, understood.
    pub(in crate::domain::release) unread: Vec<String>,
}

/// Reads a text that stands where programs and their versions are listed, or a sentence that speaks of one.
///
/// A sentence that says more than can be understood gives what was understood *and* is reported as unread.
pub(in crate::domain::release) fn read(text: &str) -> Clauses {
    let mut found = Clauses::default();
    let mut last = None;
    for sentence in sentences(text) {
        if sentence.len() > MOST_BYTES {
            found.unread.push(sentence);
            continue;
        }
        let (minimums, understood) = sentence_of(&sentence, &mut last);
        found.minimums.extend(minimums);
        if !understood {
            found.unread.push(sentence);
        }
    }
    found
}

/// A long list of programs in one sentence has 300. What is longer is not about versions.
const MOST_BYTES: usize = 1_000;

/// Words that may stand around versions without changing what was understood.
const HARMLESS: &str = "a about above again all also an and any are as at be been both below before bumped but by can changed \
    compatible dependencies dependency dropped due earlier end-of-life eol excluding except excluded external following for \
    from full full-text greater has have higher if in incompatible inclusive including increased instead is it its \
    later least longer lower mastodon minimal minimum minimally more must namely need needed needs new newer no not now of \
    older on only onwards  optional optionally or other please raised recommended release removed require required \
    requires same search server servers should since software still support supported supports than that the \
    these they this through to translation translations under unsupported until up updated use used uses using version versions \
    was we were which will with work works you your";

fn sentences(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for clause in text.split([';', '\n', '|']) {
        for sentence in clause.split(". ") {
            let sentence = sentence.trim().trim_end_matches('.').trim();
            if !sentence.is_empty() {
                found.push(sentence.to_owned());
            }
        }
    }
    // A table's cells belong together.
    if text.contains('|') && found.len() <= 3 {
        return vec![found.join(" ")];
    }
    found
}

fn sentence_of(sentence: &str, last: &mut Option<Software>) -> (Vec<Minimum>, bool) {
    let tokens = tokens(sentence);
    let words: Vec<&str> = tokens.iter().filter_map(Token::word).collect();
    let phrase = Phrase::of(sentence);
    let mut understood = words
        .iter()
        .all(|word| Software::named(word).is_some() || is_harmless(word));
    if sentence.ends_with(':') && phrase.has("the same|not changed|unchanged") {
        // "Nothing has changed since 4.4.0, the compatible Ruby and PostgreSQL versions are the same, that is:"
        return (Vec::new(), true);
    }
    let has_numbers = tokens.iter().any(Token::is_number);
    if !has_numbers {
        return (Vec::new(), false);
    }
    let mut segments = segments(&tokens);
    if segments.is_empty() {
        // "14.0 to 14.3 are not supported" goes on about what the sentence before spoke of; "Meilisearch: 1.2+" is new.
        match (new_name(sentence, &tokens), last.clone()) {
            (Some((name, rest)), _) => {
                segments.push((Software::Other(name), rest, false));
                understood = true;
            }
            (None, Some(software)) => segments.push((software, &tokens, false)),
            (None, None) => return (Vec::new(), false),
        }
    }
    let mut minimums = Vec::new();
    let programs: Vec<Software> = segments.iter().map(|(one, _, _)| one.clone()).collect();
    for (at, (software, segment, alternative)) in segments.into_iter().enumerate() {
        let goes_on = programs
            .iter()
            .skip(at.saturating_add(1))
            .any(|one| *one == software);
        *last = Some(software.clone());
        match minimum(segment, &phrase, goes_on) {
            Some((at_least, below, except, sure)) => {
                understood &= sure;
                // PostgreSQL and Redis are what every instance has; another program in their place changes nothing for them.
                let alternative =
                    alternative && !matches!(software, Software::Postgresql | Software::Redis);
                let optional = alternative || phrase.has("optional") || is_optional(segment);
                minimums.push(Minimum {
                    software,
                    at_least,
                    below,
                    except,
                    optional,
                    text: sentence.to_owned(),
                });
            }
            None => understood = false,
        }
    }
    (minimums, understood)
}

/// Each program that is named, with what is said of it, and whether another one will do instead.
fn segments(tokens: &[Token]) -> Vec<(Software, &[Token], bool)> {
    let names: Vec<(usize, Software)> = tokens
        .iter()
        .enumerate()
        .filter_map(|(at, token)| Some((at, Software::named(token.word()?)?)))
        .filter(|(at, _)| !is_aside(tokens, *at))
        .collect();
    let before = |at: usize| tokens.get(..at).unwrap_or(&[]);
    let nothing: &[Token] = &[];
    let Some((first, _)) = names.first() else {
        return Vec::new();
    };
    if before(*first).iter().any(Token::is_number) {
        // "14 for PostgreSQL, 7 for Redis": which number belongs to which is clear only if there is one of each.
        return match names.as_slice() {
            [(at, software)] => {
                let rest = tokens.get(*at..).unwrap_or(&[]);
                let behind = rest.iter().any(Token::is_number);
                if behind {
                    vec![(software.clone(), nothing, false)]
                } else {
                    vec![(software.clone(), before(*at), false)]
                }
            }
            _ => names
                .into_iter()
                .map(|(_, software)| (software, nothing, false))
                .collect(),
        };
    }
    let mut found: Vec<(Software, &[Token], bool)> = Vec::new();
    let mut or_before = false;
    for (at, software) in &names {
        let start = at.saturating_add(1);
        let end = names
            .iter()
            .map(|(next, _)| *next)
            .find(|next| next > at)
            .unwrap_or(tokens.len());
        let segment = up_to_a_stranger(tokens.get(start..end).unwrap_or(&[]));
        let or_behind =
            end < tokens.len() && matches!(segment.last(), Some(Token::Word(word)) if word == "or");
        let mentioned = !segment.iter().any(Token::is_number)
            && found
                .last()
                .is_some_and(|(_, before, _)| before.iter().any(Token::is_number));
        // "libvips 8.13+ (instead of ImageMagick)" only mentions the second.
        if !mentioned {
            found.push((software.clone(), segment, or_behind || or_before));
        }
        or_before = or_behind;
    }
    found
}

/// Leaves off what is said of a program with an unknown name: "PostgreSQL 14+ with pgvector 0.7".
fn up_to_a_stranger(segment: &[Token]) -> &[Token] {
    let stranger = segment.windows(2).position(|pair| match pair {
        [Token::Word(word), Token::Number(..)] => !is_harmless(word),
        _ => false,
    });
    stranger
        .and_then(|end| segment.get(..end))
        .unwrap_or(segment)
}

fn is_harmless(word: &str) -> bool {
    listed(HARMLESS, word)
}

/// Whether a name stands in parentheses that hold no version: `ImageMagick (optional if using libvips): 6.9.7-7`.
fn is_aside(tokens: &[Token], at: usize) -> bool {
    let before = tokens.get(..at).unwrap_or(&[]);
    let side = |token: &&Token| matches!(token, Token::Open | Token::Close);
    let inside = before.iter().rev().find(side) == Some(&Token::Open);
    let mut behind = tokens.get(at..).unwrap_or(&[]).iter();
    inside
        && !behind
            .by_ref()
            .take_while(|token| **token != Token::Close)
            .any(Token::is_number)
}

/// The name in "Meilisearch: 1.2+" or "Meilisearch (optional): 1.2+": one word, and what is said of it.
fn new_name<'a>(sentence: &str, tokens: &'a [Token]) -> Option<(String, &'a [Token])> {
    let (first, rest) = tokens.split_first()?;
    let word = first.word()?;
    let known = is_harmless(word);
    let follows = matches!(
        rest.first()?,
        Token::Colon | Token::Number(_, _) | Token::Open | Token::Greater
    );
    if known || !follows {
        return None;
    }
    let name = sentence
        .split(|c: char| c.is_whitespace() || [':', '('].contains(&c))
        .find(|part| !part.is_empty())?;
    let harmless = rest.iter().filter_map(Token::word).all(is_harmless);
    harmless.then(|| (name.to_owned(), rest))
}

fn is_optional(segment: &[Token]) -> bool {
    matches!(segment, [Token::Open, Token::Word(word), ..] if word == "recommended" || word == "optional")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read, in short: `PostgreSQL >=12 !14.0-14.3`, `?` for what can be done without, then what was not read.
    fn short(text: &str) -> String {
        let found = read(text);
        let minimum = |one: &Minimum| {
            let mark = if one.optional { "?" } else { "" };
            let below = one
                .below
                .as_ref()
                .map_or_else(String::new, |below| format!(" <{below}"));
            let except = one
                .except
                .iter()
                .map(|(low, high)| format!(" !{low}-{high}"));
            let except: String = except.collect();
            format!("{}{mark} >={}{below}{except}", one.software, one.at_least)
        };
        let unread = found.unread.iter().map(|unread| format!("UNREAD {unread}"));
        let parts: Vec<String> = found.minimums.iter().map(minimum).chain(unread).collect();
        parts.join("; ")
    }

    #[test]
    fn every_way_to_write_a_minimum_is_read() {
        for (text, expected) in [
            ("PostgreSQL 14+", "PostgreSQL >=14"),
            ("PostgreSQL: 14+", "PostgreSQL >=14"),
            ("PostgreSQL v14+", "PostgreSQL >=14"),
            ("Postgres \u{2265} 14", "PostgreSQL >=14"),
            ("PostgreSQL >= 14", "PostgreSQL >=14"),
            ("PostgreSQL: 9.5 or newer", "PostgreSQL >=9.5"),
            ("PostgreSQL (version 12 and later)", "PostgreSQL >=12"),
            ("at least PostgreSQL 13", "PostgreSQL >=13"),
            ("PostgreSQL at least 13", "PostgreSQL >=13"),
            ("| PostgreSQL | 14+ |", "PostgreSQL >=14"),
            ("Requires PostgreSQL 14", "PostgreSQL >=14"),
            ("version 14 of PostgreSQL is required", "PostgreSQL >=14"),
            (
                "PostgreSQL 12+ but not 14.0-14.3",
                "PostgreSQL >=12 !14.0-14.3",
            ),
            (
                "PostgreSQL: 12 or newer (except 14.0 to 14.3)",
                "PostgreSQL >=12 !14.0-14.3",
            ),
            (
                "PostgreSQL 12+, except 14.0, 14.1 and 14.2",
                "PostgreSQL >=12 !14.0-14.0 !14.1-14.1 !14.2-14.2",
            ),
            (
                "PostgreSQL: 12+ (14.0 through 14.3 are not supported)",
                "PostgreSQL >=12 !14.0-14.3",
            ),
            (
                "PostgreSQL: 12+. Versions 14.0\u{2013}14.3 are not supported.",
                "PostgreSQL >=12; PostgreSQL >=0 !14.0-14.3",
            ),
            (
                "PostgreSQL \u{2265} 12 (\u{2260} 14.0\u{2013}14.3)",
                "PostgreSQL >=12 !14.0-14.3",
            ),
        ] {
            assert_eq!(short(text), expected, "{text}");
        }
    }

    #[test]
    fn ranges_lines_lists_and_alternatives_are_read() {
        for (text, expected) in [
            ("Ruby 3.0 to 3.2", "Ruby >=3.0 <3.3"),
            ("Ruby 2.7-3.0", "Ruby >=2.7 <3.1"),
            ("Node 14 to <18", "Node >=14 <18"),
            ("Node 12.22-<18", "Node >=12.22 <18"),
            ("Node: >= 14, < 18", "Node >=14 <18"),
            ("Node.js 20.19+", "Node >=20.19"),
            ("Node 18, 20 or 22+", "Node >=18"),
            ("Ruby 3.2, 3.3 and 3.4", "Ruby >=3.2 <3.5"),
            ("Elasticsearch 7.x", "Elasticsearch >=7 <8"),
            ("Elasticsearch 7.x or 8.x", "Elasticsearch >=7 <9"),
            ("Elasticsearch 7.x optional", "Elasticsearch? >=7 <8"),
            (
                "Elasticsearch (recommended, for full-text search): 7.x (OpenSearch should also work)",
                "Elasticsearch? >=7 <8",
            ),
            (
                "libvips 8.13+ or ImageMagick 6.9.7-7+",
                "libvips? >=8.13; ImageMagick? >=6.9.7.7",
            ),
            (
                "libvips (optional, instead of ImageMagick): 8.13 or newer",
                "libvips? >=8.13",
            ),
            (
                "ImageMagick (optional if using libvips): 6.9.7-7 or newer",
                "ImageMagick? >=6.9.7.7",
            ),
            ("FFMpeg 5.1", "FFmpeg >=5.1"),
            (
                "LibreTranslate (optional, for translations): 1.3.3 or newer",
                "LibreTranslate? >=1.3.3",
            ),
            ("Meilisearch: 1.2+", "Meilisearch >=1.2"),
            (
                "Ruby 3.2+; Redis 7.0+; PostgreSQL 14+",
                "Ruby >=3.2; Redis >=7.0; PostgreSQL >=14",
            ),
            (
                "Ruby 3.2+, Redis 7.0+ and PostgreSQL 14+",
                "Ruby >=3.2; Redis >=7.0; PostgreSQL >=14",
            ),
        ] {
            let joined = read(text);
            assert!(!joined.minimums.is_empty(), "{text}: {joined:?}");
            assert_eq!(short(text), expected, "{text}");
        }
    }

    #[test]
    fn sentences_about_a_change_give_the_new_minimum() {
        for (text, expected) in [
            (
                "The minimal PostgreSQL version is now 14",
                "PostgreSQL >=14",
            ),
            (
                "The minimum supported version of Redis is now 7.0",
                "Redis >=7.0",
            ),
            (
                "\u{26a0} The minimum version for PostgreSQL has been raised from 13 to 14",
                "PostgreSQL >=14",
            ),
            (
                "The minimum version of Redis is now 7.0 (was 6.2)",
                "Redis >=7.0",
            ),
            ("Ruby 3.3 or newer is now required", "Ruby >=3.3"),
            ("PostgreSQL 13 is no longer supported", "PostgreSQL >=14"),
            (
                "Support for PostgreSQL 12 has been dropped",
                "PostgreSQL >=13",
            ),
            (
                "PostgreSQL 13 and older are no longer supported",
                "PostgreSQL >=14",
            ),
            ("Redis below 6.2 is no longer supported", "Redis >=6.2"),
            (
                "Redis versions older than 6.2 are no longer supported",
                "Redis >=6.2",
            ),
            (
                "Elasticsearch 6.x is not supported anymore",
                "Elasticsearch >=7",
            ),
            (
                "PostgreSQL 12, Redis below 6.2, Node below 20 and Ruby 3.1 are no longer supported",
                "PostgreSQL >=13; Redis >=6.2; Node >=20; Ruby >=3.2",
            ),
            ("PostgreSQL 12 and 13 are not supported", "PostgreSQL >=14"),
            (
                "PostgreSQL 14.3 is not supported",
                "PostgreSQL >=0 !14.3-14.3",
            ),
            ("PostgreSQL 14+ (16 recommended)", "PostgreSQL >=14"),
        ] {
            let found = short(text);
            let known = found.split("; UNREAD").next().unwrap();
            assert_eq!(known, expected, "{text}: {found}");
        }
    }

    #[test]
    fn what_is_not_wholly_understood_is_reported() {
        for (text, expected) in [
            (
                "other minimums: null (not established)",
                "UNREAD other minimums: null (not established)",
            ),
            (
                "PostgreSQL 14+ with the pgvector extension",
                "PostgreSQL >=14; UNREAD PostgreSQL 14+ with the pgvector extension",
            ),
            (
                "14+ for PostgreSQL, 7.0+ for Redis",
                "UNREAD 14+ for PostgreSQL, 7.0+ for Redis",
            ),
            ("PostgreSQL as before", "UNREAD PostgreSQL as before"),
            (
                "PostgreSQL 14beta1 or newer",
                "UNREAD PostgreSQL 14beta1 or newer",
            ),
            ("PostgreSQL 99999999999+", "UNREAD PostgreSQL 99999999999+"),
            (
                "The recommended PostgreSQL version is 16",
                "UNREAD The recommended PostgreSQL version is 16",
            ),
            ("Redis 7.0+ or Valkey 8+", "Redis >=7.0; Valkey? >=8"),
            (
                "PostgreSQL 14+ with pgvector 0.7+",
                "PostgreSQL >=14; UNREAD PostgreSQL 14+ with pgvector 0.7+",
            ),
            ("a full moon", "UNREAD a full moon"),
            (
                "External dependencies have not changed since v4.4.0",
                "UNREAD External dependencies have not changed since v4.4.0",
            ),
            (
                "the compatible Ruby, PostgreSQL and Redis versions are the same, that is:",
                "",
            ),
            ("", ""),
        ] {
            assert_eq!(short(text), expected, "{text}");
        }
    }
}
