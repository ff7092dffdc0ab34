"""01 · Matrix rank, and what r(d + k) buys."""
