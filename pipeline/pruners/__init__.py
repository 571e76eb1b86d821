"""Structured pruning: which channels belong together, which matter least, and the surgery."""
