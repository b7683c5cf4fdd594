"""Operations of a batch: each image by a magnitude of its own, on every device, whatever else is in the batch."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from lt_plugins.augmentation import operations
from lt_plugins.augmentation.affine import Interpolation
from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.magnitude import Magnitude
from lt_plugins.augmentation.operations import Operation
from lt_plugins.augmentation.random_operations import ChosenTransforms, RandomOperation
from tests.augmentation.images import as_batch, example_images

FILL = (1, 128, 250)
# An operation and the range of its magnitudes
OPERATIONS: dict[str, tuple[Operation, float, float]] = {
    "invert": (operations.Invert(), 0, 0),
    "posterize": (operations.Posterize(), 0, 8),
    "floor-posterize": (operations.Posterize(floor=True), 0, 8),
    "solarize": (operations.Solarize(), 0, 256),
    "solarize-add": (operations.SolarizeAdd(128), 0, 110),
    "brightness": (operations.Brightness(), -0.9, 0.9),
    "contrast": (operations.Contrast(), -0.9, 0.9),
    "saturation": (operations.Saturation(), -0.9, 0.9),
    "sharpness": (operations.Sharpness(), -0.9, 0.9),
    "auto-contrast": (operations.AutoContrast(), 0, 0),
    "equalize": (operations.Equalize(), 0, 0),
}
for interpolation in get_args(Interpolation):
    OPERATIONS[f"rotate-{interpolation}"] = (operations.Rotate(interpolation, FILL), -30, 30)
    for direction in ("horizontal", "vertical"):
        shear = operations.Shear(interpolation, FILL, direction)
        translate = operations.Translate(interpolation, FILL, direction)
        OPERATIONS[f"shear-{direction}-{interpolation}"] = (shear, -0.3, 0.3)
        OPERATIONS[f"translate-{direction}-{interpolation}"] = (translate, -0.5, 0.5)

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def images_and_parameters(name: str, size: tuple[int, int] = (32, 32)) -> tuple[Operation, Tensor, np.ndarray]:
    operation, low, high = OPERATIONS[name]
    images = as_batch(np.concatenate([example_images(*size, seed=seed) for seed in range(3)]))
    return operation, images, operation.parameters(np.linspace(low, high, len(images)), size)


@pytest.mark.parametrize("size", [(32, 32), (9, 14)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_image_has_a_magnitude_of_its_own(name: str, size: tuple[int, int]) -> None:
    operation, images, parameters = images_and_parameters(name, size)
    before = images.clone()
    together = operation.apply(images, parameters)
    assert together.dtype == torch.uint8
    assert together.shape == images.shape
    assert torch.equal(images, before)
    for index in range(len(images)):
        alone = operation.apply(images[index : index + 1], parameters[index : index + 1])
        assert torch.equal(together[index], alone[0])


@NEEDS_GPU
@pytest.mark.parametrize("size", [(32, 32), (9, 14), (64, 48)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_same_pixels_on_every_device(name: str, size: tuple[int, int]) -> None:
    operation, images, parameters = images_and_parameters(name, size)
    assert torch.equal(operation.apply(images.cuda(), parameters).cpu(), operation.apply(images, parameters))


class FlipBySign:
    """Some other transform: mirrors an image if its first number is below a half."""

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        mirrored = torch.from_numpy(draws.uniform() < 0.5).to(images.device)
        return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def everything() -> ChosenTransforms:
    """All operations of OPERATIONS, a transform with two of them, one of another class, and none."""
    random = [
        RandomOperation((operation,), Magnitude(low, high, level=5, level_std=3.0), 0.7)
        for operation, low, high in OPERATIONS.values()
    ]
    variants = (OPERATIONS["rotate-bilinear"][0], OPERATIONS["rotate-bicubic"][0])
    return ChosenTransforms([*random, RandomOperation(variants, Magnitude(-30, 30), 1.0), FlipBySign(), None])


def many_images(count: int, size: tuple[int, int] = (12, 16)) -> Tensor:
    return as_batch(np.concatenate([example_images(*size, seed=seed) for seed in range(-(-count // 12))])[:count])


def test_an_image_does_not_depend_on_the_batch() -> None:
    transform, images = everything(), many_images(600)
    chosen = np.random.default_rng(0).integers(0, len(OPERATIONS) + 3, len(images))
    before = images.clone()
    together = transform(images, Draws.of_images(0, 3, 1, range(len(images))), chosen)
    assert torch.equal(images, before)
    for index in range(0, len(images), 7):
        alone = transform(images[index : index + 1], Draws.of_images(0, 3, 1, [index]), chosen[index : index + 1])
        assert torch.equal(together[index], alone[0]), chosen[index]
    some = np.random.default_rng(1).permutation(len(images))[:100]
    shuffled = transform(images[some], Draws.of_images(0, 3, 1, some), chosen[some])
    assert torch.equal(shuffled, together[some])


def test_runs_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts keep what is computed in the cache; they change no pixel."""
    transform, images = everything(), many_images(300)
    chosen = np.random.default_rng(0).integers(0, len(OPERATIONS) + 3, len(images))
    results = []
    for limit in (1, 3 * 12 * 16 * 2, 1 << 30):
        monkeypatch.setattr("lt_plugins.augmentation.random_operations._CPU_BYTES", limit)
        results.append(transform(images, Draws.of_images(0, 3, 1, range(len(images))), chosen))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@NEEDS_GPU
def test_same_images_on_every_device() -> None:
    transform, images = everything(), many_images(600)
    chosen = np.random.default_rng(0).integers(0, len(OPERATIONS) + 3, len(images))
    on_gpu, on_cpu = (transform(each, Draws.of_images(0, 3, 1, range(600)), chosen) for each in (images.cuda(), images))
    assert torch.equal(on_gpu.cpu(), on_cpu)


def test_only_the_chosen_transform_runs() -> None:
    images = many_images(24)
    transform = ChosenTransforms([RandomOperation((operations.Invert(),), Magnitude.fixed(0), 1.0), None, FlipBySign()])
    chosen = np.arange(24) % 3
    found = transform(images, Draws.of_images(0, 0, 0, range(24)), chosen)
    assert torch.equal(found[chosen == 0], 255 - images[chosen == 0])
    assert torch.equal(found[chosen == 1], images[chosen == 1])
    changed = found[chosen == 2]
    assert all(
        torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(changed, images[chosen == 2], strict=True)
    )


@pytest.mark.parametrize("prob", [0.0, 0.25, 1.0])
def test_probability(prob: float) -> None:
    images = torch.zeros(20000, 3, 1, 1, dtype=torch.uint8)
    transform = RandomOperation((operations.Invert(),), Magnitude.fixed(0), prob)
    share = (transform(images, Draws.of_images(0, 0, 0, range(len(images)))) == 255).float().mean()
    assert share == pytest.approx(prob, abs=0.0 if prob in (0, 1) else 0.013)  # 4 standard deviations


def test_variants_are_equally_likely() -> None:
    images = torch.full((20000, 3, 1, 1), 60, dtype=torch.uint8)
    variants = (operations.Invert(), operations.Posterize(), operations.Solarize())
    transform = RandomOperation(variants, Magnitude.fixed(3), 1.0)
    found = transform(images, Draws.of_images(0, 0, 0, range(len(images))))
    counts = Counter(found[:, 0, 0, 0].tolist())
    assert set(counts) == {195, 32}  # inverted or solarised, and posterised
    assert counts[32] / 20000 == pytest.approx(1 / 3, abs=0.014)


def test_an_empty_batch() -> None:
    images = torch.zeros(0, 3, 8, 8, dtype=torch.uint8)
    assert everything()(images, Draws.of_images(0, 0, 0, []), np.zeros(0, dtype=np.int64)).shape == images.shape


def test_pickle_and_copy() -> None:
    transform, images = everything(), many_images(60)
    chosen = np.arange(60) % (len(OPERATIONS) + 3)
    expected = transform(images, Draws.of_images(0, 0, 0, range(60)), chosen)
    for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert torch.equal(other(images, Draws.of_images(0, 0, 0, range(60)), chosen), expected)
