"""13 · Reward: train with a reward instead of answers."""
