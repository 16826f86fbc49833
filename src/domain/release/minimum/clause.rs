//! Reading the sentences that people write about versions.

use super::{Minimum, Numbers, Software, lex};

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
const HARMLESS: &str = "a about above again all also an and any are as at be been both bumped but by can changed \
    compatible dependencies dependency dropped due earlier end-of-life eol excluding except excluded external following for \
    from full full-text greater has have higher if in incompatible inclusive including increased instead is it its \
    later least longer lower mastodon minimal minimum minimally more must namely need needed needs new newer no not now of \
    older on only onwards  optional optionally or other please raised recommended release removed require required \
    requires same search server servers should since software still support supported supports than that the \
    these they this through to translation translations unsupported until up updated use used uses using version versions \
    was we were which will with work works you your";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    /// A version, and whether `+` or `.x` stands behind it.
    Number(Numbers, Behind),
    Less,
    LessOrEqual,
    Greater,
    Dash,
    Comma,
    Colon,
    Open,
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    Plus,
    X,
}

/// One statement about versions.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Atom {
    AtLeast(Numbers),
    Below(Numbers),
    /// From the first, up to but without the second.
    Range(Numbers, Numbers, Numbers),
    Line(Numbers),
    Bare(Numbers),
}

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
    let phrase = format!(" {} ", words.join(" "));
    let mut understood = words
        .iter()
        .all(|word| Software::named(word).is_some() || is_harmless(word));
    if sentence.ends_with(':')
        && [" the same ", " not changed ", " unchanged "]
            .iter()
            .any(|words| phrase.contains(words))
    {
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
    for (software, segment, alternative) in segments {
        *last = Some(software.clone());
        match minimum(segment, &phrase) {
            Some((at_least, below, except, sure)) => {
                understood &= sure;
                // PostgreSQL and Redis are what every instance has; another program in their place changes nothing for them.
                let alternative =
                    alternative && !matches!(software, Software::Postgresql | Software::Redis);
                let optional = alternative || phrase.contains(" optional ") || is_optional(segment);
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
                    vec![(software.clone(), &[], false)]
                } else {
                    vec![(software.clone(), before(*at), false)]
                }
            }
            _ => names
                .into_iter()
                .map(|(_, software)| (software, &[] as &[Token], false))
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
    HARMLESS.split_whitespace().any(|known| known == word)
}

/// Whether a name stands in parentheses that hold no version: "ImageMagick (optional if using libvips): 6.9.7-7".
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

type Bounds = (Numbers, Option<Numbers>, Vec<(Numbers, Numbers)>, bool);

/// What is said of one program; `None` when no bound can be made of it. The last value says whether all was understood.
fn minimum(segment: &[Token], phrase: &str) -> Option<Bounds> {
    let has = |words: &[&str]| {
        words
            .iter()
            .any(|words| phrase.contains(&format!(" {words} ")))
    };
    let dropped = has(&[
        "no longer",
        "dropped",
        "removed",
        "not supported anymore",
        "end-of-life",
    ]);
    let refused = has(&[
        "not supported",
        "unsupported",
        "excluded",
        "incompatible",
        "not compatible",
        "not work",
    ]);
    let raised = has(&[
        "raised",
        "bumped",
        "increased",
        "changed",
        "updated",
        "goes",
        "moved",
    ]);
    let (wanted, excepted) = atoms(&without_asides(segment), raised);
    if dropped || refused {
        return refusal(wanted, excepted, dropped);
    }
    // "The recommended PostgreSQL is 16", "support for PostgreSQL 17 was added": no demand.
    let demands = has(&[
        "minimum",
        "minimal",
        "minimally",
        "required",
        "requires",
        "require",
        "needs",
        "must",
    ]);
    let good_to_have = has(&[
        "recommended",
        "default",
        "preferred",
        "added",
        "adds",
        "new support",
        "now supported",
        "also",
        "tested",
    ]);
    let bare = wanted.iter().all(|atom| matches!(atom, Atom::Bare(_)));
    if bare && good_to_have && !demands {
        return None;
    }
    demand(&wanted, excepted)
}

/// "13 is no longer supported", "12 or newer (14.0 to 14.3 are not supported)".
fn refusal(mut wanted: Vec<Atom>, mut excepted: Vec<Atom>, dropped: bool) -> Option<Bounds> {
    let first_is_wanted = match wanted.as_slice() {
        [Atom::AtLeast(_), ..] | [Atom::Range(..) | Atom::Line(_), _, ..] => true,
        [] | [_, ..] => !excepted.is_empty(),
    };
    if first_is_wanted {
        excepted.extend(wanted.drain(1..));
        return demand(&wanted, excepted);
    }
    match wanted.as_slice() {
        [Atom::Range(low, high, _)] if !dropped => {
            let except = vec![(low.clone(), high.clone())];
            return Some((Numbers::default(), None, except, true));
        }
        [Atom::Bare(one)] if !dropped && one.len() > 1 => {
            let except = vec![(one.clone(), one.clone())];
            return Some((Numbers::default(), None, except, true));
        }
        _ => {}
    }
    // What is said is what will not do any more: everything up to there.
    let mut sure = true;
    let first_good = wanted.into_iter().map(|atom| match atom {
        Atom::Bare(last) | Atom::Line(last) => last.next(),
        Atom::Below(first) | Atom::Range(_, _, first) => first,
        Atom::AtLeast(from) => {
            sure = false;
            from
        }
    });
    let at_least = first_good.max()?;
    Some((at_least, None, Vec::new(), sure))
}

fn demand(wanted: &[Atom], excepted: Vec<Atom>) -> Option<Bounds> {
    let mut sure = true;
    let mut except = Vec::new();
    for atom in excepted {
        match atom {
            Atom::Range(low, high, _) => except.push((low, high)),
            Atom::Bare(one) | Atom::Line(one) => except.push((one.clone(), one)),
            Atom::AtLeast(_) | Atom::Below(_) => sure = false,
        }
    }
    let (mut from, mut others, mut ends, mut last_ends) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for atom in wanted {
        match atom {
            Atom::AtLeast(low) => from.push(low.clone()),
            Atom::Below(end) => ends.push(end.clone()),
            Atom::Range(low, _, end) => {
                others.push(low.clone());
                last_ends.push(end.clone());
            }
            Atom::Line(line) => {
                others.push(line.clone());
                last_ends.push(line.next());
            }
            Atom::Bare(one) => {
                others.push(one.clone());
                // One number alone is a minimum; "3.2, 3.3 and 3.4" is a list with an end.
                if wanted.len() > 1 {
                    last_ends.push(one.next());
                }
            }
        }
    }
    // Two demands at once: the higher one is the safe one.
    sure &= from.len() <= 1;
    // "18, 20 or 22+" has no upper end, but "14+, <18" has.
    if from.is_empty() {
        ends.extend(last_ends);
    }
    let below = ends.into_iter().max();
    let at_least = others.into_iter().chain(from.into_iter().max()).min();
    if at_least.is_none() && below.is_none() && except.is_empty() {
        return None;
    }
    Some((at_least.unwrap_or_default(), below, except, sure))
}

/// Leaves out remarks in parentheses, or behind a comma, that are about other numbers: what was before, what is recommended.
fn without_asides(segment: &[Token]) -> Vec<Token> {
    const ASIDES: [&str; 12] = [
        "recommended",
        "recommend",
        "preferred",
        "suggested",
        "default",
        "tested",
        "was",
        "were",
        "previously",
        "formerly",
        "previous",
        "before",
    ];
    let mut kept: Vec<Token> = Vec::new();
    let mut group: Vec<Token> = Vec::new();
    let mut in_group = false;
    let close = |kept: &mut Vec<Token>, group: &mut Vec<Token>| {
        let aside = group
            .iter()
            .filter_map(Token::word)
            .any(|word| ASIDES.contains(&word));
        if aside {
            group.retain(|token| !token.is_number());
        }
        kept.append(group);
    };
    for token in segment {
        if matches!(token, Token::Open | Token::Comma) {
            close(&mut kept, &mut group);
            in_group = true;
        }
        if in_group {
            group.push(token.clone());
        } else {
            kept.push(token.clone());
        }
        if *token == Token::Close {
            close(&mut kept, &mut group);
            in_group = false;
        }
    }
    close(&mut kept, &mut group);
    kept
}

/// The statements of a segment: what is wanted, and what is excepted.
fn atoms(segment: &[Token], raised: bool) -> (Vec<Atom>, Vec<Atom>) {
    let (mut wanted, mut excepted) = (Vec::new(), Vec::new());
    let mut in_exception = false;
    let mut rest = segment;
    // The last words and signs before the number.
    let mut before: Vec<&Token> = Vec::new();
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        let Token::Number(number, behind) = token else {
            match token {
                Token::Word(word)
                    if ["not", "except", "excluding", "but"].contains(&word.as_str()) =>
                {
                    in_exception = word != "but" || in_exception;
                }
                Token::Close => in_exception = false,
                Token::Word(_)
                | Token::Number(..)
                | Token::Less
                | Token::LessOrEqual
                | Token::Greater
                | Token::Dash
                | Token::Comma
                | Token::Colon
                | Token::Open => {}
            }
            before.push(token);
            continue;
        };
        let (atom, left) = atom(&before, number, *behind, rest, raised);
        rest = left;
        before.clear();
        if in_exception {
            excepted.push(atom);
        } else {
            wanted.push(atom);
        }
    }
    (wanted, excepted)
}

fn atom<'a>(
    before: &[&Token],
    number: &Numbers,
    behind: Behind,
    rest: &'a [Token],
    raised: bool,
) -> (Atom, &'a [Token]) {
    let word = |at: usize| rest.get(at).and_then(Token::word).unwrap_or_default();
    let from_skipping = |n: usize| rest.get(n..).unwrap_or(&[]);
    let (last, last_but_one) = {
        let mut back = before.iter().rev();
        (back.next().copied(), back.next().copied())
    };
    let said = |token: Option<&Token>, wanted: &[&str]| {
        token
            .and_then(Token::word)
            .is_some_and(|word| wanted.contains(&word))
    };
    let own = number.clone();
    match last {
        Some(Token::Less) => return (Atom::Below(own), rest),
        Some(Token::LessOrEqual) => return (Atom::Below(number.next()), rest),
        Some(Token::Greater) => return (Atom::AtLeast(own), rest),
        _ => {}
    }
    if said(last, &["below", "under", "before"])
        || (said(last, &["than"]) && said(last_but_one, &["older", "lower", "earlier"]))
    {
        return (Atom::Below(own), rest);
    }
    if (said(last, &["to"]) && said(last_but_one, &["up"]))
        || said(last, &["until"])
        || (said(last, &["most"]) && said(last_but_one, &["at"]))
    {
        return (Atom::Below(number.next()), rest);
    }
    if behind == Behind::Plus || said(last, &["least"]) {
        return (Atom::AtLeast(own), rest);
    }
    // "or newer", "and up"
    if ["or", "and"].contains(&word(0)) {
        if [
            "newer", "later", "higher", "above", "greater", "up", "more", "onwards",
        ]
        .contains(&word(1))
        {
            return (Atom::AtLeast(own), from_skipping(2));
        }
        if ["older", "earlier", "below", "lower"].contains(&word(1)) {
            return (Atom::Below(number.next()), from_skipping(2));
        }
    }
    if word(0) == "onwards" {
        return (Atom::AtLeast(own), from_skipping(1));
    }
    if let Some((range, left)) = range(number, rest) {
        let was = raised && said(last, &["from"]);
        return match range {
            // "raised from 13 to 14": the second is meant.
            Atom::Range(_, to, _) if was => (Atom::AtLeast(to), left),
            other => (other, left),
        };
    }
    if behind == Behind::X {
        return (Atom::Line(own), rest);
    }
    (Atom::Bare(own), rest)
}

/// "3.0 to 3.2", "2.7-3.0", "14 to <18", "12.22-<18".
fn range<'a>(low: &Numbers, rest: &'a [Token]) -> Option<(Atom, &'a [Token])> {
    let (link, mut after) = rest.split_first()?;
    let links = match link {
        Token::Dash => true,
        Token::Word(word) => ["to", "through", "until", "and"].contains(&word.as_str()),
        _ => false,
    };
    // "and" links only a list.
    if !links || matches!(link, Token::Word(word) if word == "and") {
        return None;
    }
    let mut open_end = false;
    while let Some((token, further)) = after.split_first() {
        match token {
            Token::Less => open_end = true,
            Token::Word(word) if ["below", "excluding", "before"].contains(&word.as_str()) => {
                open_end = true
            }
            Token::Word(word)
                if ["but", "not", "including", "up", "to"].contains(&word.as_str()) =>
            {
                open_end |= word == "not";
            }
            Token::Number(high, Behind::Plus) => {
                return Some((Atom::AtLeast(low.clone().min(high.clone())), further));
            }
            Token::Number(high, _) => {
                let end = if open_end { high.clone() } else { high.next() };
                return Some((Atom::Range(low.clone(), high.clone(), end), further));
            }
            _ => return None,
        }
        after = further;
    }
    None
}

fn tokens(sentence: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    let mut rest = sentence;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let numeric = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        if numeric(rest) || (c == 'v' && numeric(after) && !ends_in_letter(sentence, rest)) {
            let (token, left) = number(if c == 'v' { after } else { rest });
            found.push(token);
            rest = left;
            continue;
        }
        if (c.is_alphabetic() && c != '\u{2139}') || c == '_' || c == '#' {
            let end = word_end(rest);
            let (word, left) = rest.split_at_checked(end).unwrap_or((rest, ""));
            found.push(Token::Word(word.to_lowercase()));
            rest = left;
            continue;
        }
        rest = after;
        let equals = after.starts_with('=');
        match c {
            '<' if equals => found.push(Token::LessOrEqual),
            '\u{2264}' => found.push(Token::LessOrEqual),
            '<' => found.push(Token::Less),
            '>' | '\u{2265}' | '^' | '~' => {
                if found.last() != Some(&Token::Greater) {
                    found.push(Token::Greater);
                }
            }
            '-' | '\u{2010}'..='\u{2015}' | '\u{2026}' => {
                if matches!(found.last(), Some(Token::Number(..))) {
                    found.push(Token::Dash);
                }
            }
            ',' => found.push(Token::Comma),
            ':' => found.push(Token::Colon),
            '(' | '[' => found.push(Token::Open),
            ')' | ']' => found.push(Token::Close),
            _ => {}
        }
    }
    found
}

fn ends_in_letter(sentence: &str, rest: &str) -> bool {
    sentence
        .strip_suffix(rest)
        .is_some_and(|before| before.ends_with(char::is_alphanumeric))
}

/// A number with what belongs to it. What only begins like one (a date, `14beta1`, `64bit`) is a word.
fn number(text: &str) -> (Token, &str) {
    let whole = |end: usize| {
        let (word, left) = text.split_at_checked(end).unwrap_or((text, ""));
        (Token::Word(word.to_lowercase()), left)
    };
    let Some((numbers, left)) = lex(text) else {
        return whole(word_end(text).max(1));
    };
    if let Some(left) = left.strip_prefix('+') {
        return (Token::Number(numbers, Behind::Plus), left);
    }
    for x in [".x", ".X", ".*"] {
        if let Some(left) = left.strip_prefix(x) {
            return match left.strip_prefix('+') {
                Some(left) => (Token::Number(numbers, Behind::Plus), left),
                None => (Token::Number(numbers, Behind::X), left),
            };
        }
    }
    let is_date = numbers.len() == 1
        && numbers >= Numbers::new([1990])
        && left.starts_with('-')
        && left
            .get(1..)
            .is_some_and(|left| left.starts_with(|c: char| c.is_ascii_digit()));
    if is_date || left.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return whole(word_end(text).max(1));
    }
    (Token::Number(numbers, Behind::Nothing), left)
}

/// Where a word ends: words may hold dots, dashes and digits, but do not end in them.
fn word_end(text: &str) -> usize {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at.saturating_add(c.len_utf8());
        if c.is_alphanumeric() || c == '_' || c == '#' {
            end = next;
        } else if !['.', '-', '\'', '\u{2019}'].contains(&c) {
            break;
        } else if !text
            .get(next..)
            .is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
        {
            break;
        }
    }
    end
}

impl Token {
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Number(..)
            | Self::Less
            | Self::LessOrEqual
            | Self::Greater
            | Self::Dash
            | Self::Comma
            | Self::Colon
            | Self::Open
            | Self::Close => None,
        }
    }

    const fn is_number(&self) -> bool {
        matches!(self, Self::Number(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read, in short: `PostgreSQL >=12 !14.0-14.3`, `?` for what can be done without, then what was not read.
    fn short(text: &str) -> String {
        let found = read(text);
        let mut parts: Vec<String> = found
            .minimums
            .iter()
            .map(|one| {
                let mut part = format!(
                    "{}{} >={}",
                    one.software,
                    if one.optional { "?" } else { "" },
                    one.at_least
                );
                if let Some(below) = &one.below {
                    part.push_str(&format!(" <{below}"));
                }
                for (low, high) in &one.except {
                    part.push_str(&format!(" !{low}-{high}"));
                }
                part
            })
            .collect();
        parts.extend(found.unread.iter().map(|unread| format!("UNREAD {unread}")));
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
