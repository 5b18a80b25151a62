"""dlt's `RESTClient`, sequential; an empty page ends it, since its paginator's total counts pages, not records."""

import os

from dlt.sources.helpers.rest_client.client import RESTClient
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator

from benchmarks.workload.server import PATH

LABEL = "dlt RESTClient"


def fetch_all(url: str) -> int:
    """Visit every record, as a dict."""
    # Telemetry would add network requests and a thread to the measured run.
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    client = RESTClient(
        url,
        headers={"X-API-Key": "token"},
        paginator=PageNumberPaginator(base_page=1, page_param="page", total_path=None),
        data_selector="_items",
    )
    pages = client.paginate(PATH, params={"max_results": 100, "sort": "_id"})
    return sum(item["total_amount"] is not None for page in pages for item in page)
