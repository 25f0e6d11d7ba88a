"""VQA-RAD and PathVQA: short answers to questions about one image."""

from longllava_domains.evaluate.medical_vqa.protocols import PROTOCOLS

__all__ = ["PROTOCOLS"]
