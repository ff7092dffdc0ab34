"""LoRA itself: torch only, no transformers, no plotting. One file, one idea."""
