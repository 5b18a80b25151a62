"""All checks in their order: each is made unless one that it needs has failed, and is otherwise skipped."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

from amili_async._wire.clock import Clock, SystemClock
from amili_async._wire.network import Network
from amili_async._wire.protocol import Response
from amili_async.auth import ApiCodeCredentials
from amili_async.cli.diagnosis.api import ApiProbe
from amili_async.cli.diagnosis.check import Check, CheckStatus, skipped
from amili_async.cli.diagnosis.connections import check_connections, check_dns
from amili_async.cli.diagnosis.fields import judge_fields
from amili_async.cli.diagnosis.handshake import check_tls
from amili_async.cli.diagnosis.proxy import check_proxy
from amili_async.cli.diagnosis.route import Route
from amili_async.cli.diagnosis.server import judge_clock, judge_rate_limit
from amili_async.cli.diagnosis.settings import check_configuration, check_credentials, describe_versions
from amili_async.cli.resources import RESOURCES, ResourceEntry
from amili_async.environment import ClientOptions, Settings
from amili_async.errors import AuthenticationError, ConnectionFailed, RateLimited

_REQUESTS = "requests"
"""What each resource needs: that none before it failed in a way that the next request would fail in too."""
NEEDS: Mapping[str, tuple[str, ...]] = {
    "version": (),
    "configuration": (),
    "credentials": ("configuration",),
    "dns": ("configuration",),
    "tcp": ("dns",),
    "proxy": ("tcp",),
    "tls": ("proxy",),
    "token": ("tls", "credentials"),
    **{
        name: needs
        for entry in RESOURCES
        for name, needs in ((entry.name, ("token", _REQUESTS)), (f"{entry.name}_fields", (entry.name,)))
    },
    "clock": ("tls", "credentials"),
    "rate_limit": ("tls", "credentials"),
}
"""The name of each check in its order, and those without which it cannot be made."""


async def diagnose(settings: Settings, report: Callable[[Check], object], *, clock: Clock | None = None) -> None:
    """Make all checks of a client with these variables, and pass each to *report* as soon as it is made."""
    async with AsyncExitStack() as stack:
        steps = _Steps(settings, clock or SystemClock(), stack)
        blocked: dict[str, str] = {}  # the name of a check that failed or was skipped, and of the one that failed first
        for name, needs in NEEDS.items():
            cause = next((blocked[need] for need in needs if need in blocked), None)
            check = await steps.make(name) if cause is None else skipped(name, f"{cause.replace('_', ' ')} failed")
            if check.status in (CheckStatus.FAILED, CheckStatus.SKIPPED):
                blocked[name] = cause or name
            if steps.is_halted:
                blocked.setdefault(_REQUESTS, name)
            report(check)


class _Steps:
    """The checks, with what each leaves to those after it."""

    network: Network
    options: ClientOptions
    route: Route
    addresses: Sequence[str]
    api: ApiProbe

    def __init__(self, settings: Settings, clock: Clock, stack: AsyncExitStack) -> None:
        self.is_halted = False
        """Whether a request failed so that the next one would fail too."""
        self._settings, self._clock, self._stack = settings, clock, stack
        self._pages: dict[str, Response] = {}
        self._steps: dict[str, Callable[[], Check | Awaitable[Check]]] = {
            "version": describe_versions,
            "configuration": self._check_configuration,
            "credentials": self._check_credentials,
            "dns": self._check_name,
            "tcp": lambda: check_connections(self.route, self.addresses),
            "proxy": lambda: check_proxy(self.route),
            "tls": lambda: check_tls(self.route, clock.wall()),
            "token": self._check_token,
            **{entry.name: partial(self._check_resource, entry) for entry in RESOURCES},
            "clock": self._judge_clock,
            "rate_limit": self._judge_rate_limit,
            **{f"{entry.name}_fields": partial(self._judge_fields, entry) for entry in RESOURCES},
        }

    async def make(self, name: str) -> Check:
        made = self._steps[name]()
        return made if isinstance(made, Check) else await made

    def _check_configuration(self) -> Check:
        check, network = check_configuration(self._settings)
        if network is not None:
            self.network, self.route = network, Route(network)
        return check

    def _check_credentials(self) -> Check:
        check, options = check_credentials(self._settings)
        if options is not None:
            self.options = options
        return check

    async def _check_name(self) -> Check:
        check, self.addresses = await check_dns(self.route)
        return check

    async def _check_token(self) -> Check:
        self.api = await self._stack.enter_async_context(ApiProbe(self.network, self.options, self._clock).opened())
        return await self.api.check_token()

    async def _check_resource(self, entry: ResourceEntry) -> Check:
        check, outcome = await self.api.fetch(entry)
        if isinstance(outcome, Response):
            self._pages[entry.name] = outcome
        self.is_halted = isinstance(outcome, (AuthenticationError, ConnectionFailed, RateLimited))
        return check

    def _judge_clock(self) -> Check:
        signs = isinstance(self.options["auth"], ApiCodeCredentials)
        return judge_clock(self.api.clock_differences, signs=signs, was_rejected=self.api.was_clock_rejected)

    def _judge_rate_limit(self) -> Check:
        api, now = self.api, self._clock.wall()
        return judge_rate_limit(api.responses, api.limit, redis_error=api.redis_error, now=now)

    def _judge_fields(self, entry: ResourceEntry) -> Check:
        return judge_fields(entry, self._pages[entry.name].body)
