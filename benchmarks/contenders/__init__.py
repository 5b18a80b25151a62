"""One file per contender, with a `LABEL` and `fetch_all(url, ...)`, which returns how many records or pages it fetched.

Every contender requests pages of 100 sorted by `_id` and reads `total_amount` of every record; only those named
`kept_*` and `*_gathered` keep the records. `prepare()`, where it exists, runs before the measurement.
"""
