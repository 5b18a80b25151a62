"""The loop of the API guide: sequential `requests.get`, a new connection per page."""

import requests

from benchmarks.workload.server import PATH

LABEL = "requests.get, as in the API's guide"


def fetch_all(url: str, *, has_session: bool = False) -> int:
    """Visit every record, as a dict; *has_session* keeps the connection open."""
    get = requests.Session().get if has_session else requests.get
    visited, page = 0, 1
    while True:
        parameters: dict[str, str | int] = {"page": page, "max_results": 100, "sort": "_id"}
        response = get(f"{url}/{PATH}", params=parameters, headers={"X-API-Key": "token"}, timeout=30)
        response.raise_for_status()
        listing = response.json()
        for item in listing["_items"]:
            visited += item["total_amount"] is not None
        if page * 100 >= listing["_meta"]["total"]:
            return visited
        page += 1
