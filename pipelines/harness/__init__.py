"""Doors to other evaluation toolkits: a model for lmms-eval, its tasks, and exports of predictions."""
