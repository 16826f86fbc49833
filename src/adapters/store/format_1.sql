-- The state file, format 1. Once released, this file never changes; changes are migrations.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    plan TEXT NOT NULL,
    created_at TEXT NOT NULL,
    finished_at TEXT,
    outcome TEXT,
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
) STRICT;
CREATE INDEX runs_by_instance ON runs (instance, id);
CREATE UNIQUE INDEX one_open_run ON runs (instance) WHERE finished_at IS NULL;
CREATE TRIGGER runs_stay BEFORE DELETE ON runs
    BEGIN SELECT RAISE(ABORT, 'runs are kept for ever'); END;
CREATE TRIGGER plans_stay BEFORE UPDATE OF id, instance, plan, created_at ON runs
    BEGIN SELECT RAISE(ABORT, 'plans do not change'); END;
CREATE TRIGGER runs_end_once BEFORE UPDATE OF finished_at, outcome ON runs
    WHEN OLD.finished_at IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a run ends once'); END;

CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs (id),
    seq INTEGER NOT NULL,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_stay BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_do_not_change BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_have_no_gaps BEFORE INSERT ON events
    WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE run = NEW.run)
    BEGIN SELECT RAISE(ABORT, 'the journal has no gaps'); END;
CREATE TRIGGER events_end_with_the_run BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM runs WHERE id = NEW.run AND finished_at IS NOT NULL)
    BEGIN SELECT RAISE(ABORT, 'the run is over'); END;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT REFERENCES runs (id),
    recipient TEXT NOT NULL,
    message BLOB NOT NULL,
    queued_at TEXT NOT NULL,
    next_at TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    sent_at TEXT,
    last_error TEXT,
    CHECK (sent_at IS NULL OR next_at IS NULL)
) STRICT;
CREATE INDEX outbox_due ON outbox (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE quarantine (
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    reason TEXT NOT NULL,
    run TEXT NOT NULL REFERENCES runs (id),
    at TEXT NOT NULL,
    PRIMARY KEY (instance, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    approved_by TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (instance, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE cache (
    url TEXT PRIMARY KEY,
    etag TEXT,
    body BLOB NOT NULL,
    fetched_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE first_seen (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER first_seen_stays BEFORE DELETE ON first_seen
    BEGIN SELECT RAISE(ABORT, 'what was seen first is kept for ever'); END;
CREATE TRIGGER first_seen_does_not_change BEFORE UPDATE ON first_seen
    BEGIN SELECT RAISE(ABORT, 'what was seen first is kept for ever'); END;
