"""Data structures that heads, losses, hooks and metrics share."""

from .class_distribution import ClassDistribution
from .class_part import ClassPart
from .contrast_batch import ContrastBatch
from .data_sized_module import DataSizedModule
from .label_batch import LabelBatch
from .labelled_queue import LabelledQueue
from .look_ahead import LooksAhead
from .mixed_labels import TakesMixtures
from .network_outputs import NetworkOutputs
from .plain_labels import Labels, StatesCall, as_labels
from .step_draws import StepDraws
from .step_position import FollowsSteps

__all__ = [
    "ClassDistribution",
    "ClassPart",
    "ContrastBatch",
    "DataSizedModule",
    "FollowsSteps",
    "LabelBatch",
    "LabelledQueue",
    "Labels",
    "LooksAhead",
    "NetworkOutputs",
    "StatesCall",
    "StepDraws",
    "TakesMixtures",
    "as_labels",
]
