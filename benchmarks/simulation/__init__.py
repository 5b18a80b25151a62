"""Rate limiting in virtual time: a simulated client, and models of how a server may count requests."""
