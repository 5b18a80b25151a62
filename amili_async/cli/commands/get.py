"""`amili get`: one record, as a list of its fields or as JSON."""

from typing import Annotated

import typer

from amili_async.cli.connect import open_client
from amili_async.cli.console import PlainConsole, write_bytes
from amili_async.cli.exit_codes import run
from amili_async.cli.options import JsonOption, ResourceName, SandboxOption
from amili_async.cli.resources import find_resource
from amili_async.cli.values import list_fields
from amili_async.export import FORMATS
from amili_async.export.records import as_document


def get_record(
    resource: ResourceName,
    id: Annotated[str, typer.Argument(metavar="ID", help="24 hexadecimal digits.")],  # noqa: A002
    *,
    json: JsonOption = False,
    sandbox: SandboxOption = False,
) -> None:
    """Show one record by its id, as a list of its fields or as JSON.

    Every field that the API sends is shown, undocumented ones and null included.
    """

    async def show() -> None:
        entry = find_resource(resource)
        async with open_client(sandbox=sandbox) as amili:
            record = await entry.of(amili).get(id, into=dict)
        if json:
            write_bytes(FORMATS[".ndjson"](None, None).encode([record]))
        else:
            PlainConsole().print(list_fields(as_document(record)))

    run(show())
