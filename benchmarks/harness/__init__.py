"""How every benchmark measures: one process per run, rounds in random order, medians, goals and figures."""
