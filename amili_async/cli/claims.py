"""The store of claims that `amili pay --claims` names."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import typer

from amili_async._wire.tasks import Redacted
from amili_async.errors import AmiliError, ConfigurationError
from amili_async.payments import Claims

POSTGRES_TIMEOUT = 10.0
"""Seconds for connecting to Postgres, and for each statement."""

ClaimsOption = Annotated[
    str | None,
    typer.Option(
        "--claims",
        metavar="URL",
        envvar="AMILI_CLAIMS_URL",
        show_envvar=True,
        help="Postgres (better) or Redis in which processes claim payments, so that one of them sends each: "
        "postgresql://… or redis://…",
    ),
]


@asynccontextmanager
async def open_claims(url: str | None) -> AsyncIterator[Claims | None]:
    """The store at a URL, which is closed after the block; `None` without a URL."""
    target, url = Redacted(url or ""), None  # it may hold a password
    async with AsyncExitStack() as stack:
        scheme = target.content.partition(":")[0]
        if not target.content:
            yield None
        elif scheme in {"postgresql", "postgres"}:
            yield await _open_postgres(stack, target)
        else:
            from amili_async.shared.claims import RedisClaims

            yield RedisClaims.from_url(target.content)


async def _open_postgres(stack: AsyncExitStack, url: Redacted[str]) -> Claims:
    try:
        import asyncpg
    except ModuleNotFoundError:
        raise ConfigurationError('--claims: Postgres needs its driver: pip install "amili-async[postgres]"') from None
    from amili_async.shared.claims import PostgresClaims

    limits = {"timeout": POSTGRES_TIMEOUT, "command_timeout": POSTGRES_TIMEOUT}
    try:
        pool = await stack.enter_async_context(asyncpg.create_pool(url.content, min_size=1, max_size=4, **limits))
        claims = PostgresClaims(pool)
        await claims.create_table()
    except Exception as error:  # noqa: BLE001 - drivers raise many types, whose texts may quote the URL
        raise AmiliError(f"--claims: Postgres cannot be used ({type(error).__name__}); nothing was sent") from None
    return claims
