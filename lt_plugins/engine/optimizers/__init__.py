"""Optimisers that torch lacks."""

from .device_lars import DeviceLARS

__all__ = ["DeviceLARS"]
