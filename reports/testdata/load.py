# Loads the tables of `mirrorwatch report --format csv --out DIR/` with the dtypes of their dictionary.
import sys, pandas as pd

folder = sys.argv[1]
words = pd.read_csv(f"{folder}/dictionary.csv", keep_default_na=False)
tables = {}
for name, columns in words.groupby("table"):
    times = [c.column for c in columns.itertuples() if c.type == "time"]
    dtypes = {c.column: c.dtype for c in columns.itertuples() if c.type != "time"}
    t = pd.read_csv(f"{folder}/{name}.csv", dtype=dtypes)
    for c in times:
        t[c] = pd.to_datetime(t[c], utc=True).astype("datetime64[ns, UTC]")
    for c in columns.itertuples():
        assert str(t[c.column].dtype) == c.dtype, (name, c.column, t[c.column].dtype, c.dtype)
    assert list(t.columns) == list(columns["column"]), (name, list(t.columns))
    tables[name] = t
checks = tables["checks"]
assert checks.check_id.is_unique
for name, t in tables.items():
    assert t.check_id.isin(checks.check_id).all(), name
n = checks.state.value_counts()
print(*(f"{s} {n.get(s, 0)}" for s in ("up", "degraded", "down", "unknown")), "changes", len(tables["changes"]), "events", len(tables["events"]))
