"""The requests of a diagnosis: the exchange of the API code, and one page of each resource.

Invariant: each request is sent once, with a permit of the client's rate limiter, and there are at most seven. All are
GET: nothing is registered or changed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from amili_async import errors
from amili_async._wire.announcer import Announcer
from amili_async._wire.api_code import EXCHANGE, ApiCodeExchange
from amili_async._wire.clock import Clock
from amili_async._wire.core import ClientCore
from amili_async._wire.decoding import decoder_for
from amili_async._wire.network import Network
from amili_async._wire.protocol import Request, Response, list_request, server_time
from amili_async._wire.session import AttemptOptions
from amili_async._wire.tasks import Redacted
from amili_async.auth import ApiCodeCredentials
from amili_async.cases import FIELDS
from amili_async.cli.diagnosis.check import Check, failed, passed, warned
from amili_async.cli.diagnosis.route import show_seconds
from amili_async.cli.resources import ResourceEntry
from amili_async.environment import ClientOptions
from amili_async.errors import AmiliError
from amili_async.events import AttemptFinished, Event, RateLimiterDisconnected
from amili_async.models.record_type import record_type_of
from amili_async.policies import RateLimit, RateLimiter, RetryPolicy
from amili_async.query import build_query
from amili_async.readable import show_count

MAX_WAIT = 15.0
"""Seconds that a request may wait for its permit: other processes with the key can use it up."""
SHORTEST_LIFETIME = 60.0
"""Seconds: a token that lives shorter costs a noticeable part of the rate limit."""
_WINDOW = 60.0
"""Seconds after which a rate limit permits requests again, where the server states no others."""
_TYPICAL_TIMEOUT = 30.0
"""Seconds: the client's default."""

_ADVICE: tuple[tuple[type[AmiliError], str], ...] = (
    (errors.Forbidden, "ask Amili to permit this resource for the API code; the others work without it"),
    (errors.NotFound, "check AMILI_BASE_URL; if the others are found, ask Amili whether the API code may see this one"),
    (errors.RateLimiterUnavailable, "check AMILI_REDIS_URL and that its server runs"),
    (
        errors.RateLimited,
        "wait {wait:.0f} s; where other processes use the same API code, let them share its limit by AMILI_REDIS_URL",
    ),
    (errors.ServerFault, "try again later; if it stays, report it to Amili with the time of this run"),
    (errors.TimedOut, "try again later, or set AMILI_TIMEOUT to more seconds"),
    (errors.ConnectionFailed, "check AMILI_BASE_URL; a proxy or a login page may answer in place of the API"),
    (errors.UnreadableResponse, "check AMILI_BASE_URL; a proxy may answer in place of the API"),
    (errors.AuthenticationError, "get a new token, or set AMILI_API_CODE and AMILI_PRIVATE_KEY_FILE"),
)
_OWN_REJECTED = "report this to Amili: the API rejects the token that it has just issued"


class ApiProbe:
    """Sends the requests, and keeps what the responses show of the server."""

    def __init__(self, network: Network, options: ClientOptions, clock: Clock) -> None:
        limit: RateLimit | RateLimiter | None = options.get("rate_limit", RateLimit())
        self._limiter, self._clock, self._events = limit, clock, list[Event]()
        announce = Announcer((self._events.append, *options.get("observers", ())))
        self._core = ClientCore(network, limit, retry_budget=1, clock=clock, announce=announce)
        attempt = AttemptOptions(timeout=options.get("timeout", _TYPICAL_TIMEOUT), headers={})
        self._pipeline = self._core.make_pipeline(RetryPolicy(attempts=1), attempt, MAX_WAIT)
        self._auth, self._token = options["auth"], Redacted("")
        self._rejected: Request | None = None
        self.responses: list[Response] = []
        """What was received, of errors the headers alone."""
        self.clock_differences: list[float] = []
        """Seconds by which the server's clock was ahead of ours, for each response that stated its time."""
        self.was_clock_rejected = False
        """Whether the API rejected a JWT that our clock dated, and accepted one that its own did."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["ApiProbe"]:
        """Itself, ready to send, until the end of the block."""
        limiter = self._limiter
        async with limiter if isinstance(limiter, AbstractAsyncContextManager) else nullcontext():
            self._core.open()
            try:
                yield self
            finally:
                await self._core.aclose()

    @property
    def limit(self) -> RateLimit:
        """What the client keeps to."""
        return self._core.rate_limiter.limit or RateLimit()

    @property
    def redis_error(self) -> str | None:
        """The class of the error for which the shared rate limiter could not be used."""
        return next((event.error for event in self._events if isinstance(event, RateLimiterDisconnected)), None)

    async def check_token(self) -> Check:
        """Whether there is an access token: fetched with the API code, or that of the settings."""
        if not isinstance(self._auth, ApiCodeCredentials):
            self._token = Redacted(str(self._auth))
            return passed("token", "that of AMILI_TOKEN; the requests below show whether it is accepted")
        try:
            token = await ApiCodeExchange(self._auth, send=self._send, clock=self._clock)()
        except AmiliError as error:
            return failed("token", *_explain(error, "ask Amili which public key is registered for the API code"))
        self._token = Redacted(token.value)
        lifetime = token.lifetime or 0.0
        message = f"the API accepts code and key; its token is valid for {lifetime:.0f} s"
        if lifetime < SHORTEST_LIFETIME:
            return warned("token", f"{message}, which is short", "each token costs one request of the rate limit")
        return passed("token", message)

    async def fetch(self, entry: ResourceEntry) -> tuple[Check, Response | AmiliError]:
        """Request the newest page of a resource: whether it can be read, and the response or the error."""
        projection = FIELDS if entry.attribute == "cases" else None  # whole rows hold debtors
        request = list_request(entry.path, build_query(None, sort="-_id", projection=projection))
        try:
            response = await self._send(request, self._show_token)
            page = decoder_for(record_type_of(dict)).read_page(response, request=request.label, number=1)
        except AmiliError as error:
            is_own = isinstance(self._auth, ApiCodeCredentials)
            return failed(entry.name, *_explain(error, _OWN_REJECTED if is_own else "")), error
        seconds = [event.seconds for event in self._events if isinstance(event, AttemptFinished)][-1]
        total = "" if page.total in (None, len(page.items)) else f" of {page.total:,}"
        read = f"{show_count(len(page.items), 'record')}{total}"
        return passed(entry.name, f"{response.status} in {show_seconds(seconds)}, {read}"), response

    async def _show_token(self) -> str:
        return self._token.content

    async def _send(self, request: Request, credential: Callable[[], Awaitable[str]]) -> Response:
        try:
            response = await self._pipeline.call_with(request, credential)
        except AmiliError as error:
            self._note_time(error.server_time)
            self._rejected = request
            if error.headers:
                self.responses.append(Response(status=0, headers=error.headers, body=b""))
            raise
        self._note_time(server_time(response, default=None))
        self.was_clock_rejected |= request is EXCHANGE and self._rejected is EXCHANGE
        self.responses.append(response)
        return response

    def _note_time(self, theirs: float | None) -> None:
        if theirs is not None:
            self.clock_differences.append(theirs - self._clock.wall())


def _explain(error: AmiliError, rejected: str = "") -> tuple[str, str]:
    """What failed, and what to do; *rejected* is what to do about credentials that were rejected."""
    if rejected and isinstance(error, errors.AuthenticationError):
        return str(error), rejected
    unknown = "check AMILI_BASE_URL; if it is right, report this to Amili"
    advice = next((words for kind, words in _ADVICE if isinstance(error, kind)), unknown)
    return str(error), advice.format(wait=getattr(error, "retry_after", None) or _WINDOW)
