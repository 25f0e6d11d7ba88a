"""CT-RATE: 18 findings in chest CT, called from scores."""

from longllava_domains.evaluate.ct_rate.protocols import PROTOCOLS

__all__ = ["PROTOCOLS"]
