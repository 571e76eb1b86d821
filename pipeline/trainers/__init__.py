"""Training: supervised and by distillation. They share one loop, ``fit.py``."""
