"""05 · Fine-tune, and account for every byte."""
