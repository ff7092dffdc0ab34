"""11 · Choose for real."""
