"""ONNX graph rewrites, one a file: what it matches, what it makes, and why it is equal."""
