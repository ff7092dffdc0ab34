"""The instruments: rank and spectra, parameter accounting. Pure functions on tensors and numbers."""
