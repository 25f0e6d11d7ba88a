"""What a run did: a report to read, and metrics for a monitor."""
