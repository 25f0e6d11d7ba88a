"""Benchmarks made of phantoms, in the exact layout of the real ones, to try a run before the data."""

from longllava_domains.adapters.phantoms.benchmarks.write import BENCHMARKS, write_benchmark

__all__ = ["BENCHMARKS", "write_benchmark"]
