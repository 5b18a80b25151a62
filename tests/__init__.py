"""The tests: what lies where, how far each search runs, and the rules that keep the suite fast and repeatable.

====================  ===============================================================================================
`unit/`               one module each, mirroring the package, without a server
`integration/`        client, server and files together, on the sandbox
`properties/`         models of the concurrent parts under any sequence of operations, by Hypothesis
`recipes/`            whole programs for users to copy, each with its test
`architecture/`       imports, names, words, sizes, types and the README; `python3 -m tests.architecture.figures`
`soak/`               runs for minutes, outside pytest: `python3 -m tests.soak [fuzz] [--minutes 10]`
`browser/`            the page of `amili reconcile` in Chromium, by name only
`support/`            servers, clocks, tables and payments that tests share; `internals` alone reads private attributes
====================  ===============================================================================================

`python3 -m pytest` runs in parallel and in random order, in some two minutes on two cores. `-n 0` runs in one process,
`-p no:randomly` in the order of the files, `--randomly-seed=N` repeats an order. `-m exhaustive` runs
the rest of each search below, and each Hypothesis test with all its examples; `-m ""` runs everything.

**Invariant:** no test depends on the speed of the machine. A test waits for an event, lets the loop settle, or
advances a clock; `support/clocks.PassingTime` makes timeouts expire by iterations of the loop.

A search runs to a tenth by default, by `support/exhaustive`: one case of ten neighbours in a table, plus one for each
value that those lack; each tenth step of a numbered search, beginning elsewhere for each subject; a tenth of the
examples.

=========================================  ============================================  ===============  =============
search                                     space                                         by default       in all
=========================================  ============================================  ===============  =============
`integration/test_cancellation`            27 calls x 3 ways to cancel x every await     each tenth       every await
                                                                                         await
`integration/test_cancellation`            `aclose()`, cancelled at every await          each tenth       every await
`integration/test_dask`                    driver, worker or both are killed             1                4
`integration/test_delivery_histories`      failures, cancellations, kills and resumes    30 and 10        300 and 100
                                           of handlers while rows change
`integration/test_dropped_payments`        payments over a connection that drops at any  100, twice       1,000, twice
                                           of 18 phases
`integration/test_export_kills`            3 formats x SIGKILL at every page, request,   each tenth       every one
                                           write, sync, rename and removal
`integration/test_export_kills`            3 formats x 4 seeds of random kills           4, twice         12, twice
`integration/test_extraction`              8 sizes x 3 distributions of rows             8                24
`integration/test_extraction_histories`    sequences of inserts, updates and deletes     60 and 30        600 and 300
                                           between any two requests
`integration/test_extraction_verdicts`     pages that lack or repeat rows                40 examples      400 examples
`integration/test_extraction_verdicts`     3 defects x 5 pages x 5 places                8                75
`integration/test_extraction_verdicts`     2 changes x 4 places x 2 concurrencies        4                16
`integration/test_faults`                  59 responses x 6 operations, always           61               354
`integration/test_faults`                  29 transient responses x 3 operations, once   29               87
`integration/test_faults`                  88 responses and places x 3 iterations        62               264
`integration/test_faults_pages`            60 malformed pages x 5 operations             60               288
`integration/test_faults_tokens`           45 token responses x 4 operations             45, 16 and 45    180, 64, 180
`integration/test_faults_tokens`           10 lifetimes and 9 clocks x operations        10, 9, 9 and 9   40, 63, 36, 36
`integration/test_faults_wire`             69 broken responses x 3 iterations            71               207
`integration/test_held_to_eve`             listings and POSTs, compared with Eve         a sample         all
`integration/test_shared_rate_limiter`     faults of Redis, and of Valkey                Redis            both
`integration/test_split`                   7 sizes x 5 numbers of parts x 3 of rows      11               105
`integration/test_split`                   parts run half, twice and in any order while  30 examples      300 examples
                                           rows change
`properties/test_decoding`                 corrupted responses                           200              2,000
`properties/*`                             sequences of operations; filters, amounts     a tenth          150 to 500
`unit/paging/test_scan`                    seeds of a list that changes                  200              2,000
`unit/paging/test_scan`                    orders of responses                           30 examples      300 examples
`unit/*` with Hypothesis                   whatever the test generates                   10 examples      100 examples
=========================================  ============================================  ===============  =============
"""
