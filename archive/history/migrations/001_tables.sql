-- Times are microseconds since 1970 UTC, names end in nothing for times and in _us for durations. Ids are made by the
-- program: hashes of what they name, so a history that is built again from the archive is the same. JSON is TEXT.
-- Portable: on PostgreSQL read INTEGER as BIGINT and drop the word STRICT.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
  id            TEXT PRIMARY KEY,
  started       INTEGER NOT NULL,
  finished      INTEGER,              -- NULL while it runs, or when it was killed
  complete      INTEGER NOT NULL DEFAULT 0,
  void          INTEGER NOT NULL DEFAULT 0,
  rules_version TEXT NOT NULL DEFAULT '',
  doc           TEXT NOT NULL,        -- survey.Run
  summary       TEXT                  -- survey.Summary
) STRICT;
CREATE INDEX runs_started ON runs (started);

-- One article over all mirrors and vantages at one time.
CREATE TABLE checks (
  id      INTEGER PRIMARY KEY,        -- hash of run, site, article
  run     TEXT NOT NULL REFERENCES runs (id),
  ordinal INTEGER NOT NULL,           -- order within the run
  site    TEXT NOT NULL,
  article TEXT NOT NULL,
  title   TEXT NOT NULL,
  at      INTEGER NOT NULL,
  doc     TEXT NOT NULL               -- survey.Check without its mirrors
) STRICT;
CREATE INDEX checks_run ON checks (run, ordinal);
CREATE INDEX checks_article ON checks (article, at);

-- One article on one mirror from one vantage: what observations, intervals and snapshots belong to.
CREATE TABLE series (
  id         INTEGER PRIMARY KEY,     -- hash of the four names
  site       TEXT NOT NULL,
  article    TEXT NOT NULL,
  mirror     TEXT NOT NULL,
  vantage    TEXT NOT NULL,
  role       TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  UNIQUE (article, mirror, vantage, site)
) STRICT;

CREATE TABLE observations (
  check_id      INTEGER NOT NULL REFERENCES checks (id),
  series        INTEGER NOT NULL REFERENCES series (id),
  ordinal       INTEGER NOT NULL,     -- order within the check
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
  detail        TEXT,                 -- survey.Finding; NULL once thinned, the archive's check record has it
  PRIMARY KEY (series, at, check_id)
) STRICT;
CREATE INDEX observations_check ON observations (check_id, ordinal);
CREATE INDEX observations_at ON observations (at);

-- Judgements that later rules made of a stored observation, or that they replaced.
CREATE TABLE verdicts (
  check_id      INTEGER NOT NULL REFERENCES checks (id),
  series        INTEGER NOT NULL REFERENCES series (id),
  rules_version TEXT NOT NULL,
  judged        INTEGER NOT NULL,
  state         TEXT NOT NULL,
  verdict       TEXT NOT NULL,
  doc           TEXT NOT NULL,        -- survey.Verdict
  PRIMARY KEY (series, check_id, rules_version)
) STRICT;

-- Spans of equal state and verdict; void observations are in none.
CREATE TABLE states (
  series     INTEGER NOT NULL REFERENCES series (id),
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  state      TEXT NOT NULL,
  verdict    TEXT NOT NULL,
  before     TEXT NOT NULL,           -- state of the interval before, '' for the first
  PRIMARY KEY (series, first_seen)
) STRICT;
CREATE INDEX states_first ON states (first_seen);

-- A snapshot row spans the visits that met the same bytes and gave the same verdict; time and id are the first one's.
CREATE TABLE snapshots (
  id         TEXT PRIMARY KEY,        -- record ID of the page response
  series     INTEGER NOT NULL REFERENCES series (id),
  url        TEXT NOT NULL,
  time       INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  count      INTEGER NOT NULL,
  last_id    TEXT NOT NULL,           -- record ID of the newest visit in the span
  payload    TEXT NOT NULL,
  state      TEXT NOT NULL,
  verdict    TEXT NOT NULL,
  page_class TEXT NOT NULL,
  flagged    INTEGER NOT NULL,
  left_out   INTEGER NOT NULL,
  page       TEXT NOT NULL            -- survey.Capture
) STRICT;
CREATE INDEX snapshots_series ON snapshots (series, time);

-- Requisites of an article on a mirror: a span per URL and content.
CREATE TABLE requisites (
  series     INTEGER NOT NULL REFERENCES series (id),
  url        TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  payload    TEXT NOT NULL,
  doc        TEXT NOT NULL,           -- survey.Requisite, the newest capture of that content
  PRIMARY KEY (series, url, first_seen)
) STRICT;

CREATE TABLE links (
  id         INTEGER PRIMARY KEY,     -- hash of site and target
  site       TEXT NOT NULL,
  target     TEXT NOT NULL,
  kind       TEXT NOT NULL,
  parents    TEXT NOT NULL,           -- JSON list, bounded
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  run        TEXT NOT NULL            -- the newest run that met it
) STRICT;
CREATE INDEX links_run ON links (run);

CREATE TABLE link_states (
  link       INTEGER NOT NULL REFERENCES links (id),
  mirror     TEXT NOT NULL,
  vantage    TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  checked    INTEGER NOT NULL,        -- when it was last asked for, for links_every
  url        TEXT NOT NULL,
  state      TEXT NOT NULL,
  outcome    TEXT NOT NULL,
  status     INTEGER,
  run        TEXT NOT NULL,
  PRIMARY KEY (link, mirror, vantage, first_seen)
) STRICT;

CREATE TABLE candidates (
  site       TEXT NOT NULL,
  host       TEXT NOT NULL,
  article    TEXT NOT NULL,
  rule       TEXT NOT NULL,
  evidence   TEXT NOT NULL,
  confirmed  INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  run        TEXT NOT NULL,
  PRIMARY KEY (site, host, article, rule)
) STRICT;

CREATE TABLE hourly (
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
) STRICT;

CREATE TABLE daily (
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
) STRICT;

CREATE TABLE incidents (
  id       TEXT PRIMARY KEY,
  site     TEXT NOT NULL,
  mirror   TEXT NOT NULL,
  vantage  TEXT NOT NULL,
  article  TEXT NOT NULL,
  cause    TEXT NOT NULL,
  state    TEXT NOT NULL,
  started  INTEGER NOT NULL,
  opened   INTEGER,
  closed   INTEGER,
  acked    INTEGER,
  acked_by TEXT NOT NULL DEFAULT '',
  doc      TEXT NOT NULL
) STRICT;
CREATE INDEX incidents_started ON incidents (started);
CREATE INDEX incidents_closed ON incidents (closed);

CREATE TABLE notices (
  id       TEXT PRIMARY KEY,
  incident TEXT NOT NULL REFERENCES incidents (id),
  kind     TEXT NOT NULL,             -- down, degraded, up, reminder
  target   TEXT NOT NULL,             -- name of the channel, without secrets
  created  INTEGER NOT NULL,
  state    TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'sent', 'failed', 'unknown')),
  tries    INTEGER NOT NULL DEFAULT 0,
  finished INTEGER,
  error    TEXT NOT NULL DEFAULT '',
  doc      TEXT NOT NULL
) STRICT;
CREATE INDEX notices_state ON notices (state, created);
