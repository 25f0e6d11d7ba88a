"""Image and region captions: BLEU, METEOR, ROUGE-L and CIDEr."""

from longllava_domains.evaluate.fit_rsfg.captions.score import score_captions

__all__ = ["score_captions"]
