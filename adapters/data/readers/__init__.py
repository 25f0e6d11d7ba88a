"""One file for each layout of training data."""
