//! From the words around versions to bounds.

use super::super::words::Phrase;
use super::Numbers;
use super::token::{Behind, Token};

/// The oldest version, the first that is too new, the exceptions, and whether all was understood.
pub(super) type Bounds = (Numbers, Option<Numbers>, Vec<(Numbers, Numbers)>, bool);

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

/// What is said of one program; `None` when no bound can be made of it.
///
/// `goes_on` is whether the same program is named again: then what is refused is said there.
pub(super) fn minimum(segment: &[Token], phrase: &Phrase, goes_on: bool) -> Option<Bounds> {
    let has = |rows: &str| phrase.has(rows);
    let dropped = has("no longer|dropped|removed|not supported anymore|end-of-life");
    let refused = has("not supported|unsupported|excluded|incompatible|not compatible|not work");
    let raised = has("raised|bumped|increased|changed|updated|goes|moved");
    let (wanted, excepted) = atoms(&without_asides(segment), raised);
    let words: Vec<&str> = segment.iter().filter_map(Token::word).collect();
    let own = Phrase::of(&words.join(" "));
    // "Redis 7 is required, PostgreSQL 13 is no longer supported": each has its own verb.
    let demanded = own.has("required|needed") && !own.has("no longer|not|dropped|removed");
    if (dropped || refused) && !goes_on && !demanded {
        return refusal(wanted, excepted, dropped);
    }
    // "The recommended PostgreSQL is 16", "support for PostgreSQL 17 was added": no demand.
    let demands = has("minimum|minimal|minimally|required|requires|require|needs|must");
    let good_to_have =
        has("recommended|default|preferred|added|adds|new support|now supported|also|tested");
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
        excepted.extend(wanted.split_off(wanted.len().min(1)));
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
        // "raised from 13 to 14": the second is meant.
        return match range {
            Atom::Range(_, to, _) if was => (Atom::AtLeast(to), left),
            Atom::AtLeast(_) | Atom::Below(_) | Atom::Range(..) | Atom::Line(_) | Atom::Bare(_) => {
                (range, left)
            }
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
    let to = link
        .word()
        .is_some_and(|word| ["to", "through", "until"].contains(&word));
    if *link != Token::Dash && !to {
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
            Token::Word(_)
            | Token::LessOrEqual
            | Token::Greater
            | Token::Dash
            | Token::Comma
            | Token::Colon
            | Token::Open
            | Token::Close => return None,
        }
        after = further;
    }
    None
}
