"""The rate limiter in virtual time: a simulated client, and models of how a server may count requests."""
