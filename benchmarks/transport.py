"""Getting the bytes of pages, nothing decoded: all that the package does for a page against aiohttp alone."""

from benchmarks.contenders import aiohttp_bytes, bare_protocol, ours_bytes
from benchmarks.harness.cell import Setting
from benchmarks.harness.report import Judged, Report, print_judged
from benchmarks.harness.rounds import find_ratio, in_process_of_its_own, print_table, run_rounds
from benchmarks.workload.server import make_rows, serve

GOAL = 1.05
RAW = "bare protocol, ten connections"


def measure(*, quick: bool) -> Report:
    """Medians by contender; fewer pages and rounds if *quick*."""
    pages, rounds = (50, 3) if quick else (1_000, 9)
    with serve(make_rows(pages * 100), latency=0) as url:
        raw = in_process_of_its_own("bare_protocol", url, expected=pages, setting=Setting(options={"decodes": False}))
        contenders = {
            RAW: raw,
            aiohttp_bytes.LABEL: in_process_of_its_own("aiohttp_bytes", url, expected=pages),
            ours_bytes.LABEL: in_process_of_its_own("ours_bytes", url, expected=pages),
        }
        medians = run_rounds(contenders, rounds=rounds)
    print_table(
        f"Transport of {pages:,} pages, no latency, nothing decoded (CPU, medians of {rounds})",
        medians,
        baseline=aiohttp_bytes.LABEL,
        by="cpu",
    )
    print(
        f"  the server's capacity: {pages / medians[RAW].wall:,.0f} pages/s drawn by {bare_protocol.WIDTH} connections"
    )
    judged = Judged(
        what="CPU per page of the whole SDK against bare aiohttp, without decoding",
        result=find_ratio(medians, ours_bytes.LABEL, aiohttp_bytes.LABEL, "cpu"),
        goal=GOAL,
    )
    print_judged([judged], is_quick=quick)
    return Report(judged=(judged,))
