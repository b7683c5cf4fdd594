"""Data preprocessor for batches of several views."""

from __future__ import annotations

from mmpretrain.models import ClsDataPreprocessor
from torch import Tensor

from lt_plugins.registry import MODELS


@MODELS.register_module()
class TwoViewDataPreprocessor(ClsDataPreprocessor):
    """Normalise each view of a batch as ``ClsDataPreprocessor`` does a single one.

    mmpretrain's ``SelfSupDataPreprocessor`` also takes several views, but neither the arguments of
    ``ClsDataPreprocessor`` nor labels; with this one, the same dataset config serves one-view and two-view methods.
    All arguments are those of ``ClsDataPreprocessor``.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device and normalise.

        Args:
            data (dict): ``inputs``: a list of views, each ``(B, 3, H, W)``, or a single batch; and ``data_samples``.
            training (bool): Whether to apply batch augmentations. Defaults to False.

        Returns:
            dict: ``inputs`` as a list of views (or one batch) and ``data_samples``.
        """
        views = data["inputs"]
        if isinstance(views, Tensor) or views[0].ndim != 4:
            return super().forward(data, training)
        first = super().forward({**data, "inputs": views[0]}, training)
        others = [
            super(TwoViewDataPreprocessor, self).forward({"inputs": view}, training)["inputs"] for view in views[1:]
        ]
        return {**first, "inputs": [first["inputs"], *others]}
