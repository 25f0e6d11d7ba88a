"""The six complex comprehension tasks of FIT-RSFG."""

from longllava_domains.evaluate.fit_rsfg.complex.score import TASKS, score_complex

__all__ = ["TASKS", "score_complex"]
