"""What a page costs before it is decoded: everything the package does for it, against aiohttp alone."""

from benchmarks.contenders import aiohttp_bytes, bare_protocol, ours_bytes
from benchmarks.harness.cell import CellSettings
from benchmarks.harness.report import GoalResult, Report, print_goals
from benchmarks.harness.rounds import find_ratio, in_own_process, print_table, run_rounds
from benchmarks.workload.server import make_rows, serve

GOAL = 1.05
BARE = "bare protocol, ten connections"


def measure(*, quick: bool) -> Report:
    """Medians by contender; with fewer pages and rounds if *quick*."""
    pages, rounds = (50, 3) if quick else (1_000, 9)
    with serve(make_rows(pages * 100), latency=0) as url:
        undecoded = CellSettings(options={"decodes": False})
        contenders = {
            BARE: in_own_process("bare_protocol", url, expected=pages, settings=undecoded),
            aiohttp_bytes.LABEL: in_own_process("aiohttp_bytes", url, expected=pages),
            ours_bytes.LABEL: in_own_process("ours_bytes", url, expected=pages),
        }
        medians = run_rounds(contenders, rounds=rounds)
    title = f"Transport of {pages:,} pages, no latency, nothing decoded (CPU, medians of {rounds})"
    print_table(title, medians, baseline=aiohttp_bytes.LABEL, by="cpu")
    capacity = pages / medians[BARE].wall
    print(f"  capacity of the server: {capacity:,.0f} pages/s over {bare_protocol.CONCURRENCY} bare connections")
    goal = GoalResult(
        name="CPU per page of the whole SDK vs. bare aiohttp, without decoding",
        result=find_ratio(medians, ours_bytes.LABEL, aiohttp_bytes.LABEL, "cpu"),
        goal=GOAL,
    )
    print_goals([goal], is_quick=quick)
    return Report(goals=(goal,))
