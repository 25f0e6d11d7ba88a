"""What a model can do as its input grows: needles, curves, time and memory, the paper's tables."""
