"""What a request or a training run needs in memory, operations and time, before anything runs."""

from longllava_domains.model.budget.fit import require_fit
from longllava_domains.model.budget.plan import Budget, Request, plan

__all__ = ["Budget", "Request", "plan", "require_fit"]
