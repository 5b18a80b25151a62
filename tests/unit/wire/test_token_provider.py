"""The token keeper: one refresh at a time, shared, shielded, and judged by which token was rejected."""

import asyncio

import pytest
from rich.pretty import pretty_repr

from amili_async._wire.token_provider import Token, TokenProvider, check_source
from amili_async.errors import AuthenticationError, ConfigurationError, ServerFault
from amili_async.events import Announcer, Event, TokenRefreshed, TokenRefreshFailed
from tests.support.clocks import MovedClock, settle


class Source:
    """A token source whose answers the test lets through one by one."""

    def __init__(self, lifetime: float | None = None) -> None:
        self.lifetime = lifetime
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def __call__(self) -> Token:
        self.calls += 1
        number = self.calls
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Token(value=f"token-{number}", lifetime=self.lifetime)


def make_keeper(source: Source, clock: MovedClock | None = None, *observers: object) -> TokenProvider:
    return TokenProvider(source, clock=clock or MovedClock(), announce=Announcer(observers))  # type: ignore[arg-type]


async def test_a_fixed_token_is_handed_out_as_it_is() -> None:
    """A str is the token."""
    keeper = TokenProvider("fixed", clock=MovedClock(), announce=Announcer())
    assert await keeper.get_valid_token() == "fixed"


async def test_a_fixed_token_that_is_rejected_is_an_error() -> None:
    """There is no other to try."""
    keeper = TokenProvider("fixed", clock=MovedClock(), announce=Announcer())
    with pytest.raises(AuthenticationError):
        await keeper.token(rejected=await keeper.token())


async def test_a_callable_may_return_a_plain_str() -> None:
    """A source that returns a str is asked once, until its token is rejected."""
    answers = iter(["one", "two"])

    async def source() -> str:
        return next(answers)

    keeper = TokenProvider(source, clock=MovedClock(), announce=Announcer())
    first = await keeper.token()
    assert (await keeper.token()).value == "one"
    assert (await keeper.token(rejected=first)).value == "two"


async def test_many_who_need_a_token_cause_one_refresh() -> None:
    """A hundred at once share one request."""
    source = Source()
    keeper = make_keeper(source)
    assert set(await asyncio.gather(*(keeper.get_valid_token() for _ in range(100)))) == {"token-1"}
    assert source.calls == 1


async def test_rejections_of_the_same_token_cause_one_refresh_early_or_late() -> None:
    """Eight that were rejected with one token, some of them only after the refresh, share its successor."""
    source = Source()
    keeper = make_keeper(source)
    rejected = await keeper.token()
    early = await asyncio.gather(*(keeper.token(rejected=rejected) for _ in range(6)))
    late = [await keeper.token(rejected=rejected) for _ in range(2)]
    assert {token.value for token in (*early, *late)} == {"token-2"}
    assert source.calls == 2


async def test_a_cancelled_waiter_takes_nobody_along() -> None:
    """The refresh goes on for the others, and for the next."""
    source = Source()
    source.gate.clear()
    keeper = make_keeper(source)
    leaver, stayer = (asyncio.create_task(keeper.get_valid_token()) for _ in range(2))
    await settle()
    leaver.cancel()
    await settle()
    source.gate.set()
    assert await stayer == "token-1"
    assert leaver.cancelled()
    assert source.calls == 1


async def test_a_failed_refresh_is_told_to_all_who_wait_and_not_remembered() -> None:
    """Everybody gets the error; the next call tries anew."""
    source = Source()
    source.failure = ServerFault("down", status=503)
    keeper = make_keeper(source)
    outcomes = await asyncio.gather(*(keeper.get_valid_token() for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ServerFault] * 3
    source.failure = None
    assert await keeper.get_valid_token() == "token-2"


async def test_a_token_is_renewed_early_while_the_old_one_is_handed_out() -> None:
    """Within the margin nobody waits: the old token is used until the new one is there."""
    clock, source = MovedClock(), Source(lifetime=600.0)
    keeper = make_keeper(source, clock)
    await keeper.token()
    clock._now += 545
    source.gate.clear()
    assert await keeper.get_valid_token() == "token-1"
    await settle()
    assert source.calls == 2
    source.gate.set()
    await settle()
    assert await keeper.get_valid_token() == "token-2"


async def test_a_failed_early_refresh_keeps_the_old_token_and_is_not_repeated_at_once() -> None:
    """The old token stays in use to its end; the source is not asked again on every call."""
    events: list[Event] = []
    clock, source = MovedClock(), Source(lifetime=600.0)
    keeper = make_keeper(source, clock, events.append)
    await keeper.token()
    source.failure = ServerFault("down", status=503)
    clock._now += 545
    for _ in range(5):
        assert await keeper.get_valid_token() == "token-1"
        await settle()
    assert source.calls == 2
    assert events == [TokenRefreshed(lifetime=600.0), TokenRefreshFailed(error="ServerFault", kept=True)]
    source.failure = None
    clock._now += 6
    await keeper.get_valid_token()
    await settle()
    assert await keeper.get_valid_token() == "token-3"


async def test_a_token_past_its_end_is_not_handed_out() -> None:
    """Once it has ended, everybody waits for the next."""
    clock, source = MovedClock(), Source(lifetime=600.0)
    keeper = make_keeper(source, clock)
    await keeper.token()
    clock._now += 601
    assert await keeper.get_valid_token() == "token-2"


async def test_a_token_that_lives_a_second_is_still_shared() -> None:
    """The margin shrinks with the lifetime: a short-lived token is not fetched anew for each call."""
    source = Source(lifetime=1.0)
    keeper = make_keeper(source)
    for _ in range(5):
        await keeper.token()
    assert source.calls == 1


@pytest.mark.parametrize("answer", ["", "  ", None, 5, Token(value=""), Token(value="x", lifetime=0), "a\nb", "å"])
async def test_a_source_that_gives_no_usable_token_is_a_clear_error(answer: object) -> None:
    """Blank, expired and unsendable tokens are refused, and not quoted."""

    async def source() -> object:
        return answer

    keeper = TokenProvider(source, clock=MovedClock(), announce=Announcer())  # type: ignore[arg-type]
    with pytest.raises(AuthenticationError):
        await keeper.get_valid_token()


@pytest.mark.parametrize("source", ["", " ", "a\r\nX: y", 5, None, b"bytes"])
def test_what_cannot_be_a_source_is_refused(source: object) -> None:
    """Only a token or a callable can be given as auth."""
    with pytest.raises(ConfigurationError):
        check_source(source)


async def test_closing_ends_a_refresh_under_way() -> None:
    """No task is left behind, and who waits is told why instead of being cancelled."""
    source = Source()
    source.gate.clear()
    keeper = make_keeper(source)
    waiter = asyncio.create_task(keeper.get_valid_token())
    await settle()
    await keeper.aclose()
    with pytest.raises(ConfigurationError):
        await waiter
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_tokens_are_never_shown() -> None:
    """Neither a Token nor what the keeper holds shows its value."""
    keeper = TokenProvider("s3cret", clock=MovedClock(), announce=Announcer())
    shown = f"{Token(value='s3cret')!r} {await keeper.token()!r} {await keeper.token()} {keeper!r}"
    assert "s3cret" not in shown
    assert "s3cret" not in pretty_repr([Token(value="s3cret"), await keeper.token()])
