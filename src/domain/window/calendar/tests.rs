//! What is read, what it is on, and what is said about mistakes.

use jiff::civil::date;

use super::*;

fn calendar(text: &str) -> Calendar {
    text.parse().unwrap()
}

fn refused(text: &str) -> (usize, String) {
    let NotACalendar { at, fault } = text.parse::<Calendar>().unwrap_err();
    (at, fault.to_string())
}

#[test]
fn what_is_read_is_written_the_same_way_every_time() {
    for (text, shown) in [
        ("Sun 02:00", "Sun 02:00"),
        ("Mon..Thu,Sat 02:05", "Mon,Tue,Wed,Thu,Sat 02:05"),
        ("mon..sun 23:59", "23:59"),
        ("02:00", "02:00"),
        ("Sat,Sun   23:30", "Sat,Sun 23:30"),
        ("Sun *-*-1..7 01:00", "Sun *-*-01..07 01:00"),
        ("*-*-* 01:00", "01:00"),
        ("2026-11-05 13:00", "2026-11-05 13:00"),
        ("2026-*-* 13:00", "2026-*-* 13:00"),
        ("*-1,2,3,12-01,3 13:00", "*-01..03,12-01,03 13:00"),
        ("Fri *-02~3,1 13:00", "Fri *-02~01,03 13:00"),
        ("*-*~25,1,01..1 13:00", "*-*~01,25 13:00"),
        ("*-*~1,2,22 13:00", "*-*~01..02,22 13:00"),
    ] {
        let read = calendar(text);
        assert_eq!(read.to_string(), shown);
        assert_eq!(calendar(shown), read);
    }
}

#[test]
fn days_are_counted_from_the_start_or_the_end_of_the_month() {
    let first_sunday = calendar("Sun *-*-1..7 01:00");
    let last_day = calendar("*-*~1 01:00");
    let last_monday = calendar("Mon *-*~1..7 01:00");
    let leap_day = calendar("*-02-29 01:00");
    let one_day = calendar("Thu 2026-11-05 13:00");
    for (calendar, on, off) in [
        (&first_sunday, date(2026, 11, 1), date(2026, 11, 8)),
        (&first_sunday, date(2026, 12, 6), date(2026, 12, 7)),
        (&last_day, date(2026, 2, 28), date(2026, 2, 27)),
        (&last_day, date(2028, 2, 29), date(2028, 2, 28)),
        (&last_day, date(2026, 12, 31), date(2027, 1, 1)),
        (&last_monday, date(2026, 3, 30), date(2026, 3, 23)),
        (&leap_day, date(2028, 2, 29), date(2028, 3, 1)),
        (&one_day, date(2026, 11, 5), date(2027, 11, 5)),
    ] {
        assert!(calendar.is_on(on), "{calendar} on {on}");
        assert!(!calendar.is_on(off), "{calendar} on {off}");
    }
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_to_write() {
    for (text, at, said) in [
        ("", 0, "nothing is written here"),
        (" Sun 02:00", 0, "a blank at the beginning or the end"),
        ("Sun 02:00 ", 9, "a blank at the beginning or the end"),
        (
            "Son 01:00",
            0,
            "`Son` is not a day of the week, did you mean `Mon` or `Sun`?",
        ),
        ("Sat,Sunday 01:00", 4, "did you mean `Sun`?"),
        ("Sat,,Sun 01:00", 4, "`` is not a day of the week; use Mon"),
        ("Mi 01:00", 0, "`Mi` is not a day of the week; use Mon"),
        ("Mon..Tuw 01:00", 5, "did you mean `Tue`?"),
        (
            "Sat..Mon 01:00",
            0,
            "`Sat..Mon` runs backwards; write `Sat,Sun,Mon`",
        ),
        (
            "Mon..Wed..Fri 01:00",
            5,
            "`Wed..Fri` is not a day of the week",
        ),
        ("02:00 Sun", 0, "the time stands last: write `Sun 02:00`"),
        ("Sun 2:00", 4, "`2:00` is not a time of day; write `02:00`"),
        ("002:0", 0, "write `02:00`"),
        (
            "*-*~3,26 01:00",
            6,
            "`26` is too far from the month's end for this list",
        ),
        ("*-*~27,1 01:00", 4, "or give it a line of its own"),
        ("*-*~1,2,20..23 01:00", 8, "join neighbours, such as `1..3`"),
        ("Sun 24:00", 4, "which is `00:00` of the next day"),
        ("Sun 02:60", 4, "minutes from 00 to 59"),
        ("Sun 02:00:00", 4, "leave the seconds out: `02:00`"),
        ("Sun +2:00", 4, "hours go from 00 to 23"),
        ("daily", 0, "write hours and minutes"),
        ("Sun 02:00 Europe/Berlin", 10, "its zone stands in `zone`"),
        ("Sun *-*-1 02:00 UTC", 16, "its zone stands in `zone`"),
        ("*-02-~1 01:00", 0, "write `*-02~1`"),
        ("*-*~* 01:00", 0, "write `*-*-*`"),
        ("11-05 01:00", 0, "write `*-11-05` for every year"),
        ("05.11.2026 01:00", 0, "write year, month and day"),
        ("*-*-1/2 01:00", 0, "list the days instead"),
        ("*-13-01 01:00", 2, "`13` is not a month (1 to 12)"),
        (
            "*-*-0,5 01:00",
            4,
            "`0` is not a day of the month (1 to 31)",
        ),
        (
            "*-*-5,32 01:00",
            6,
            "`32` is not a day of the month (1 to 31)",
        ),
        (
            "Sun *-*-7..1 01:00",
            8,
            "`7..1` runs backwards; write `1..7`",
        ),
        (
            "*-*~29 01:00",
            4,
            "`29` is not a day counted from the month's end (1 to 28)",
        ),
        ("26-11-05 01:00", 0, "`26` is not a year (1970 to 2199)"),
        ("2200-11-05 01:00", 0, "`2200` is not a year"),
        ("*-02-30 01:00", 0, "no such day is in any year"),
        ("*-04,06-31 01:00", 0, "no such day is in any year"),
        ("2027-02-29 01:00", 0, "no such day is in 2027"),
        ("Mon 2026-11-05 13:00", 4, "2026-11-05 is a Thursday"),
        ("Sün 01:00", 0, "`Sün` is not a day"),
    ] {
        let (place, message) = refused(text);
        assert!(message.contains(said), "{text}: {message}");
        assert_eq!(place, at, "{text}: {message}");
    }
}
