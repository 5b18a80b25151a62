"""The proxy: which one is used for the API and why, and whether it makes a tunnel."""

import os
from urllib.parse import SplitResult
from urllib.request import getproxies, proxy_bypass

from amili_async._wire.base_url import is_loopback
from amili_async.cli.diagnosis.check import Check, failed, passed
from amili_async.cli.diagnosis.route import Route, explain_failure

_REASONS = {
    0: "does not answer as a proxy",
    403: "forbids the host (403)",
    407: "demands a user and a password that it accepts (407)",
}


async def check_proxy(route: Route) -> Check:
    """Which proxy is used and why, and whether it makes a tunnel to the API."""
    if route.proxy is None:
        return passed("proxy", _explain_no_proxy(route.api))
    name = f"{route.proxy.geturl()} ({_find_variable(route.api.scheme)})"
    if not route.is_encrypted:
        return passed("proxy", f"{name} gets the requests")
    try:
        async with route.connect() as (_, status):
            pass
    except OSError as error:
        advice = "check the proxy's URL, whether it begins with http:// or https://, and its port"
        return failed("proxy", f"{name} makes no tunnel: {explain_failure(error, 'it does not answer')}", advice)
    if 200 <= status < 300:
        return passed("proxy", f"{name} makes a tunnel to {route.tunnel}")
    return failed("proxy", f"{name} {_REASONS.get(status, f'answered {status}')}", _advise(status, route))


def _advise(status: int, route: Route) -> str:
    if status == 407:
        variable = _find_variable(route.api.scheme)
        return f"write both into {variable}: http://user:password@host:port, special characters percent-encoded"
    if status == 0:
        return "check host and port of the proxy"
    first = "check the host in AMILI_BASE_URL; if it is right, " if status >= 500 else ""
    return f"{first}ask the proxy's owner to permit CONNECT to {route.tunnel}"


def _explain_no_proxy(api: SplitResult) -> str:
    host, proxies, variable = api.hostname or "", getproxies(), f"{api.scheme.upper()}_PROXY"
    if api.scheme == "http" and is_loopback(host):
        return "none: plain http to this machine uses none"
    if api.scheme in proxies and proxy_bypass(host):
        return f"none: NO_PROXY covers {host}"
    if "all" in proxies:
        return f"none: {variable} is not set, and ALL_PROXY is not read"
    return f"none: {variable} is not set"


def _find_variable(scheme: str) -> str:
    """The variable that names the proxy; a lower-case name takes precedence, as everywhere."""
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    return next((name for name in names if os.environ.get(name)), "the system's settings")
