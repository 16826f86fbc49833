//! Reading a range: from the text to words, from the words to sets.
//!
//! Every word must be understood. What is not leaves the alternative it stands in undecidable.

use std::cmp::Ordering;

use super::{Bound, Item, Operator, Precision, Reach, Set, Undecidable};
use crate::domain::version::{ReleaseLine, ReleaseVersion};

/// One word of a range, or a phrase that means as much as one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A comparison before a version.
    Compare(Operator),
    /// A comparison behind a version: "4.3.1 and earlier".
    CompareBehind(Operator),
    /// `~>` and `~`
    Tilde,
    /// `^`
    Caret,
    /// Between two versions, or before one, which is included.
    Through,
    /// The same as a sign, which is also the mark of a list's entry: only between two versions.
    Dash,
    /// Between two versions, or before one, where it is not said whether the last is included.
    UpTo,
    /// `||`, "or"
    Or,
    /// A comma, "and"
    And,
    /// `*`
    All,
    /// `4.2.x`
    Series(Point),
    /// `4.2.1`, `4.2`, `4`
    Version(Point),
    /// A word that says nothing: "versions", "Mastodon".
    Filler,
    /// Anything else.
    Unknown(String),
}

type Point = (ReleaseVersion, Precision);

/// Phrases and what they mean. Where one begins like another, the longer one stands first.
const PHRASES: &[(&[&str], Token)] = {
    use Operator::{Greater, GreaterOrEqual, Less, LessOrEqual};
    use Token::{And, Compare, CompareBehind, Dash, Filler, Or, Through, UpTo};
    &[
        (&["up", "to", "and", "including"], Compare(LessOrEqual)),
        (&["up", "to"], UpTo),
        (&["until"], UpTo),
        (&["to"], UpTo),
        (&["through"], Through),
        (&["thru"], Through),
        (&["-"], Dash),
        (&["less", "than", "or", "equal", "to"], Compare(LessOrEqual)),
        (
            &["greater", "than", "or", "equal", "to"],
            Compare(GreaterOrEqual),
        ),
        (&["prior", "to"], Compare(Less)),
        (&["earlier", "than"], Compare(Less)),
        (&["older", "than"], Compare(Less)),
        (&["lower", "than"], Compare(Less)),
        (&["less", "than"], Compare(Less)),
        (&["before"], Compare(Less)),
        (&["below"], Compare(Less)),
        (&["later", "than"], Compare(Greater)),
        (&["newer", "than"], Compare(Greater)),
        (&["higher", "than"], Compare(Greater)),
        (&["greater", "than"], Compare(Greater)),
        (&["after"], Compare(Greater)),
        (&["above"], Compare(Greater)),
        (&["starting", "with"], Compare(GreaterOrEqual)),
        (&["starting", "from"], Compare(GreaterOrEqual)),
        (&["since"], Compare(GreaterOrEqual)),
        (&["from"], Compare(GreaterOrEqual)),
        (&["and", "earlier"], CompareBehind(LessOrEqual)),
        (&["and", "older"], CompareBehind(LessOrEqual)),
        (&["and", "below"], CompareBehind(LessOrEqual)),
        (&["and", "lower"], CompareBehind(LessOrEqual)),
        (&["and", "prior"], CompareBehind(LessOrEqual)),
        (&["or", "earlier"], CompareBehind(LessOrEqual)),
        (&["or", "older"], CompareBehind(LessOrEqual)),
        (&["or", "below"], CompareBehind(LessOrEqual)),
        (&["or", "lower"], CompareBehind(LessOrEqual)),
        (&["or", "prior"], CompareBehind(LessOrEqual)),
        (&["and", "later"], CompareBehind(GreaterOrEqual)),
        (&["and", "newer"], CompareBehind(GreaterOrEqual)),
        (&["and", "above"], CompareBehind(GreaterOrEqual)),
        (&["and", "higher"], CompareBehind(GreaterOrEqual)),
        (&["and", "up"], CompareBehind(GreaterOrEqual)),
        (&["or", "later"], CompareBehind(GreaterOrEqual)),
        (&["or", "newer"], CompareBehind(GreaterOrEqual)),
        (&["or", "above"], CompareBehind(GreaterOrEqual)),
        (&["or", "higher"], CompareBehind(GreaterOrEqual)),
        (&["and"], And),
        (&[","], And),
        (&["&&"], And),
        (&["or"], Or),
        (&["||"], Or),
        (&["all"], Filler),
        (&["any"], Filler),
        (&["version"], Filler),
        (&["versions"], Filler),
        (&["release"], Filler),
        (&["releases"], Filler),
        (&["mastodon"], Filler),
        (&["v"], Filler),
        (&["<"], Compare(Less)),
        (&["<="], Compare(LessOrEqual)),
        (&["=<"], Compare(LessOrEqual)),
        (&["="], Compare(Operator::Equal)),
        (&["=="], Compare(Operator::Equal)),
        (&[">="], Compare(GreaterOrEqual)),
        (&["=>"], Compare(GreaterOrEqual)),
        (&[">"], Compare(Greater)),
        (&["~>"], Token::Tilde),
        (&["~"], Token::Tilde),
        (&["^"], Token::Caret),
        (&["*"], Token::All),
    ]
};

/// The alternatives of a range; at least one.
pub(super) fn alternatives(text: &str) -> Vec<Result<Set, Undecidable>> {
    let spaced = spaced(text);
    let words: Vec<&str> = spaced.split_whitespace().collect();
    if words.is_empty() {
        return vec![Err(Undecidable::Missing)];
    }
    let mut tokens = tokens(&words);
    // "all versions" is everything; in "all versions before 4.3" these words say nothing.
    let only_fillers = tokens.iter().all(|token| *token == Token::Filler);
    if only_fillers && words.iter().any(|word| ["all", "any"].contains(word)) {
        tokens = vec![Token::All];
    }
    tokens.retain(|token| *token != Token::Filler);
    tokens
        .split(|token| *token == Token::Or)
        .map(|tokens| alternative(text, tokens))
        .collect()
}

/// Every line that a text mentions by the first two numbers of a version.
pub(in crate::domain::advisory) fn lines_in(text: &str) -> impl Iterator<Item = ReleaseLine> + '_ {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|numbers| {
            let mut numbers = numbers.split('.').filter(|number| !number.is_empty());
            let major = numbers.next()?.parse().ok()?;
            let minor = numbers.next()?.parse().ok()?;
            Some(ReleaseLine { major, minor })
        })
}

/// The text in small letters, with one spelling for every sign and blanks around it.
fn spaced(text: &str) -> String {
    let text = text
        .to_lowercase()
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace(['≤', '⩽', '≦'], "<=")
        .replace(['≥', '⩾', '≧'], ">=")
        .replace('＜', "<")
        .replace('＞', ">")
        .replace('＝', "=")
        .replace('\u{2011}', "-")
        .replace(['–', '—'], " - ")
        .replace(['`', '"', '\u{200b}', '\u{feff}'], "");
    let is_sign = |c: char| "<>=~^!|&".contains(c);
    let mut spaced = String::new();
    let mut in_sign = false;
    for c in text.chars() {
        if c == ',' || is_sign(c) != in_sign {
            spaced.push(' ');
        }
        spaced.push(c);
        in_sign = is_sign(c);
        if c == ',' {
            spaced.push(' ');
        }
    }
    spaced
}

fn tokens(words: &[&str]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = words;
    while let Some((word, behind)) = rest.split_first() {
        let phrase = PHRASES
            .iter()
            .find_map(|(phrase, token)| Some((token, rest.strip_prefix(*phrase)?)));
        if let Some((token, behind)) = phrase {
            tokens.push(token.clone());
            rest = behind;
        } else {
            tokens.extend(versions(word));
            rest = behind;
        }
    }
    tokens
}

/// A word as a version, a line, or two versions joined by a hyphen without blanks.
fn versions(word: &str) -> Vec<Token> {
    if let Some(point) = point(word) {
        return vec![Token::Version(point)];
    }
    if let Some(series) = series(word) {
        return vec![Token::Series(series)];
    }
    let ends = word
        .match_indices('-')
        .filter_map(|(at, hyphen)| {
            let (first, last) = word.split_at_checked(at)?;
            Some((point(first)?, point(last.strip_prefix(hyphen)?)?))
        })
        // "4.3.0-5" is somebody's fifth build, not a span.
        .find(|(_, (_, precision))| *precision != Precision::Major);
    match ends {
        Some((first, last)) => vec![Token::Version(first), Token::Dash, Token::Version(last)],
        None => vec![Token::Unknown(word.to_owned())],
    }
}

fn point(word: &str) -> Option<Point> {
    if let Ok((version, partial)) = ReleaseVersion::parse_partial(word) {
        let precision = if partial {
            Precision::Line
        } else {
            Precision::Full
        };
        return Some((version, precision));
    }
    let major = word.strip_prefix('v').unwrap_or(word);
    let is_number = !major.is_empty() && major.chars().all(|c| c.is_ascii_digit());
    let version = format!("{major}.0.0").parse().ok()?;
    is_number.then_some((version, Precision::Major))
}

fn series(word: &str) -> Option<Point> {
    let (numbers, _) = [".x.x", ".*.*", ".x", ".*"]
        .into_iter()
        .find_map(|end| Some((word.strip_suffix(end)?, end)))?;
    point(numbers).filter(|(_, precision)| *precision != Precision::Full)
}

/// One alternative; all its parts must make sense together.
fn alternative(text: &str, tokens: &[Token]) -> Result<Set, Undecidable> {
    let not_a_bound = |part: &[Token]| Undecidable::NotABound {
        range: text.to_owned(),
        part: show(part, text),
    };
    let mut bounds = Vec::new();
    let mut items = Vec::new();
    for part in tokens.split(|token| *token == Token::And) {
        let mut rest = part;
        if rest.is_empty() {
            return Err(not_a_bound(rest));
        }
        while !rest.is_empty() {
            rest = take(rest, &mut bounds, &mut items).ok_or_else(|| not_a_bound(part))?;
        }
    }
    match (bounds.is_empty(), items.is_empty()) {
        (true, _) => {
            for item in &items {
                if let Item::Between(bounds) = item {
                    sensible(text, bounds)?;
                }
            }
            Ok(Set::AnyOf(items))
        }
        (false, true) => sensible(text, &bounds).map(|()| Set::Within(bounds)),
        (false, false) => Err(Undecidable::Mixed(text.to_owned())),
    }
}

/// Takes the first bound or item off; gives what is left of the words, `None` if they make no sense.
fn take<'a>(
    tokens: &'a [Token],
    bounds: &mut Vec<Bound>,
    items: &mut Vec<Item>,
) -> Option<&'a [Token]> {
    use Token::{All, Caret, Compare, CompareBehind, Dash, Series, Through, Tilde, UpTo, Version};
    let rest = match tokens {
        [Compare(Operator::Equal), Version(point), rest @ ..] => {
            items.push(Item::Exactly(bound(Operator::Equal, point)));
            rest
        }
        [Compare(operator), Version(point), rest @ ..]
        | [Version(point), CompareBehind(operator), rest @ ..] => {
            bounds.push(bound(*operator, point));
            rest
        }
        [
            Version(first),
            end @ (Compare(Operator::Less | Operator::LessOrEqual) | Through | Dash | UpTo),
            Version(last),
            rest @ ..,
        ] => {
            items.push(between(first, end, last));
            rest
        }
        [UpTo, Version(point), rest @ ..] => {
            bounds.push(bound(Operator::UpTo, point));
            rest
        }
        [Through, Version(point), rest @ ..] => {
            bounds.push(bound(Operator::LessOrEqual, point));
            rest
        }
        [Tilde, Version(point), rest @ ..] => {
            items.push(from_on(point, Reach::LineOrMajor));
            rest
        }
        [Caret, Version(point), rest @ ..] => {
            items.push(from_on(point, Reach::Major));
            rest
        }
        // "4.2.x before 4.2.8"
        [
            Series(of),
            end @ Compare(Operator::Less | Operator::LessOrEqual),
            Version(last),
            rest @ ..,
        ] if of.0.line() == last.0.line() => {
            items.push(between(of, end, last));
            rest
        }
        [Compare(Operator::Equal), Series((of, precision)), rest @ ..]
        | [Series((of, precision)), rest @ ..] => {
            items.push(Item::Series {
                lower: None,
                of: of.clone(),
                reach: reach(*precision, Reach::Line),
            });
            rest
        }
        [Version(point), rest @ ..] => {
            items.push(Item::Bare(bound(Operator::Equal, point)));
            rest
        }
        [All, rest @ ..] => {
            items.push(Item::Everything);
            rest
        }
        _ => return None,
    };
    Some(rest)
}

fn bound(operator: Operator, (version, precision): &Point) -> Bound {
    Bound {
        operator,
        version: version.clone(),
        precision: *precision,
    }
}

/// From one version on to another; a dash and "through" include the last.
fn between(first: &Point, end: &Token, last: &Point) -> Item {
    let operator = match end {
        Token::Compare(operator) => *operator,
        Token::UpTo => Operator::UpTo,
        Token::CompareBehind(_)
        | Token::Tilde
        | Token::Caret
        | Token::Through
        | Token::Dash
        | Token::Or
        | Token::And
        | Token::All
        | Token::Series(_)
        | Token::Version(_)
        | Token::Filler
        | Token::Unknown(_) => Operator::LessOrEqual,
    };
    Item::Between(vec![
        bound(Operator::GreaterOrEqual, first),
        bound(operator, last),
    ])
}

fn from_on(point: &Point, with_two_numbers: Reach) -> Item {
    let (version, precision) = point;
    Item::Series {
        lower: Some(bound(Operator::GreaterOrEqual, point)),
        of: version.clone(),
        reach: match (with_two_numbers, precision) {
            // `~> 4.2.1` ends with the line for everybody.
            (Reach::LineOrMajor, Precision::Full) => Reach::Line,
            (reach, Precision::Full) => reach,
            (reach, precision) => self::reach(*precision, reach),
        },
    }
}

const fn reach(precision: Precision, otherwise: Reach) -> Reach {
    match precision {
        Precision::Major => Reach::Major,
        Precision::Full | Precision::Line => otherwise,
    }
}

/// Refuses bounds between which there is no version.
fn sensible(text: &str, bounds: &[Bound]) -> Result<(), Undecidable> {
    let lower = bounds
        .iter()
        .filter(|bound| bound.is_lower())
        .max_by(|a, b| a.version.cmp_precedence(&b.version));
    let upper = bounds
        .iter()
        .filter(|bound| bound.is_upper())
        .min_by(|a, b| a.version.cmp_precedence(&b.version));
    let (Some(lower), Some(upper)) = (lower, upper) else {
        return Ok(());
    };
    let (low, high) = (&lower.version, &upper.version);
    // Between 4.5.2 and 4.5.3 there is nothing.
    let neighbours = low.line() == high.line()
        && low.patch().checked_add(1) == Some(high.patch())
        && !high.is_pre_release()
        && (lower.operator, upper.operator) == (Operator::Greater, Operator::Less);
    let none_left = match low.cmp_precedence(high) {
        Ordering::Greater => return Err(Undecidable::Inverted(text.to_owned())),
        Ordering::Equal => !bounds.iter().all(|bound| bound.admits(low)),
        Ordering::Less => neighbours,
    };
    if none_left {
        return Err(Undecidable::Empty(text.to_owned()));
    }
    Ok(())
}

/// The word of a part that is not understood, or all of the part, for people.
fn show(part: &[Token], text: &str) -> String {
    let unknown = part.iter().find_map(|token| {
        if let Token::Unknown(word) = token {
            Some(word.as_str())
        } else {
            None
        }
    });
    unknown.unwrap_or_else(|| text.trim()).to_owned()
}
