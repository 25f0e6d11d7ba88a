"""Draft reports against radiologists' reports: words in common, labels, and collapse."""

from longllava_domains.evaluate.reports.protocols import PROTOCOLS

__all__ = ["PROTOCOLS"]
