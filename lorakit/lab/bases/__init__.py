"""The base models: `load.load_base` is a table of them."""
