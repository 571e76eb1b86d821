"""A bundle in a browser: a small page, served from this machine, that runs the model and its golden self-test."""
