"""14 · Appendix: an encoder, and the paper's other half."""
