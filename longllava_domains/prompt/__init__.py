"""The only place that spells tags, newlines and role strings."""
