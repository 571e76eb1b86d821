"""Exporters, one format a file: a model in, an artifact out."""
