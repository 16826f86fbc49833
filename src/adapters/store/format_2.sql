-- From format 1 to format 2. Once released, this file never changes; changes are migrations.

-- What people order.
ALTER TABLE approvals ADD COLUMN plan_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN expires_at TEXT;

CREATE TABLE holds (
    instance TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    set_by TEXT NOT NULL,
    at TEXT NOT NULL,
    until TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE pins (
    instance TEXT PRIMARY KEY,
    pinned_to TEXT NOT NULL,
    reason TEXT NOT NULL,
    set_by TEXT NOT NULL,
    at TEXT NOT NULL,
    until TEXT
) STRICT, WITHOUT ROWID;

-- Every release and advisory that was ever seen. `parsed` is the last one, `kept` what earlier texts of it said.
CREATE TABLE memory (
    repository TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    gone_since TEXT,
    digest TEXT NOT NULL,
    parsed TEXT NOT NULL,
    kept TEXT NOT NULL,
    PRIMARY KEY (repository, kind, id)
) STRICT;
CREATE TRIGGER memory_stays BEFORE DELETE ON memory
    BEGIN SELECT RAISE(ABORT, 'what was seen is kept for ever'); END;
CREATE TRIGGER memory_begins_once BEFORE UPDATE OF repository, kind, id, first_seen ON memory
    BEGIN SELECT RAISE(ABORT, 'what was seen first is kept for ever'); END;

-- What changed about them.
CREATE TABLE changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    at TEXT NOT NULL,
    what TEXT NOT NULL
) STRICT;

-- How each question to the outside went: JSON, one row for each question.
CREATE TABLE feeds (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
