"""Int8: one description of what is quantized, found after training or trained in."""
