"""Int8 experts."""
