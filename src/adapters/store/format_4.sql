-- A held run is opened again by a person's order; every other end stays.
DROP TRIGGER runs_end_once;
CREATE TRIGGER runs_end_once BEFORE UPDATE OF finished_at, outcome ON runs
    WHEN OLD.finished_at IS NOT NULL AND (OLD.outcome <> 'held' OR NEW.outcome IS NOT NULL)
    BEGIN SELECT RAISE(ABORT, 'a run ends once'); END;
