"""Scores of prediction files, whoever made them, under named and versioned protocols."""
