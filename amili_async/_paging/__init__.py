"""How a result set is walked."""
