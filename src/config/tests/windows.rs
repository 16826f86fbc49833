//! Windows and blackouts: every mistake at its letters, what the main file changes, and what becomes wrong with time.

use super::*;
use crate::domain::window::{Blackout, Needed};

/// One good policy, of which single lines are made bad.
const GOOD: &str = r#"[time]
zone = "Europe/Berlin"
[[window]]
id = "w"
opens = "Sun 02:00"
lasts = "2h"
allow = "*"
[[policy]]
name = "p"
approval = "none"
"#;
const OPENS: &str = "\"Sun 02:00\"";
const DAYS: &str = "use Mon, Tue, Wed, Thu, Fri, Sat or Sun";

/// The only mistake of [`GOOD`] with one part replaced, without the file's name.
fn mistake(part: &str, by: &str) -> String {
    assert!(GOOD.contains(part), "{part}");
    let found = policy_mistakes(&GOOD.replacen(part, by, 1));
    assert_eq!(found.len(), 1, "{by}: {found:#?}");
    found[0].replacen("policy.toml:", "", 1)
}

/// The same with a table at its end, in line 11.
fn mistake_in(table: &str) -> String {
    let found = policy_mistakes(&format!("{GOOD}{table}"));
    assert_eq!(found.len(), 1, "{table}: {found:#?}");
    found[0].replacen("policy.toml:", "", 1)
}

fn blackout(rest: &str) -> String {
    format!("[[blackout]]\nid = \"b\"\nstrength = \"hard\"\n{rest}")
}

#[test]
fn a_calendars_mistake_is_told_at_its_very_letter() {
    for (written, at, said) in [
        (
            "\"Sum 02:00\"",
            "5:10",
            "`Sum` is not a day of the week, did you mean `Sun`?",
        ),
        (
            "[\"Mon 02:00\", \"Sat,Sonn 02:00\"]",
            "5:28",
            "`Sonn` is not a day of the week",
        ),
        (
            "'Sun *-13-1 02:00'",
            "5:16",
            "`13` is not a month (1 to 12)",
        ),
        (
            "'Sun *-Jan-1 02:00'",
            "5:16",
            "`Jan` is not a month (1 to 12)",
        ),
        (
            "\"Sun *-1-32 02:00\"",
            "5:18",
            "`32` is not a day of the month (1 to 31)",
        ),
        (
            "[\n  \"Mon 02:00\",\n  # \u{fc}\n  \"Tue,Wdd 02:00\",\n]",
            "8:8",
            "`Wdd` is not a day of the week, did you mean `Wed`?",
        ),
        // Letters are counted, not bytes.
        (
            "[ 'Mon 02:00', \"\u{e4} 02:00\" ]",
            "5:25",
            "`\u{e4}` is not a day of the week",
        ),
        (
            "\"\"\"Sum 02:00\"\"\"",
            "5:12",
            "`Sum` is not a day of the week, did you mean `Sun`?",
        ),
        // What is escaped has no place of its own: the key's, or the item's.
        (
            "\"S\\u0075m 02:00\"",
            "5:1",
            "`Sum` is not a day of the week, did you mean `Sun`?",
        ),
        (
            "['Mon 02:00', \"S\\u0075m 02:00\"]",
            "5:23",
            "`Sum` is not a day of the week, did you mean `Sun`?",
        ),
    ] {
        let hint = if said.ends_with("of the week") {
            format!("; {DAYS}")
        } else {
            String::new()
        };
        assert_eq!(
            mistake(OPENS, written),
            format!("{at}: window.opens: {said}{hint}")
        );
    }
}

#[test]
fn a_calendar_of_another_syntax_is_told_ours() {
    for (written, at, said) in [
        (
            "Sun 2:00",
            "5:14",
            "`2:00` is not a time of day; write `02:00`",
        ),
        (
            "Sun 02:00:00",
            "5:14",
            "`02:00:00` is not a time of day; leave the seconds out: `02:00`",
        ),
        (
            "weekly",
            "5:10",
            "`weekly` is not a time of day; write hours and minutes, such as `02:00`",
        ),
        (
            "Sun..Mon 02:00",
            "5:10",
            "`Sun..Mon` runs backwards; write `Sun,Mon`",
        ),
        (
            "Sun *-*-31/2 02:00",
            "5:14",
            "`*-*-31/2` is not a date; repetitions with `/` are not supported; list the days instead, such as `*-*-1,11,21`",
        ),
        (
            "2026-02-30 02:00",
            "5:10",
            "no such day is in 2026; the months end before",
        ),
        ("Mon 2026-11-26 02:00", "5:14", "2026-11-26 is a Thursday"),
        (
            "",
            "5:10",
            "nothing is written here; write days and a time, such as `Sat,Sun 23:30`",
        ),
    ] {
        assert_eq!(
            mistake(OPENS, &format!("\"{written}\"")),
            format!("{at}: window.opens: {said}")
        );
    }
}

#[test]
fn a_mistake_in_a_window_says_what_to_write_instead() {
    let zone = "is a fixed offset, which is wrong for half of the year wherever clocks change; name a place, such as `Europe/Berlin`, or `UTC`";
    for (part, by, said) in [
        ("Europe/Berlin", "Europe/Berln", "2:9: time.zone: `Europe/Berln` is not a time zone, did you mean `Europe/Berlin`?".to_owned()),
        ("Europe/Berlin", "UTC+2", format!("2:9: time.zone: `UTC+2` {zone}")),
        ("lasts =", "zone = \"+01:00\"\nlasts =", format!("6:9: window.zone: `+01:00` {zone}")),
        ("lasts =", "zone = 'Berlin'\nlasts =", "6:9: window.zone: `Berlin` is not a time zone, did you mean `Europe/Berlin`?".to_owned()),
        ("\"*\"", "[\"security\", \"pacth\"]", "7:22: window.allow: `pacth` is none of `security`, `patch`, `minor`, `major`; did you mean `patch`?".to_owned()),
        ("\"*\"", "[]", "7:1: window.allow: the window allows nothing to start in it; name classes, or `*` for all".to_owned()),
        (OPENS, "[]", "5:1: window.opens: the window never opens; give at least one time, such as `Sun 02:00`".to_owned()),
        ("\"2h\"", "\"14m\"", "6:10: window.lasts: a window lasts between 15m and 24h, not 14m".to_owned()),
        ("\"2h\"", "\"24h1m\"", "6:10: window.lasts: a window lasts between 15m and 24h, not 24h 1m".to_owned()),
        ("\"2h\"", "\"2 h\"", "6:1: window.lasts: `2 h` is not a length of time; write for instance `90s`, `10m`, `2h`, `1h30m` or `1d`".to_owned()),
        // There, if of a wrong type: it is not told to be missing, too.
        ("\"2h\"", "120", "6:1: window.lasts: must be a text, not integer".to_owned()),
        ("\"*\"", "[\"patch\", 5]", "7:19: window.allow: must be a text, not integer".to_owned()),
        ("\"Europe/Berlin\"", "1", "2:1: time.zone: must be a text, not integer".to_owned()),
        ("allow =", "jitter = \"1h46m\"\nallow =", "7:11: window.jitter: a jitter of 1h 46m leaves less than 15m of the window's 2h; at most 1h 45m is possible".to_owned()),
        ("name = \"p\"", "name = \"p\"\nmatch = { class = [] }", "10:11: policy.match.class: name at least one, or leave the key out for all of them".to_owned()),
        ("name = \"p\"", "name = \"p\"\nmay_break = [\"hard\"]", "8:1: policy: rule `p` cannot break a hard blackout, nothing does; make the blackout soft".to_owned()),
        ("name = \"p\"", "name = \"p\"\nmay_break = [\"sofd\"]", "10:14: policy.may_break: `sofd` is none of `soft`, `hard`; did you mean `soft`?".to_owned()),
    ] {
        assert_eq!(mistake(part, by), said, "{by}");
    }
    // Nothing that a file quotes is taken for an order by a terminal.
    let said = mistake(OPENS, "\"Sun\\u001b[31m 02:00\"");
    assert!(
        said.starts_with("5:1: window.opens: `Sun` is not") && !said.contains('\u{1b}'),
        "{said}"
    );
}

#[test]
fn windows_that_get_in_each_others_way_are_told() {
    let overlap = "5:37: window.opens: the openings of window `w` overlap: `Sun 03:00` opens 1h after `Sun 02:00`, which is open for 2h (for instance on Sun 2020-01-05 03:00); let it last 1h at the most, or make two windows";
    assert_eq!(
        mistake(OPENS, "[\"Sun 02:00\", \"Mon 02:00\", \"Sun 03:00\"]"),
        overlap
    );
    let twice = "5:24: window.opens: the openings of window `w` overlap: `Sat,Sun 02:00` and `Sun 02:00` open at once, for instance on Sun 2020-01-05 02:00; take one of them away";
    assert_eq!(mistake(OPENS, "[\"Sun 02:00\", \"Sat,Sun 02:00\"]"), twice);
    let other = |id: &str, opens: &str, lasts: &str, allow: &str| {
        format!(
            "[[window]]\nid = \"{id}\"\nopens = \"{opens}\"\nlasts = \"{lasts}\"\nallow = \"{allow}\"\n"
        )
    };
    let within = "11:1: window: window `v` is open only when `w` is, which allows the same; take one of them away";
    assert_eq!(mistake_in(&other("v", "Sun 02:30", "1h", "patch")), within);
    assert_eq!(mistake_in(&other("v", "Sun 02:00", "2h", "*")), within);
    let same = "11:1: window: two windows are called `w`";
    assert_eq!(mistake_in(&other("w", "Mon 02:30", "1h", "patch")), same);
    // Two that touch, or reach over each other, are not.
    for good in [
        other("v", "Sun 04:00", "2h", "*"),
        other("v", "Sun 03:00", "2h", "*"),
    ] {
        assert_eq!(
            parse_policy(Path::new("p"), &format!("{GOOD}{good}")).map(|_| ()),
            Ok(())
        );
    }
    let day = GOOD.replace("Sun 02:00", "02:00").replace("2h", "24h");
    assert!(
        parse_policy(Path::new("p"), &day).is_ok(),
        "a window that never closes overlaps nothing"
    );
}

#[test]
fn a_mistake_in_a_blackout_says_what_to_write_instead() {
    const WHEN: &str =
        "11:1: blackout: give either `from` and `to`, for once, or `every`, for every year";
    for (rest, said) in [
        ("reason = \"r\"\n", WHEN),
        (
            "reason = \"r\"\nevery = \"12-20/01-02\"\nfrom = \"2026-12-01T00:00\"\n",
            WHEN,
        ),
        ("reason = \"r\"\nfrom = \"2026-12-01T00:00\"\n", WHEN),
        (
            "reason = \"r\"\nfrom = \"2026-12-01T00:00\"\nto = \"2026-11-01T00:00\"\n",
            "16:7: blackout.to: it ends before it begins; `to` must be later than `from`",
        ),
        (
            "reason = \"r\"\nfrom = \"2026-12-01\"\nto = \"2026-12-02T00:00\"\n",
            "15:9: blackout.from: `2026-12-01` is not a date and a time of day; write `2026-09-25T18:00`",
        ),
        (
            "reason = \"r\"\nfrom = \"2026-12-01T00:00\"\nto = \"2026-12-32T00:00\"\n",
            "16:7: blackout.to: `2026-12-32T00:00` is not a date and a time of day; write `2026-09-25T18:00`",
        ),
        (
            "reason = \"r\"\nfrom = 2026-12-01T00:00:00\nto = \"2026-12-02T00:00\"\n",
            "15:1: blackout.from: must be a text, not datetime",
        ),
        (
            "reason = \"r\"\nevery = \"02-30/03-01\"\n",
            "15:10: blackout.every: `02-30` is in no year; write month and day, such as `12-20`",
        ),
        (
            "reason = \"r\"\nevery = \"12-20\"\n",
            "15:10: blackout.every: `12-20` is not a range of days of the year; write month and day twice: `12-20/01-02`",
        ),
        (
            "every = \"12-20/01-02\"\n",
            "11:1: blackout.reason: is required",
        ),
        (
            "reason = \" \"\nevery = \"12-20/01-02\"\n",
            "14:11: blackout.reason: say why; the reason stands in every explanation and mail",
        ),
        (
            "reason = \"r\"\nevery = \"12-20/01-02\"\nreson = \"r\"\n",
            "16:1: blackout.reson: unknown key, did you mean `reason`?",
        ),
    ] {
        assert_eq!(mistake_in(&blackout(rest)), said);
    }
    let good = blackout("reason = \"r\"\nevery = \"12-20/01-02\"\n");
    assert_eq!(
        mistake_in(&good.replace("hard", "hrad")),
        "13:1: blackout.strength: `hrad` is none of `soft`, `hard`; did you mean `hard`?"
    );
    assert_eq!(
        mistake_in(&format!("{good}{good}")),
        "16:1: blackout: two blackouts are called `b`"
    );
}

#[test]
fn mistakes_in_several_tables_come_out_together_and_in_order() {
    let text = format!(
        "{}{}",
        GOOD.replace("Sun 02", "Sum 02")
            .replace("\"*\"", "\"al\"")
            .replace("Berlin", "Berln"),
        blackout("every = \"1-1\"\n")
    );
    let lines: Vec<String> = policy_mistakes(&text)
        .iter()
        .map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "policy.toml:2:9 time.zone",
            "policy.toml:5:10 window.opens",
            "policy.toml:7:1 window.allow",
            "policy.toml:11:1 blackout.reason",
            "policy.toml:14:10 blackout.every"
        ]
    );
}

#[test]
fn an_instance_names_windows_that_there_are() {
    let main = |windows: &str| mistakes(&format!("{LEAST}windows = {windows}\n"));
    assert_eq!(
        main("[\"sunday-night\", \"sunday-nigt\"]"),
        [
            "mastopatch.toml:5:28: instance.windows: `sunday-nigt` is none of `sunday-night`; did you mean `sunday-night`?"
        ]
    );
    assert_eq!(
        main("[]"),
        [
            "mastopatch.toml:5:1: instance.windows: name at least one window, or leave the key out for all of them"
        ]
    );
}

const MAIN: &str = "policy = \"policy.toml\"\n";
const INSTANCE: &str = "[[instance]]\nname = \"a\"\nproject = \"a\"\n";
const TWO: &str = "[[window]]\nid = \"mine\"\nopens = \"Sat 03:00\"\nlasts = \"3h\"\nallow = \"*\"\n\
                   [[window]]\nid = \"theirs\"\nopens = \"Fri 03:00\"\nlasts = \"3h\"\nallow = \"*\"\nzone = \"Asia/Tokyo\"\n";

fn settings(main: &str, policy: &str) -> Settings {
    let dir = written(main);
    fs::write(dir.path().join("policy.toml"), policy).unwrap();
    read(&dir).unwrap_or_else(|errors| panic!("{errors}"))
}

fn zones(policy: &Policy) -> Vec<(&str, &str)> {
    let windows = policy.schedule().windows().iter();
    windows
        .map(|window| (window.id(), window.zone().iana_name().unwrap()))
        .collect()
}

#[test]
fn the_main_file_moves_windows_adds_blackouts_and_replaces_the_rest() {
    let policy = format!(
        "{}{TWO}{}",
        GOOD.replace("[[window]]\n", "require_sync = false\n[[window]]\n"),
        blackout("reason = \"r\"\nevery = \"12-20/01-02\"\n")
    );
    let plain = settings(&format!("{MAIN}{INSTANCE}"), &policy);
    assert_eq!(
        zones(&plain.policy),
        [
            ("w", "Europe/Berlin"),
            ("mine", "Europe/Berlin"),
            ("theirs", "Asia/Tokyo")
        ]
    );
    assert!(!plain.policy.requires_sync());
    let mine = blackout("reason = \"r\"\nevery = \"05-01/05-01\"\n").replace("\"b\"", "\"may\"");
    let moved = settings(
        &format!(
            "{MAIN}[time]\nzone = \"America/New_York\"\nrequire_sync = true\n{mine}{INSTANCE}windows = [\"theirs\", \"w\"]\n"
        ),
        &policy,
    );
    assert_eq!(
        zones(&moved.policy),
        [
            ("w", "America/New_York"),
            ("mine", "America/New_York"),
            ("theirs", "Asia/Tokyo")
        ]
    );
    assert!(moved.policy.requires_sync());
    let instance = &moved.instances[0].policy;
    assert_eq!(
        zones(instance),
        [("w", "America/New_York"), ("theirs", "Asia/Tokyo")]
    );
    assert!(instance.requires_sync());
    let blackouts: Vec<&str> = instance
        .schedule()
        .blackouts()
        .iter()
        .map(Blackout::id)
        .collect();
    assert_eq!(blackouts, ["b", "may"]);
    assert_eq!(instance.zone().iana_name(), Some("America/New_York"));
    let replaced = settings(&format!("{MAIN}{TWO}{INSTANCE}"), &policy);
    assert_eq!(
        zones(&replaced.policy),
        [("mine", "Europe/Berlin"), ("theirs", "Asia/Tokyo")]
    );
    // A blackout of the main file takes nothing of the policy's away.
    let twice = blackout("reason = \"r\"\nevery = \"05-01/05-01\"\n");
    let dir = written(&format!("{MAIN}{twice}{INSTANCE}"));
    fs::write(dir.path().join("policy.toml"), &policy).unwrap();
    let said = read(&dir).unwrap_err().to_string();
    assert!(
        said.ends_with("mastopatch.toml:2:1: blackout: two blackouts are called `b`"),
        "{said}"
    );
}

/// What is wrong on a day, for a run of 45 minutes.
fn faults(main: &str, policy: &str, now: &str) -> Vec<String> {
    let settings = settings(main, policy);
    let found = settings.faults(now.parse().unwrap(), |_| Needed::UNMEASURED);
    let Err(errors) = found else {
        return Vec::new();
    };
    let short = |err: &ConfigError| {
        ConfigError {
            file: err.file.file_name().unwrap().into(),
            ..err.clone()
        }
        .to_string()
    };
    errors.all().iter().map(short).collect()
}

const NOVEMBER: &str = "2026-11-23T12:00:00Z";

#[test]
fn what_became_wrong_with_time_is_told_where_it_stands_and_once() {
    let two = format!("{MAIN}{INSTANCE}[[instance]]\nname = \"b\"\nproject = \"b\"\n");
    let of = |part: &str, by: &str| faults(&two, &GOOD.replacen(part, by, 1), NOVEMBER);
    assert_eq!(of("2h", "50m"), [""; 0]);
    assert_eq!(
        of(OPENS, "[\"Sun 02:00\", \"2025-03-01 02:00\"]"),
        [
            "policy.toml:5:24: window.opens: `2025-03-01 02:00` does not open within 400 days; it opened last on Sat 2025-03-01 02:00 CET; take it away or give another day"
        ]
    );
    assert_eq!(
        of(OPENS, "\"*-02-29 02:00\""),
        [
            "policy.toml:5:10: window.opens: `*-02-29 02:00` does not open within 400 days; it opened last on Thu 2024-02-29 02:00 CET; take it away or give another day"
        ]
    );
    // It is near enough in the year before.
    assert_eq!(
        faults(
            &two,
            &GOOD.replacen("Sun 02:00", "*-02-29 02:00", 1),
            "2027-03-01T00:00:00Z"
        ),
        [""; 0]
    );
    let needs = "but a run and its way back need 45m (22m 30s and 22m 30s, assumed until a run was measured here), and some minutes for planning: make it at least 50m";
    assert_eq!(
        of("2h", "49m"),
        [format!(
            "policy.toml:6:10: window.lasts: window `w` lasts 49m, {needs}"
        )]
    );
    let policy = GOOD.replacen("approval = \"none\"", "action = \"notify\"", 1);
    assert_eq!(
        faults(&two, &policy.replacen("2h", "20m", 1), NOVEMBER),
        [""; 0]
    );
}

#[test]
fn what_blackouts_and_neighbours_make_of_a_window_counts() {
    let main = format!("{MAIN}{INSTANCE}");
    let all_year = blackout("reason = \"r\"\nevery = \"01-01/12-31\"\n");
    assert_eq!(
        faults(&main, &format!("{GOOD}{all_year}"), NOVEMBER),
        [
            "policy.toml:5:10: window.opens: every opening of `Sun 02:00` within 400 days lies in a blackout, the next on Sun 2026-11-29 02:00 CET in blackout `b`"
        ]
    );
    // It opens once, and a blackout leaves half an hour of it.
    let once = GOOD.replacen("Sun 02:00", "2026-12-06 23:30", 1);
    let next_day =
        blackout("reason = \"r\"\nfrom = \"2026-12-07T00:00\"\nto = \"2026-12-08T00:00\"\n");
    assert_eq!(
        faults(&main, &format!("{once}{next_day}"), NOVEMBER),
        [
            "policy.toml:6:10: window.lasts: window `w` lasts 2h, of which jitter and blackouts leave 30m at the most on some host, but a run and its way back need 45m (22m 30s and 22m 30s, assumed until a run was measured here), and some minutes for planning: at least 50m must be left"
        ]
    );
    // Two short ones that touch are one long one.
    let short = GOOD.replacen("2h", "30m", 1);
    assert_eq!(faults(&main, &short, NOVEMBER).len(), 1);
    let next = "[[window]]\nid = \"v\"\nopens = \"Sun 02:30\"\nlasts = \"30m\"\nallow = \"*\"\n";
    assert_eq!(faults(&main, &format!("{short}{next}"), NOVEMBER), [""; 0]);
}

#[test]
fn a_jitter_counts_as_on_the_worst_day_of_the_worst_host() {
    let main = format!("{MAIN}{INSTANCE}");
    let with = |jitter: &str| {
        let lasts = format!("lasts = \"1h\"\njitter = \"{jitter}\"");
        faults(&main, &GOOD.replacen("lasts = \"2h\"", &lasts, 1), NOVEMBER)
    };
    assert_eq!(with("10m"), [""; 0]);
    let found = with("11m");
    assert_eq!(found.len(), 1, "{found:?}");
    let said = "lasts 1h, of which jitter and blackouts leave 49m at the most on some host";
    assert!(found[0].contains(said), "{found:?}");
}
