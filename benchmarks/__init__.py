"""Benchmarks: what the package costs, relative to what a user would write or install instead.

Run `python -m benchmarks` for all of them, `python -m benchmarks NAME` for one, `--quick` to check that they run. Each
file here answers one question and defines `measure(quick=...) -> Report`:

    decode            How fast is a page decoded?              dicts, plain structs, pydantic
    transport         What does a page cost before decoding?   bare aiohttp
    overhead          Which layer of the package costs what?   each layer added in turn
    stream            How fast is `stream()`?                  requests, dlt, httpx, a bare protocol
    extract           What does exactly-once delivery cost?    `stream()`
    export            What does writing a file add?            `stream()`
    prefetch          What does ordered delivery cost?         workers that keep no order (virtual time)
    rate_limiter      How close to the limit is the client?    the optimum, other limiters (virtual time)
    processes         The same for processes with one key      N limits, static shares, other limiters in Redis
    web_app           What do web calls wait beside a job?     two clients, each with a limit (virtual time)
    memory            What do streams and kept records hold?   dicts; includes `export_memory`
    growth            Do time and memory stay proportional?    10 to 10,000 pages, 1 to 50 streams
    imports           How long does the import take?           aiohttp

The folders behind them:

    contenders/       one file per way to fetch the same records
    limiters/         one file per rate limiter
    sharing/          processes, the API and Redis as processes of their own, and what can go wrong between them
    workload/         generated records, and a server process that costs next to nothing per page
    simulation/       virtual time: simulated clients, seven models of a server that counts requests
    harness/          runs contenders, takes medians, compares them with goals, draws figures

How a cell (one run of one contender) is measured: `harness.rounds` runs every contender once per round, in random
order, each in a new process (`harness.cell`). The client is pinned to one core and the server to another, glibc's heap
trimming is off, imports and `prepare()` are not counted. The result is a ratio of medians, next to its goal.
"""
