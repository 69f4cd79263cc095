"""Entropy analysis: every internal policy over the model's own responses, and the boundary layer."""
