"""A site's own labels against a model's scores, whole and by subgroup."""

from longllava_domains.evaluate.own.score import OwnResult, score_own
from longllava_domains.evaluate.own.show import save_own_card

__all__ = ["OwnResult", "save_own_card", "score_own"]
