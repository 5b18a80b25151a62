"""Dicts decoded out of memory by `json.loads`, all of which are kept."""

import json
from typing import Any

from benchmarks.pages import write_pages

LABEL = "json.loads, dicts kept"
BODIES = write_pages("real", 100)


def fetch_all(_url: str, *, times: int) -> int:
    """Decode all pages so many times, each time anew."""
    kept: list[dict[str, Any]] = []
    for _ in range(times):
        for body in BODIES:
            kept.extend(json.loads(body)["_items"])
    return len(kept)
