"""What LoRA is compared with: other ways to adapt a base, each in a file of its own."""
