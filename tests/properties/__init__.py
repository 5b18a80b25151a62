"""Models of the concurrent parts under any sequence of operations, and properties of values, by Hypothesis."""
