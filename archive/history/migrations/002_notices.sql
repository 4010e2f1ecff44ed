-- What incidents are reckoned from, and what is needed to tell of them once.

-- One row for each mirror and each article on a mirror; the document belongs to the package that reckons.
CREATE TABLE tracks (
  id  TEXT PRIMARY KEY,               -- site, mirror and article, with spaces between
  doc TEXT NOT NULL
) STRICT;

-- Runs whose incidents were reckoned: each once.
CREATE TABLE evaluations (
  run TEXT PRIMARY KEY,
  at  INTEGER NOT NULL
) STRICT;

ALTER TABLE notices ADD COLUMN run TEXT NOT NULL DEFAULT '';
ALTER TABLE notices ADD COLUMN due INTEGER NOT NULL DEFAULT 0;   -- not before: quiet hours, pauses between tries
ALTER TABLE notices ADD COLUMN started INTEGER;                  -- when the last try began: the intent
CREATE INDEX notices_incident ON notices (incident, created);
CREATE INDEX checks_at ON checks (at);
