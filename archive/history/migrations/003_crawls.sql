-- What whole-site crawls and the comparison with feeds found: a span per mirror and result, not a row per run.

CREATE TABLE crawls (
  site       TEXT NOT NULL,
  mirror     TEXT NOT NULL,
  vantage    TEXT NOT NULL,
  first_seen INTEGER NOT NULL,        -- end of the first crawl with this result
  last_seen  INTEGER NOT NULL,        -- end of the newest one with it
  run        TEXT NOT NULL,           -- the newest run with it
  ordinal    INTEGER NOT NULL,        -- order within the run
  complete   INTEGER NOT NULL,
  doc        TEXT NOT NULL,           -- survey.Crawl without its times
  PRIMARY KEY (site, mirror, vantage, first_seen)
) STRICT;
CREATE INDEX crawls_run ON crawls (run);

CREATE TABLE syncs (
  site       TEXT NOT NULL,
  mirror     TEXT NOT NULL,
  vantage    TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  run        TEXT NOT NULL,
  ordinal    INTEGER NOT NULL,
  doc        TEXT NOT NULL,           -- survey.Sync without arrivals
  PRIMARY KEY (site, mirror, vantage, first_seen)
) STRICT;
CREATE INDEX syncs_run ON syncs (run);

-- An article that a feed or sitemap named, on one mirror from one vantage.
CREATE TABLE arrivals (
  series     INTEGER PRIMARY KEY REFERENCES series (id),
  published  INTEGER,                 -- as the feed says
  first_seen INTEGER NOT NULL,        -- first and newest run that found it among the newest
  last_seen  INTEGER NOT NULL,
  state      TEXT NOT NULL,           -- in the newest of them: present, missing, not_judged
  arrived    INTEGER,                 -- first seen on the mirror; NULL: not while it was among the newest
  lag_us     INTEGER,                 -- behind the primary at most
  bound_us   INTEGER,                 -- less at the least
  run        TEXT NOT NULL,
  ordinal    INTEGER NOT NULL
) STRICT;
CREATE INDEX arrivals_run ON arrivals (run);
