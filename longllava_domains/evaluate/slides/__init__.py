"""MultiPathQA and SlideBench: questions about whole slides, most with options."""

from longllava_domains.evaluate.slides.protocols import PROTOCOLS

__all__ = ["PROTOCOLS"]
