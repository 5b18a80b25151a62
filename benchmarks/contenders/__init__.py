"""One file per contender; each has `LABEL` and `fetch_all(url) -> number of records`."""
