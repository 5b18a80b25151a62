"""Tests that run as long as wanted, outside pytest: `python3 -m tests.soak [fuzz]`, `python3 -m tests.soak.mutants`."""
