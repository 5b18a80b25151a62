"""One file per contender; each has `LABEL` and `fetch_all(url, …) -> how many records (or pages) it brought`.

All of them ask for pages of 100 sorted by `_id` and visit every record that they bring: they add up `total_amount`.
"""
