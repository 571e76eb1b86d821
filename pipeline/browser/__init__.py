"""A browser on this machine: onnxruntime-web, a server whose pages may use threads, Chromium without a screen."""
