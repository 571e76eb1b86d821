"""Stages that make and measure in a loop: hold an accuracy budget, hit a latency."""
