"""Runs of benchmarks with a model: asked once for each distinct prompt, kept, and scored."""
