"""One file per contender; each has `LABEL` and `fetch_all(url, …) -> how many records (or pages) it brought`.

All of them ask for pages of 100 sorted by `_id`, and look at the `total_amount` of every record; none keeps the records
but those that say so. What a contender does in `prepare()` is not measured.
"""
