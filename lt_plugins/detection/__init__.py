"""Detection: trains mmdet detectors from long-tailed backbones. Nothing else in the package imports mmdet.

Importing registers the classes in mmdet's registries; ``import lt_plugins`` does not do so. The head of a C4 detector
with one more normalisation, ``ResLayerExtraNorm``, is mmpretrain's, which registers it with mmdet by itself.

Raises:
    UserInputError: If mmdet or mmcv's compiled operators are missing; says how to install them.
"""

from lt_plugins.compat import check_detection, import_quietly

check_detection()
import_quietly("mmdet.datasets", "mmdet.evaluation")

from lt_plugins.detection.checked_voc_dataset import CheckedVOCDataset  # noqa: E402
from lt_plugins.detection.detection_preflight_hook import DetectionPreflightHook  # noqa: E402
from lt_plugins.detection.final_precise_bn_hook import FinalPreciseBNHook  # noqa: E402
from lt_plugins.detection.iteration_seed_hook import IterationSeedHook  # noqa: E402
from lt_plugins.detection.load_backbone_hook import LoadBackboneHook, load_backbone  # noqa: E402
from lt_plugins.detection.seeded_images import SeededDataset, SeededInfiniteSampler  # noqa: E402
from lt_plugins.detection.voc_annotations import find_voc_problem  # noqa: E402

__all__ = [
    "CheckedVOCDataset",
    "DetectionPreflightHook",
    "FinalPreciseBNHook",
    "IterationSeedHook",
    "LoadBackboneHook",
    "SeededDataset",
    "SeededInfiniteSampler",
    "find_voc_problem",
    "load_backbone",
]
