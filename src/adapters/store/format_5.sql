-- From format 4 to format 5. Once released, this file never changes; changes are migrations.

-- Rehearsals: the newest ones of each instance.
CREATE TABLE rehearsals (
    instance TEXT NOT NULL,
    id TEXT NOT NULL,
    ended_at TEXT NOT NULL,
    rehearsal TEXT NOT NULL,
    PRIMARY KEY (instance, id)
) STRICT, WITHOUT ROWID;

-- A version is quarantined by a run, or by a rehearsal, which is no run.
CREATE TABLE quarantine_5 (
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    reason TEXT NOT NULL,
    run TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (instance, version)
) STRICT, WITHOUT ROWID;
INSERT INTO quarantine_5 SELECT instance, version, reason, run, at FROM quarantine;
DROP TABLE quarantine;
ALTER TABLE quarantine_5 RENAME TO quarantine;
