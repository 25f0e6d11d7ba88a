"""Manifests: what an archive holds, item by item, under keyed ids."""
