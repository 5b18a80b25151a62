"""The loop of the API guide over one connection: a requests session."""

from benchmarks.contenders import requests_get

LABEL = "requests.Session"


def fetch_all(url: str) -> int:
    """Visit every record, as a dict."""
    return requests_get.fetch_all(url, has_session=True)
