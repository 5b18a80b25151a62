"""`python -m benchmarks.sharing.api KIND LATENCY`: the API in a process of its own, until its input ends.

KIND is `strict`, the sandbox, which counts by sliding windows; or `eve`, a real Eve with Eve's own rate limiter, whose
Redis is the third argument. It prints where it is, and at the end when it received which requests.
"""

import asyncio
import json
import sys
import threading
import time
from typing import Any

from amili_async.sandbox import Sandbox


async def serve_sandbox(latency: float) -> list[tuple[float, int]]:
    """The strict sandbox: when it received each request, and the status of its answer."""
    async with Sandbox(payouts=5, specifications=5, payments=5, latency=latency, clock=time.monotonic) as sandbox:
        print(json.dumps([sandbox.url, sandbox.token()]), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        return [(request.received_at, request.status or 0) for request in sandbox.requests]


def serve_eve(redis_url: str) -> list[tuple[float, int]]:
    """A real Eve, limited to 100 requests a minute by its own code."""
    from redis import Redis
    from werkzeug.serving import WSGIRequestHandler, make_server

    from tests.support.eve_pair import make_eve

    eve: Any = make_eve()
    eve.redis = Redis.from_url(redis_url)
    eve.config["RATE_LIMIT_GET"] = (100, 60)
    received: list[tuple[float, int]] = []

    def note(environ: Any, start_response: Any) -> Any:
        began = time.monotonic()
        return eve.wsgi_app(environ, lambda status, *rest: _note(received, began, status, start_response, rest))

    class QuietHandler(WSGIRequestHandler):
        """Logs no request."""

        def log_request(self, *_: object) -> None:
            """Log nothing."""

    server = make_server("127.0.0.1", 0, note, threaded=True, request_handler=QuietHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps([f"http://127.0.0.1:{server.server_port}", "token"]), flush=True)
    sys.stdin.readline()
    server.shutdown()
    return received


def _note(received: list[tuple[float, int]], began: float, status: str, start_response: Any, rest: Any) -> Any:
    received.append((began, int(status.split()[0])))
    return start_response(status, *rest)


if __name__ == "__main__":
    journal = serve_eve(sys.argv[3]) if sys.argv[1] == "eve" else asyncio.run(serve_sandbox(float(sys.argv[2])))
    print(json.dumps(journal), flush=True)
