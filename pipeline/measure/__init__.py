"""Measuring: latency, accuracy, size, parity, the machine, and the doubt of each number."""
