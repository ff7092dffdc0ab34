"""10 · One model, many tasks."""
