"""Runs a notebook with a kernel of its own, as Jupyter does; `python -m tests.support.run_notebook NOTEBOOK RESULT`.

A program of its own, because nbclient leaves sockets open, which a test would report.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

PATIENCE = 600
"""Seconds for the start of the kernel, and for a cell, on a busy machine."""


def run_notebook(notebook: Path, result: Path) -> None:
    """Run all cells in the folder of the result, and write the notebook there with what they showed."""
    cells = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:  # unix sockets, whose names must be short: no port can be taken
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel")
        place = {"metadata": {"path": str(result.parent)}}
        client = NotebookClient(cells, km=kernel, timeout=PATIENCE, startup_timeout=PATIENCE, resources=place)
        try:
            client.execute(cleanup_kc=True)
        finally:
            nbformat.write(cells, result)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    run_notebook(Path(sys.argv[1]), Path(sys.argv[2]))
