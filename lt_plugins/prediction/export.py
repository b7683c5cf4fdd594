"""Export of a whole classifier: ONNX, TorchScript or safetensors, with class names inside, and compared with it."""

from __future__ import annotations

import importlib
import io
import json
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lt_plugins.checkpoints.safetensors_file import pack_safetensors, unpack_safetensors
from lt_plugins.datasets.pipelines import require_test_pipeline
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.prediction.classifier import ImageClassifier
from lt_plugins.prediction.pixel_classifier import PixelClassifier
from lt_plugins.version import __version__

BATCHES = (1, 2, 5)
"""Images in the batches that are compared."""
MAX_DIFFERENCE = 1e-4
"""Of a probability; rounding is far below."""
EXTRA_FILE = "metadata.json"
_OPSET = 18


class Parity(NamedTuple):
    """How far the probabilities of a file are from those of the classifier.

    Args:
        by (str): What ran the file.
        difference (float): The largest difference of a probability.
    """

    by: str
    difference: float

    @property
    def holds(self) -> bool:
        """Whether the difference is rounding."""
        return self.difference <= MAX_DIFFERENCE

    def describe(self) -> str:
        """The difference, in a line."""
        return (
            f"compared by {self.by} with the model on {sum(BATCHES)} images in batches of "
            f"{', '.join(map(str, BATCHES))}: largest difference of a probability {self.difference:.1e}"
        )


class Format(ABC):
    """Format of an exported classifier.

    Attributes:
        endings (tuple[str, ...]): How its files end.
    """

    endings: ClassVar[tuple[str, ...]]

    @abstractmethod
    def pack(self, module: PixelClassifier, example: Tensor, metadata: Mapping[str, str]) -> bytes:
        """The content of a file.

        Args:
            module (PixelClassifier): The classifier, on the CPU in evaluation mode.
            example (Tensor): A batch of pixels.
            metadata (Mapping[str, str]): What the file says about it.

        Raises:
            UserInputError: If a package is missing, or the classifier has a part that the format does not know.
        """

    @abstractmethod
    def open(self, data: bytes, classifier: ImageClassifier) -> tuple[str, Callable[[Tensor], Tensor]]:
        """Open the content of a file again.

        Args:
            data (bytes): The content.
            classifier (ImageClassifier): The classifier that it was made from, for formats without a graph.

        Returns:
            tuple[str, Callable]: What runs it, and the function from pixels to its answer.
        """


class Onnx(Format):
    """ONNX: a graph that onnxruntime and many others run."""

    endings = (".onnx",)

    def pack(self, module: PixelClassifier, example: Tensor, metadata: Mapping[str, str]) -> bytes:
        """As of :class:`Format`; the number of images stays free."""
        for name in ("onnx", "onnxscript"):
            _require(name)
        with _quiet():
            program: Any = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                input_names=["images"],
                output_names=["logits" if module.gives_logits else "probabilities"],
                dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
                opset_version=_OPSET,
                verbose=False,
            )
        proto = program.model_proto
        for key, value in metadata.items():
            entry = proto.metadata_props.add()
            entry.key, entry.value = key, value
        return proto.SerializeToString()

    def open(self, data: bytes, classifier: ImageClassifier) -> tuple[str, Callable[[Tensor], Tensor]]:  # noqa: ARG002
        """As of :class:`Format`; by onnxruntime if it is installed, else by the slow evaluator of onnx."""
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError:
            evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator(data)
            run, by = evaluator.run, "the reference evaluator of onnx (onnxruntime is not installed)"
        else:
            run = runtime.InferenceSession(data, providers=["CPUExecutionProvider"]).run
            by = f"onnxruntime {runtime.__version__}"
        return by, lambda images: torch.from_numpy(np.asarray(run(None, {"images": images.numpy()})[0]))


class TorchScript(Format):
    """TorchScript: a graph for torch alone, in Python or C++."""

    endings = (".pt",)

    def pack(self, module: PixelClassifier, example: Tensor, metadata: Mapping[str, str]) -> bytes:
        """As of :class:`Format`; ``torch.jit.load(path, _extra_files={"metadata.json": ""})`` reads the metadata."""
        buffer = io.BytesIO()
        with _quiet(), torch.no_grad():
            traced = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))
            torch.jit.save(traced, buffer, _extra_files={EXTRA_FILE: json.dumps(dict(metadata), ensure_ascii=False)})
        return buffer.getvalue()

    def open(self, data: bytes, classifier: ImageClassifier) -> tuple[str, Callable[[Tensor], Tensor]]:  # noqa: ARG002
        """As of :class:`Format`."""
        with _quiet():
            return f"torch {torch.__version__}", torch.jit.load(io.BytesIO(data))


class Safetensors(Format):
    """Safetensors: the weights alone, which the config turns into a classifier."""

    endings = (".safetensors",)

    def pack(self, module: PixelClassifier, example: Tensor, metadata: Mapping[str, str]) -> bytes:  # noqa: ARG002
        """As of :class:`Format`."""
        tensors = {key: value.detach().contiguous().clone() for key, value in module.model.state_dict().items()}
        return pack_safetensors(tensors, metadata)

    def open(self, data: bytes, classifier: ImageClassifier) -> tuple[str, Callable[[Tensor], Tensor]]:
        """As of :class:`Format`; the weights go into a new model of the config."""
        model: Any = build_model(classifier.cfg)
        model.load_state_dict(unpack_safetensors(data), strict=False)
        other = ImageClassifier(classifier.cfg, classifier.trained._replace(model=model.eval()))
        other.temperature = classifier.temperature
        return "a new model of the config, with the weights of the file,", PixelClassifier(other)


FORMATS: dict[str, Format] = {"onnx": Onnx(), "torchscript": TorchScript(), "safetensors": Safetensors()}
"""By the name that the command line uses."""


def describe_classifier(
    classifier: ImageClassifier, size: tuple[int, int], gives_logits: bool, is_calibrated: bool
) -> dict[str, str]:
    """What an exported file says about itself.

    Args:
        classifier (ImageClassifier): The classifier.
        size (tuple[int, int]): Height and width of its images.
        gives_logits (bool): Whether it gives logits.
        is_calibrated (bool): Whether its temperature was fitted.

    Returns:
        dict[str, str]: Values by name; lists and dicts as JSON.
    """
    num_classes = classifier.probabilities(torch.zeros(1, 3, *size, dtype=torch.uint8)).shape[1]
    return {
        "classes": json.dumps([classifier.class_name(label) for label in range(num_classes)], ensure_ascii=False),
        "input": f"images: RGB pixels, uint8 (batch, 3, {size[0]}, {size[1]})",
        "input_size": json.dumps(list(size)),
        "output": "logits" if gives_logits else "probabilities",
        "temperature": repr(classifier.temperature),
        "calibrated": json.dumps(is_calibrated),
        "test_transforms": json.dumps(_plain(require_test_pipeline(classifier.cfg, "export")), default=str),
        "model": json.dumps(_plain(classifier.cfg.model), default=str),
        "checkpoint": str(classifier.trained.checkpoint),
        "producer": f"lt_plugins {__version__}",
    }


def compare(
    opened: Callable[[Tensor], Tensor], by: str, classifier: ImageClassifier, size: tuple[int, int], gives_logits: bool
) -> Parity:
    """Compare the probabilities of a file with those of the classifier by its own preprocessing, on random pixels.

    Args:
        opened (Callable): From RGB pixels to the answer of the file.
        by (str): What runs it.
        classifier (ImageClassifier): The classifier.
        size (tuple[int, int]): Height and width of its images.
        gives_logits (bool): Whether the file gives logits.

    Raises:
        UserInputError: If the file gives another number of answers.
    """
    generator = torch.Generator().manual_seed(0)
    difference = 0.0
    for count in BATCHES:
        images = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
        expected = classifier.probabilities(images.flip(1))  # the transforms give BGR
        with torch.inference_mode():
            found = opened(images).double()
        if found.shape != expected.shape:
            raise UserInputError(
                f"the exported file gives {tuple(found.shape)} for {count} images, expected {tuple(expected.shape)}; "
                "please report the config."
            )
        if gives_logits:
            found = found.softmax(dim=1) if classifier.is_softmax else found.sigmoid()
        difference = max(difference, float((expected - found).abs().max()))
    return Parity(by, difference)


def _plain(value: Any) -> Any:
    """Dicts and lists of a config as those of Python."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _require(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UserInputError(
            f"--to onnx needs {package} ({error}); run: pip install onnx onnxscript onnxruntime, or use --to "
            "torchscript."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch logs about its own parts."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
