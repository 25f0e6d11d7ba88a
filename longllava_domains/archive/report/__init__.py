"""Account of a run: a report to read, and metrics for a monitor."""
