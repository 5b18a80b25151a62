"""The token provider under any interleaving: one fetch at a time, and never a token that was rejected before."""

import asyncio
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from amili_async._wire.announcer import Announcer
from amili_async._wire.tasks import cancel_all
from amili_async._wire.token_provider import CachedToken, TokenProvider
from amili_async.auth import Token
from amili_async.errors import ClientClosed, ServerFault
from tests.support.clocks import MovedClock, settle
from tests.support.exhaustive import examples

Operation: TypeAlias = tuple[Any, ...]

operations = st.lists(
    st.one_of(
        st.tuples(st.just("call")),
        st.tuples(st.just("call")),
        st.tuples(st.just("reject"), st.integers(0, 5)),
        st.tuples(st.just("reject"), st.integers(0, 5)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("give"), st.sampled_from([None, 5.0, 100.0, 1000.0])),
        st.tuples(st.just("give"), st.sampled_from([None, 5.0, 100.0, 1000.0])),
        st.tuples(st.just("give and cancel"), st.integers(0, 9)),
        st.tuples(st.just("give and reject"), st.integers(0, 5)),
        st.tuples(st.just("fail")),
        st.tuples(st.just("give up")),
        st.tuples(st.just("close")),
        st.tuples(st.just("move"), st.sampled_from([0.5, 4.9, 5.0, 50.0, 99.0, 960.0])),
    ),
    max_size=50,
)


class ProviderModel:
    """A provider, its source, and its callers."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.provider = TokenProvider(self._fetch, clock=self.clock, announce=Announcer())
        self.fetching: list[asyncio.Future[Token]] = []
        self.given = 0
        self.rejected: set[str] = set()
        self.tokens: list[CachedToken] = []
        self.callers: list[asyncio.Task[None]] = []

    async def _fetch(self) -> Token:
        assert not self.fetching, "two concurrent fetches"
        self.fetching.append(asyncio.get_running_loop().create_future())
        try:
            return await self.fetching[0]
        finally:
            self.fetching.clear()

    async def _get_token(self, rejected: CachedToken | None) -> None:
        before = set(self.rejected)
        token = await self.provider.get(rejected=rejected)
        assert token.value not in before, "a rejected token was returned again"
        assert token.expires_at is None or token.expires_at > self.clock.now(), "an expired token"
        self.tokens.append(token)

    async def do(self, what: str, *details: Any) -> None:
        """Run one operation, or two in one step, and every task that they make runnable."""
        for each in what.split(" and "):
            getattr(self, f"_{each.replace(' ', '_')}")(*details)
        if what == "close":
            await cancel_all((self.provider,))
        elif what == "move":
            await self.clock.move(*details)
        await settle(6)

    def _start(self, rejected: CachedToken | None) -> None:
        self.callers.append(asyncio.create_task(self._get_token(rejected)))

    def _call(self) -> None:
        self._start(None)

    def _reject(self, number: int) -> None:
        """The server rejects a token that a caller holds: one of the latest, late or early."""
        if self.tokens:
            rejected = self.tokens[-1 - number % len(self.tokens)]
            self.rejected.add(rejected.value)
            self._start(rejected)

    def _cancel(self, number: int) -> None:
        if number < len(self.callers):
            self.callers[number].cancel()

    def _give(self, lifetime: Any = None) -> None:
        if self.fetching and not self.fetching[0].done():
            self.given += 1
            lifetime = lifetime if isinstance(lifetime, float) else None
            self.fetching[0].set_result(Token(value=f"token-{self.given}", lifetime=lifetime))

    def _fail(self) -> None:
        if self.fetching and not self.fetching[0].done():
            self.fetching[0].set_exception(ServerFault("down", status=503))

    def _give_up(self) -> None:
        """The source is cancelled from within."""
        if self.fetching:
            self.fetching[0].cancel()

    def _close(self) -> None:
        """See `do`."""

    def _move(self, seconds: float) -> None:
        """See `do`."""

    async def end(self) -> None:
        """Once the source responds, every waiting caller gets a token, and so does the next."""
        for _ in range(3):
            await self.do("give", 1000.0)
        assert all(caller.done() for caller in self.callers), "a caller waits forever"
        for caller in self.callers:
            error = None if caller.cancelled() else caller.exception()
            assert error is None or isinstance(error, (ServerFault, ClientClosed)), error
        self._start(None)
        await settle(6)
        await self.do("give", 1000.0)
        assert self.callers[-1].done()
        assert self.callers[-1].exception() is None
        await cancel_all((self.provider,))
        assert asyncio.all_tasks() == {asyncio.current_task()}


@examples(400)
@given(operations)
def test_one_fetch_at_a_time_and_no_rejected_token(history: list[Operation]) -> None:
    """Calls, rejections, cancellations and failures in any order: one fetch, and no token known to be rejected."""

    async def run() -> None:
        model = ProviderModel()
        for operation in history:
            await model.do(*operation)
        await model.end()

    asyncio.run(run())
