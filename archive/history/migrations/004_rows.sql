-- What is written most goes into fewer and smaller trees, in the order of time: the rows of a run lie together, findings'
-- documents stand apart, as they go first, and counts lie in the order in which they are looked for. Portable: on PostgreSQL drop the
-- words WITHOUT ROWID.

CREATE TABLE checks_by_time (
  at      INTEGER NOT NULL,
  id      INTEGER NOT NULL,           -- hash of run, site, article
  run     TEXT NOT NULL REFERENCES runs (id),
  ordinal INTEGER NOT NULL,           -- order within the run
  site    TEXT NOT NULL,
  article TEXT NOT NULL,
  title   TEXT NOT NULL,
  size    INTEGER NOT NULL,           -- how many observations it has: for retention by count
  doc     TEXT NOT NULL,              -- survey.Check without its mirrors
  PRIMARY KEY (at, id),
  UNIQUE (run, site, article)
) STRICT, WITHOUT ROWID;
INSERT INTO checks_by_time
  SELECT c.at, c.id, c.run, c.ordinal, c.site, c.article, c.title, (SELECT COUNT(*) FROM observations o WHERE o.check_id = c.id), c.doc
  FROM checks c ORDER BY c.at, c.id;

-- Rows of checks are written in the transaction of their check, so nothing needs to look for their parents again.
CREATE TABLE observations_by_time (
  checked       INTEGER NOT NULL,     -- at of the check
  check_id      INTEGER NOT NULL,
  ordinal       INTEGER NOT NULL,     -- order within the check
  series        INTEGER NOT NULL,
  at            INTEGER NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('up', 'degraded', 'down', 'unknown')),
  verdict       TEXT NOT NULL,
  kind          TEXT,
  page_class    TEXT NOT NULL,
  confidence    TEXT NOT NULL,
  reason        TEXT NOT NULL,        -- the first reason
  stage         TEXT NOT NULL,
  outcome       TEXT NOT NULL,
  status        INTEGER,
  words         INTEGER,
  first_byte_us INTEGER,
  total_us      INTEGER,
  counted       TEXT NOT NULL,        -- the roll-up column it stands in: a state, void or maintenance
  PRIMARY KEY (checked, check_id, ordinal)
) STRICT, WITHOUT ROWID;
INSERT INTO observations_by_time
  SELECT c.at, o.check_id, o.ordinal, o.series, o.at, o.state, o.verdict, o.kind, o.page_class, o.confidence, o.reason, o.stage, o.outcome,
    o.status, o.words, o.first_byte_us, o.total_us, o.counted
  FROM checks c JOIN observations o ON o.check_id = c.id ORDER BY c.at, c.id, o.ordinal;

-- The findings of a check as they were; taken away by age, the archive's check record has them.
CREATE TABLE details (
  checked  INTEGER NOT NULL,          -- at of the check
  check_id INTEGER NOT NULL,
  doc      BLOB NOT NULL,             -- list of survey.Finding by ordinal: JSON, which begins with [, or that in zstd
  PRIMARY KEY (checked, check_id)
) STRICT, WITHOUT ROWID;
INSERT INTO details
  SELECT c.at, c.id, CAST('[' || d.doc || ']' AS BLOB)
  FROM checks c JOIN (
    SELECT check_id, group_concat(detail, ',') AS doc
    FROM (SELECT check_id, detail FROM observations ORDER BY check_id, ordinal)
    GROUP BY check_id HAVING COUNT(detail) = COUNT(*)) d ON d.check_id = c.id;

CREATE TABLE verdicts_of_checks (
  check_id      INTEGER NOT NULL,
  series        INTEGER NOT NULL REFERENCES series (id),
  rules_version TEXT NOT NULL,
  judged        INTEGER NOT NULL,
  state         TEXT NOT NULL,
  verdict       TEXT NOT NULL,
  doc           TEXT NOT NULL,        -- survey.Verdict
  PRIMARY KEY (check_id, series, rules_version)
) STRICT;
INSERT INTO verdicts_of_checks SELECT check_id, series, rules_version, judged, state, verdict, doc FROM verdicts;

DROP TABLE verdicts;
DROP TABLE observations;
DROP TABLE checks;
ALTER TABLE verdicts_of_checks RENAME TO verdicts;
ALTER TABLE observations_by_time RENAME TO observations;
ALTER TABLE checks_by_time RENAME TO checks;
CREATE INDEX checks_run ON checks (run, ordinal);
CREATE INDEX checks_article ON checks (article, at);
CREATE INDEX checks_size ON checks (at, size);

CREATE TABLE hours (
  site TEXT NOT NULL, mirror TEXT NOT NULL, vantage TEXT NOT NULL,
  start         INTEGER NOT NULL,
  up            INTEGER NOT NULL DEFAULT 0,
  degraded      INTEGER NOT NULL DEFAULT 0,
  down          INTEGER NOT NULL DEFAULT 0,
  unknown       INTEGER NOT NULL DEFAULT 0,
  void          INTEGER NOT NULL DEFAULT 0,
  maintenance   INTEGER NOT NULL DEFAULT 0,
  first_byte_us INTEGER NOT NULL DEFAULT 0,
  first_bytes   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (site, mirror, vantage, start)
) STRICT, WITHOUT ROWID;
INSERT INTO hours SELECT site, mirror, vantage, start, up, degraded, down, unknown, void, maintenance, first_byte_us, first_bytes FROM hourly;
DROP TABLE hourly;
ALTER TABLE hours RENAME TO hourly;

CREATE TABLE days (
  site TEXT NOT NULL, mirror TEXT NOT NULL, vantage TEXT NOT NULL,
  start         INTEGER NOT NULL,
  up            INTEGER NOT NULL DEFAULT 0,
  degraded      INTEGER NOT NULL DEFAULT 0,
  down          INTEGER NOT NULL DEFAULT 0,
  unknown       INTEGER NOT NULL DEFAULT 0,
  void          INTEGER NOT NULL DEFAULT 0,
  maintenance   INTEGER NOT NULL DEFAULT 0,
  first_byte_us INTEGER NOT NULL DEFAULT 0,
  first_bytes   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (site, mirror, vantage, start)
) STRICT, WITHOUT ROWID;
INSERT INTO days SELECT site, mirror, vantage, start, up, degraded, down, unknown, void, maintenance, first_byte_us, first_bytes FROM daily;
DROP TABLE daily;
ALTER TABLE days RENAME TO daily;
