"""06 · Rank, alpha, learning rate, targets."""
