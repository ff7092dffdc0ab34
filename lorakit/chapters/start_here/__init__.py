"""00 · Start here: LoRA once, from end to end."""
