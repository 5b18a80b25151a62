"""The progress of a long export, in words."""

import pytest

from amili_async.meter import LINE_INTERVAL, Meter


class ManualClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("updates", "description"),
    [
        ([], "no rows"),
        ([(0.0, 100, None, None)], "100 rows"),
        ([(0.0, 100, 1000, None)], "100 of 1,000 rows"),
        ([(0.0, 0, 1000, None), (10.0, 500, 1000, None)], "500 of 1,000 rows, 50/s, about 10 s left"),
        ([(0.0, 0, 1000, None), (10.0, 500, 1000, 120.0)], "500 of 1,000 rows, 50/s, about 2 min left"),
        ([(0.0, 9000, 20_000, None), (10.0, 9500, 20_000, 1.0)], "9,500 of 20,000 rows, 50/s, about 4 min left"),
        ([(0.0, 0, 1000, None), (1.0, 1000, 1000, 0.0)], "1,000 of 1,000 rows, 1,000/s"),
    ],
)
def test_a_meter_describes_what_is_known(
    updates: list[tuple[float, int, int | None, float | None]], description: str
) -> None:
    """Rows, rate and remaining time, by the rate or by the rate limiter, whichever is longer.

    Rows of the first update, as in a resumed export, do not count as speed.
    """
    clock = ManualClock()
    meter = Meter(clock)
    for clock.seconds, rows, total, limited in updates:
        meter.update(rows, total, limited)
    assert meter.describe() == description


def test_plain_lines_have_an_interval(capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal, one line is written every ten seconds."""
    clock = ManualClock()
    meter = Meter(clock)
    for second in range(25):
        clock.seconds = float(second)
        meter.write("payouts", 100 * second, 10_000, None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 25 // LINE_INTERVAL
    assert lines[0] == "payouts: 1,000 of 10,000 rows, 100/s, about 2 min left"
