"""02 · Low-rank updates."""
