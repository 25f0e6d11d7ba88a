"""Engines: what runs a scorer over a manifest, on this machine or on a cluster."""
