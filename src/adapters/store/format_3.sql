-- From format 2 to format 3. Once released, this file never changes; changes are migrations.

-- Windows that people opened once.
CREATE TABLE one_offs (
    instance TEXT NOT NULL,
    id TEXT NOT NULL,
    one_off TEXT NOT NULL,
    PRIMARY KEY (instance, id)
) STRICT, WITHOUT ROWID;
