"""07 · Against the others."""
