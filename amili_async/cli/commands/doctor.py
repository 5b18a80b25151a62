"""`amili doctor`: check all that lies between this machine and the records of the API."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from amili_async.cli.console import write_bytes
from amili_async.cli.exit_codes import PROBLEM, SUCCESS, run
from amili_async.cli.options import SandboxOption

if TYPE_CHECKING:
    from amili_async.cli.diagnosis.check import Check
    from amili_async.sandbox import Sandbox

_SPECIFICATIONS = 500


def find_faults(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document: status, and checks with advice.")] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Check settings, network, key, permissions and fields, and name what to do about each fault.

    Each check is ok, warning, failed, or skipped because one that it needs failed.

    - configuration, credentials: the variables that are set, by name, misspelt ones, and whether the key can be used
    - dns, tcp, proxy, tls: the way to the API, its certificate, and why that is not trusted
    - token, clock: whether the API accepts code and key, and how this machine's clock compares with the server's
    - each resource: whether its newest page may be read, and whether its fields are those that the API documents
    - rate limit: what the server reports of it

    It sends at most seven requests, changes nothing, and shows no secret, and nothing of a record but names.
    The exit code is 1 if a check failed.
    """
    # Here, because other commands start faster without these modules.
    from amili_async.cli.diagnosis.check import CheckStatus
    from amili_async.cli.diagnosis.doctor import diagnose
    from amili_async.cli.reports.doctor_lines import CheckPrinter, encode_checks, in_words

    async def check() -> int:
        checks: list[Check] = []
        printer = CheckPrinter()

        def report(made: "Check") -> None:
            checks.append(in_words(made))
            if not json:
                printer.add(checks[-1])

        if sandbox:
            from amili_async.sandbox import Sandbox

            async with Sandbox(specifications=_SPECIFICATIONS) as server:
                await diagnose(_settings_of(server), report)
        else:
            await diagnose(os.environ, report)
        if json:
            write_bytes(encode_checks(checks))
        else:
            printer.finish()
        return PROBLEM if any(made.status is CheckStatus.FAILED for made in checks) else SUCCESS

    run(check())


def _settings_of(server: "Sandbox") -> dict[str, str]:
    return {
        "AMILI_BASE_URL": server.url,
        "AMILI_API_CODE": server.api_code,
        "AMILI_PRIVATE_KEY": server.private_key,
        "AMILI_LOG": os.environ.get("AMILI_LOG", ""),
    }
