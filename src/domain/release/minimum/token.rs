//! The words, numbers and signs of a sentence about versions.

use super::{Numbers, lex};

/// A piece of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
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

/// What stands behind a number and belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Nothing,
    Plus,
    X,
}

/// Cuts a sentence into tokens.
pub(super) fn tokens(sentence: &str) -> Vec<Token> {
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
            '>' | '\u{2265}' | '^' | '~' if found.last() != Some(&Token::Greater) => {
                found.push(Token::Greater);
            }
            '-' | '\u{2010}'..='\u{2015}' | '\u{2026}' => {
                if matches!(found.last(), Some(Token::Number(..))) {
                    found.push(Token::Dash);
                }
            }
            '\u{2260}' | '!' => found.push(Token::Word("except".to_owned())),
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
        let goes_on = text
            .get(next..)
            .is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
        if c.is_alphanumeric() || c == '_' || c == '#' {
            end = next;
        } else if !['.', '-', '\'', '\u{2019}'].contains(&c) || !goes_on {
            break;
        }
    }
    end
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
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

    pub(super) const fn is_number(&self) -> bool {
        matches!(self, Self::Number(..))
    }
}
