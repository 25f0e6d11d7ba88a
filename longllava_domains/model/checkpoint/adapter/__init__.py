"""Adapters: their configuration as data, their updates, and their way into a network."""
