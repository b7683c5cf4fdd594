"""Classification heads, one file a method family."""

from .lpa_head import LPAHead
from .paco_head import PaCoHead

__all__ = ["LPAHead", "PaCoHead"]
