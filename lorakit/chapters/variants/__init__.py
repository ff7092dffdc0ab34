"""12 · Variants of LoRA, by a fair test."""
