"""Names of the numbers that ``ContrastGeometryHook`` logs beside the metrics; they are no percentages."""

from __future__ import annotations

GROUPS = ("all", "many", "medium", "few")
QUANTITIES = ("alignment", "uniformity", "within", "between")
PREFIX = "geometry/"


def scalar_name(quantity: str, group: str) -> str:
    """Name of a number in the log.

    Args:
        quantity (str): One of ``QUANTITIES``.
        group (str): One of ``GROUPS``.
    """
    return PREFIX + (quantity if group == "all" else f"{quantity}_{group}")


def is_percentage(name: str) -> bool:
    """Whether a number of the log is one of the metrics, which are in percent.

    Args:
        name (str): Its name.
    """
    return not name.startswith(PREFIX)
