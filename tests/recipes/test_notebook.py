"""The notebook, run cell by cell by a real kernel."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")


FAILING = """%xmode Verbose
page = await amili.payouts.page()


def fail(page):
    raise LookupError


fail(page)"""
"""A cell that fails, in the mode in which a traceback shows all variables."""


def run(notebook: Any, folder: Path) -> list[list[Any]]:
    """The outputs of each cell of code."""
    given, result = folder / "given.ipynb", folder / "result.ipynb"
    given.write_text(json.dumps(notebook))
    environment = os.environ | {
        **dict.fromkeys(("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"), str(folder / "jupyter")),
        "PYTHONPATH": ":".join(filter(None, sys.path)),
    }
    command = [sys.executable, "-m", "tests.support.run_notebook", str(given), str(result)]
    subprocess.run(command, env=environment, check=True)
    return [cell["outputs"] for cell in json.loads(result.read_text())["cells"] if cell["cell_type"] == "code"]


def show(output: Any) -> str:
    """What Jupyter shows of an output."""
    return "".join(output["data"].get("text/html", output["data"]["text/plain"]))


def test_the_notebook(tmp_path: Path) -> None:
    """A page, the progress of an export and its result, a manifest and a reconciliation are shown; no traceback shows a
    record.
    """
    notebook = json.loads(NOTEBOOK.read_text())
    assert [cell for cell in notebook["cells"] if cell.get("outputs")] == []  # personal data, were it not the sandbox's
    fails = {"cell_type": "code", "metadata": {"tags": ["raises-exception"]}, "source": FAILING}
    notebook["cells"].insert(-1, fails | {"execution_count": None, "id": "fails", "outputs": []})
    _, (page,), (progress, result), (manifest,), (sums,), (differing,), failed, _ = run(notebook, tmp_path)
    assert ">page 1: 20 of 20 records</caption>" in show(page)
    assert show(progress).startswith('<progress value="2000" max="2000"></progress> lines: 2,000 of 2,000 rows')
    assert ">lines.parquet: complete</caption>" in show(result)
    assert ">Manifest of finance--payout-specifications: complete</caption>" in show(manifest)
    assert "capital" in show(sums)
    assert ": 1 difference</caption>" in show(differing)
    traceback = "".join(failed[-1]["traceback"])
    assert "Page(number=1, items=20, total=20)" in re.sub(r"\x1b\[[0-9;]*m", "", traceback)
    assert "payout_reference" not in traceback
