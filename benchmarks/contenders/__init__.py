"""One file per contender; each has `LABEL` and `fetch_all(url, token) -> number of records`."""
