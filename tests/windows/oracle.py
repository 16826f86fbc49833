"""The slow, obviously right answer to when windows open: every day is walked, and the zone's wall clock is asked.

Run as `python3 -I -S oracle.py ZONEINFO FROM TO`, both in seconds since 1970. A line on standard input, such as

    {"zone": "Europe/Berlin", "windows": [{"opens": ["Sat,Sun 23:30"], "minutes": 120}]}

is answered by one line: for each window the start and the end of every opening that has an instant in [FROM, TO), one
after the other, by start, and how many of them were in a gap or came twice. `{}` is answered by the names of all zones.

Nothing is taken from the program that is tested: the grammar is read here again, and the zones are read by Python.
"""

import json
import os
import sys
import zoneinfo
from datetime import date, datetime, timedelta

ZONEINFO, FROM, TO = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
DAY = 24 * 3600
# Where the offset is looked at: no zone changes its clock and changes it back within three hours.
STEP = 3 * 3600
# No clock is further from UTC, so a day has begun and is over everywhere within its 24 hours and this.
FURTHEST = 27 * 3600
WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def days():
    """Every date around the time asked for: its day since 1970, the date, its weekday, its place from the month's end."""
    first = date(1970, 1, 1) + timedelta(days=FROM // DAY - 4)
    last = date(1970, 1, 1) + timedelta(days=TO // DAY + 4)
    while first <= last:
        next_month = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        yield (first - date(1970, 1, 1)).days, first, WEEKDAYS[first.weekday()], (next_month - first).days
        first += timedelta(days=1)


DAYS = list(days())


def numbers(text, most):
    if text == "*":
        return set(range(1, most + 1))
    found = set()
    for item in text.split(","):
        first, _, last = item.partition("..")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def weekdays(text):
    found = set()
    for item in text.split(","):
        first, _, last = item.partition("..")
        names = [name.lower() for name in WEEKDAYS]
        low = names.index(first.lower())
        high = names.index((last or first).lower())
        found |= set(WEEKDAYS[low : high + 1])
    return found


def read(line):
    """The dates on which a line of a calendar opens, as places in DAYS, and the time of day."""
    *words, time = line.split()
    hour, minute = (int(part) for part in time.split(":"))
    on = set(WEEKDAYS)
    if words and words[0][0].isalpha():
        on = weekdays(words.pop(0))
    year, months, month_days, from_end = "*", set(range(1, 13)), set(range(1, 32)), False
    if words:
        (text,) = words
        year, rest = text.split("-", 1)
        from_end = "~" in rest
        month_text, day_text = rest.split("~" if from_end else "-")
        months, month_days = numbers(month_text, 12), numbers(day_text, 31)
    places = [
        place
        for place, (_, day, weekday, end) in enumerate(DAYS)
        if weekday in on
        and day.month in months
        and (end if from_end else day.day) in month_days
        and (year == "*" or day.year == int(year))
    ]
    return places, hour, minute


class Zone:
    def __init__(self, name):
        with open(os.path.join(ZONEINFO, name), "rb") as file:
            self.zone = zoneinfo.ZoneInfo.from_file(file)
        # The offset of each day on which the clock does not change, nor shortly before or after; None for the others.
        first = (DAYS[0][0] * DAY - FURTHEST) // STEP
        last = ((DAYS[-1][0] + 1) * DAY + FURTHEST) // STEP + 1
        seen = [self.offset(place * STEP) for place in range(first, last + 1)]
        changes = [place for place in range(1, len(seen)) if seen[place] != seen[place - 1]]
        self.quiet = {day: seen[day * DAY // STEP - first] for day, *_ in DAYS}
        self.around = {}
        for change in changes:
            at = (first + change) * STEP
            for day in range((at - FURTHEST) // DAY - 2, (at + FURTHEST) // DAY + 2):
                if day * DAY - FURTHEST - STEP <= at <= (day + 1) * DAY + FURTHEST + STEP and day in self.quiet:
                    self.quiet[day] = None
                    self.around.setdefault(day, set()).update((seen[change - 1], seen[change]))

    def offset(self, at):
        return round(datetime.fromtimestamp(at, self.zone).utcoffset().total_seconds())

    def shows(self, at):
        """What the wall clock shows at an instant."""
        return datetime.fromtimestamp(at, self.zone).replace(tzinfo=None, fold=0)

    def first(self, day, when, hour, minute):
        """The first instant at which the wall clock shows this, or where it never does, the first at which it shows later,
        and whether it never does or does twice."""
        as_utc = day * DAY + hour * 3600 + minute * 60
        quiet = self.quiet[day]
        if quiet is not None:
            return as_utc - quiet, 0
        wanted = datetime(when.year, when.month, when.day, hour, minute)
        offsets = self.around[day]
        step = 60 if all(offset % 60 == 0 for offset in offsets) else 1
        # Before it every clock shows less, and after it every clock shows more.
        begin, end = as_utc - max(offsets), as_utc - min(offsets)
        exact = [at for at in range(begin, end + 1, step) if self.shows(at) == wanted]
        if exact:
            return exact[0], int(len(exact) > 1)
        at = begin
        while self.shows(at) < wanted:
            at += step
        return at, 1


def openings(zone, window):
    found, n_odd = [], 0
    for line in window["opens"]:
        places, hour, minute = read(line)
        for place in places:
            day, when, *_ = DAYS[place]
            start, odd = zone.first(day, when, hour, minute)
            end = start + window["minutes"] * 60
            if start < TO and end > FROM:
                found.append((start, end))
                n_odd += odd
    found.sort()
    return [instant for opening in found for instant in opening], n_odd


def main():
    zoneinfo.reset_tzpath(to=[ZONEINFO])
    for line in sys.stdin:
        asked = json.loads(line)
        if "zone" not in asked:
            print(json.dumps(sorted(zoneinfo.available_timezones())), flush=True)
            continue
        zone = Zone(asked["zone"])
        answers = [openings(zone, window) for window in asked["windows"]]
        answer = {"openings": [one for one, _ in answers], "n_odd": sum(odd for _, odd in answers)}
        print(json.dumps(answer, separators=(",", ":")), flush=True)


main()
