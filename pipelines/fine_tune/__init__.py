"""Fine-tuning: a recipe on a base model, from data on disk to an adapter and its card."""

from longllava_domains.pipelines.fine_tune.result import FineTuned
from longllava_domains.pipelines.fine_tune.run import FineTune

__all__ = ["FineTune", "FineTuned"]
