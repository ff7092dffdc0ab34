"""03 · A LoRA layer from nothing."""
