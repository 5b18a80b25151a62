"""The semantic conventions of OpenTelemetry for HTTP clients: https://opentelemetry.io/docs/specs/semconv/http/.

`url.full` is left out, since the query of a request can hold personal data; `url.template` is there instead.
"""

from typing import Any

from amili_async.events import AttemptFinished

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds: the buckets that are advised for `http.client.request.duration`."""


def request_attributes(request: str, *, address: str, port: int) -> dict[str, Any]:
    """What is known before a request is sent; *request* is its method and route."""
    method, _, route = request.partition(" ")
    return {"http.request.method": method, "url.template": route, "server.address": address, "server.port": port}


def response_attributes(event: AttemptFinished) -> dict[str, Any]:
    """What is known when an attempt has ended: its status, or its error, which is the status of an error response."""
    if event.status is None:
        return {"error.type": event.error}
    attributes: dict[str, Any] = {"http.response.status_code": event.status}
    if event.status >= 400:
        attributes["error.type"] = str(event.status)
    return attributes
