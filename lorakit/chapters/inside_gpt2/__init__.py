"""04 · Inside GPT-2."""
