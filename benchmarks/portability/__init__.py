"""Does an int8 file answer the same on other processors? Asked of ONNX Runtime on emulated ones."""
