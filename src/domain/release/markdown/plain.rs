//! Taking marks, links, tags and comments off a text.

/// Takes the marks of Markdown and HTML off a text and brings it onto one line. Links become their words.
pub(super) fn plain(text: &str) -> String {
    let text = without_tags(&without_addresses(text))
        .replace("&nbsp;", " ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
        .replace(":warning:", "\u{26a0}")
        .replace(":information_source:", "\u{2139}")
        .replace("__", " ");
    let cleaned: String = text
        .chars()
        .filter_map(|c| match c {
            '*' | '`' | '\u{fe0f}' | '\u{200b}' => None,
            '\\' | '\u{a0}' => Some(' '),
            other => Some(other),
        })
        .collect();
    cleaned.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes comments out. A comment that is never closed is none: it would hide everything behind it.
pub(super) fn without_comments(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, inside)) = rest.split_once("<!--") {
        let Some((_, after)) = inside.split_once("-->") else {
            break;
        };
        text.push_str(before);
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Links and pictures become their words.
fn without_addresses(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once("](") {
        let Some((_, after)) = inside.split_once(')') else {
            break;
        };
        match before.rsplit_once('[') {
            Some((ahead, words)) => {
                plain.push_str(ahead.strip_suffix('!').unwrap_or(ahead));
                plain.push_str(words);
            }
            None => plain.push_str(before),
        }
        rest = after;
    }
    plain.push_str(rest);
    let words = plain.split(' ').filter(|word| {
        let word = word.trim_start_matches(['(', '<']);
        !word.starts_with("https://") && !word.starts_with("http://")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `<b>` and `</p>` go; `<18` and `< 4.5` stay.
fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once('<') {
        plain.push_str(before);
        let opens = inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
        match inside.split_once('>').filter(|_| opens) {
            Some((_, after)) => {
                plain.push(' ');
                rest = after;
            }
            None => {
                plain.push('<');
                rest = inside;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_and_signs_that_mean_something_stay() {
        for (text, expected) in [
            ("**a** _b_ `c` [d](https://e/(f) g\\", "a _b_ c d g"),
            ("Node 14 to <18 <b>x</b>", "Node 14 to <18 x"),
            (":warning: a&nbsp;b", "\u{26a0} a b"),
            ("see https://x/y now", "see now"),
            ("[open](and never closed", "[open](and never closed"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
