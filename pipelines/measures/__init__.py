"""Measures of a model as its input grows: needles, curves, time and memory, the paper's tables."""
