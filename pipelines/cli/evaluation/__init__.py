"""Commands of `longllava evaluate` that measure a model in other ways than by a benchmark's score."""
