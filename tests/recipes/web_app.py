"""A web app with FastAPI: one client for its life, errors as responses, and a download while its rows are fetched.

`uvicorn tests.recipes.web_app:app`, with the variables that `AmiliClient.from_env` reads. How such an app is tested:
`test_web_app.py`.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from math import ceil
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from amili_async import AmiliClient, Payout, RateLimit
from amili_async.errors import AmiliError, ConfigurationError, NotFound, RateLimited
from amili_async.export import export_bytes


@asynccontextmanager
async def connect(app: FastAPI) -> AsyncGenerator[None, None]:
    """One client for the life of the app. Its reserve keeps single calls fast while a download runs."""
    async with AmiliClient.from_env(rate_limit=RateLimit(reserve=20), max_wait=2.0, timeout=5.0) as app.state.amili:
        yield


def amili_of(request: Request) -> AmiliClient:
    """The client, as a dependency that tests can override."""
    client: AmiliClient = request.app.state.amili
    return client


Amili = Annotated[AmiliClient, Depends(amili_of)]
app = FastAPI(lifespan=connect)


@app.exception_handler(AmiliError)
async def answer_error(request: Request, error: AmiliError) -> JSONResponse:
    """No text of these errors holds a credential or a record."""
    if isinstance(error, ConfigurationError):  # an id of another form, for example: rejected before anything was sent
        return JSONResponse({"detail": str(error)}, 400)
    if isinstance(error, NotFound):
        return JSONResponse({"detail": "not found"}, 404)
    headers = {"Retry-After": str(ceil(error.retry_after or 1))} if isinstance(error, RateLimited) else None
    return JSONResponse({"detail": str(error)}, 503, headers)


@app.get("/payouts/{payout_id}")
async def show_payout(payout_id: str, amili: Amili) -> Payout:
    """One payout."""
    return await amili.payouts.get(payout_id)


@app.get("/payouts.csv")
async def download_payouts(amili: Amili) -> StreamingResponse:
    """All payouts, each page as soon as it has arrived; a slow reader slows the requests down."""
    patient = amili.with_options(max_wait=None, timeout=30.0)
    chunks = export_bytes(patient.payouts, "csv")
    first = await anext(chunks, b"")  # an error until here is answered, a later one aborts the download

    async def body() -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    headers = {"Content-Disposition": "attachment; filename=payouts.csv"}
    return StreamingResponse(body(), media_type="text/csv", headers=headers)
