"""One command for a machine with a GPU: `python3 -m benchmarks.gpu`, or `make gpu`; it needs no installation.

Each part is a file with one function `rows(device, sizes, budget)` that yields plain rows: tests, latency, training,
memory, mixed, by_hand, sweep. `sizes` says what is measured, `cells` in what order and how long.
"""

import time

BEGAN = time.monotonic()  # before torch is imported: the command's seconds count from here
