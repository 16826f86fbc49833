//! Ids of advisories, found by their pattern.

use std::collections::BTreeSet;

/// Every advisory id in a text, in the usual spelling: `CVE-2026-33868`, `GHSA-xqw8-4j56-5hj6`.
///
/// Neither capitals nor what stands around an id matter: links, addresses, emphasis, comments. The dashes may be any of
/// those that word processors make of them.
pub fn advisory_ids(text: &str) -> BTreeSet<String> {
    let upper: String = text
        .chars()
        .map(|c| match c {
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            other => other.to_ascii_uppercase(),
        })
        .collect();
    let mut ids = BTreeSet::new();
    for word in upper.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let mut rest = word;
        while let Some(at) = [rest.find("GHSA-"), rest.find("CVE-")]
            .into_iter()
            .flatten()
            .min()
        {
            let (before, candidate) = rest.split_at_checked(at).unwrap_or((rest, ""));
            if !before.ends_with(|c: char| c.is_ascii_alphanumeric()) {
                ids.extend(ghsa(candidate).or_else(|| cve(candidate)));
            }
            rest = candidate.get(1..).unwrap_or("");
        }
    }
    ids
}

fn ghsa(candidate: &str) -> Option<String> {
    let mut parts = candidate.strip_prefix("GHSA-")?.split('-');
    let mut id = String::from("GHSA");
    for _ in 0..3 {
        let part = parts.next().filter(|part| part.len() == 4)?;
        id.push('-');
        id.push_str(&part.to_ascii_lowercase());
    }
    Some(id)
}

fn cve(candidate: &str) -> Option<String> {
    let mut parts = candidate.strip_prefix("CVE-")?.split('-');
    let digits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let year = parts.next().filter(digits).filter(|year| year.len() == 4)?;
    let number = parts
        .next()
        .filter(digits)
        .filter(|number| number.len() >= 4)?;
    Some(format!("CVE-{year}-{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_their_pattern_in_any_surrounding() {
        let text = "([GHSA-q4g8-82c5-9h33](https://x/GHSA-Q4G8-82C5-9H33), cve-2026-33869) xGHSA-aaaa-bbbb-cccc GHSA-1-2-3 \
                    CVE-20-1234 CVE-2026-123 see:GHSA-xqw8-4j56-5hj6. CVE-2026-33868/CVE-2026-1234567";
        let ids: Vec<_> = advisory_ids(text).into_iter().collect();
        assert_eq!(
            ids,
            [
                "CVE-2026-1234567",
                "CVE-2026-33868",
                "CVE-2026-33869",
                "GHSA-q4g8-82c5-9h33",
                "GHSA-xqw8-4j56-5hj6"
            ]
        );
    }

    #[test]
    fn links_addresses_emphasis_and_odd_dashes_hide_no_id() {
        let id = "GHSA-q4g8-82c5-9h33";
        for text in [
            "[GHSA-q4g8-82c5-9h33](",
            "[ghsa](https://github.com/advisories/ghsa-q4g8-82c5-9h33)",
            "https://github.com/mastodon/mastodon/security/advisories/GHSA-q4g8-82c5-9h33#advisory",
            "https://x/?id=GHSA-q4g8-82c5-9h33&y=%20",
            "**GHSA-q4g8-82c5-9h33**_",
            "__GHSA-q4g8-82c5-9h33__",
            "<a href=\"GHSA-q4g8-82c5-9h33\">",
            "<!-- GHSA-q4g8-82c5-9h33 -->",
            "GHSA\u{2011}q4g8\u{2011}82c5\u{2011}9h33",
            "(#1234,GHSA-q4g8-82c5-9h33)",
            "fixes-GHSA-q4g8-82c5-9h33-and-more",
        ] {
            assert_eq!(
                advisory_ids(text),
                BTreeSet::from([id.to_owned()]),
                "{text}"
            );
        }
    }
}
