"""Data sets, one file each: ``load()`` gives the splits and, apart, the test images."""
