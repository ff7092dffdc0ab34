"""09 · Merge, and what it costs."""
