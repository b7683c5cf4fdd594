"""Operations of AutoAugment and RandAugment: what a magnitude does to an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation import affine, lookup_tables
from lt_plugins.augmentation.affine import Direction, Fill, Interpolation, Matrices
from lt_plugins.augmentation.blending import adjust_saturation, adjust_sharpness
from lt_plugins.augmentation.gaussian_blur import gaussian_blur
from lt_plugins.augmentation.upload import upload

Numbers = NDArray[np.float64]
Size = tuple[int, int]


class Operation(ABC):
    """Change of images, each by a magnitude of its own."""

    @property
    def kind(self) -> Hashable:
        """Operations of one kind run together, by :meth:`apply` of any of them."""
        return type(self)

    @abstractmethod
    def parameters(self, magnitudes: Numbers, size: Size) -> NDArray[Any]:
        """Compute on the CPU what :meth:`apply` needs.

        Args:
            magnitudes (NDArray): ``(M,)``.
            size (Size): Height and width of the images.

        Returns:
            NDArray: Shape ``(M, ...)``.
        """

    @abstractmethod
    def apply(self, images: Tensor, parameters: NDArray[Any]) -> Tensor:
        """Change images.

        Args:
            images (Tensor): BGR, uint8 ``(M, 3, H, W)``.
            parameters (NDArray): Those of each image, ``(M, ...)``.

        Returns:
            Tensor: Same shape as ``images``.
        """


class _TableOperation(Operation):
    """Operation that maps each value by itself."""

    @property
    def kind(self) -> Hashable:
        """All run together, whatever made their tables."""
        return _TableOperation

    def parameters(self, magnitudes: Numbers, size: Size) -> NDArray[np.uint8]:  # noqa: ARG002 (tables know no size)
        """Compute a table for each image, uint8 ``(M, 256)``."""
        return self._tables(magnitudes)

    def apply(self, images: Tensor, parameters: NDArray[np.uint8]) -> Tensor:
        """Look up each value."""
        return lookup_tables.apply_tables(images, upload(parameters, images.device))

    @abstractmethod
    def _tables(self, magnitudes: Numbers) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Invert(_TableOperation):
    """Gives the negative; the magnitude does not matter."""

    def _tables(self, magnitudes: Numbers) -> NDArray[np.uint8]:
        return lookup_tables.inversion_tables(len(magnitudes))


@dataclass(frozen=True)
class Posterize(_TableOperation):
    """Keeps as many upper bits as the magnitude, which is rounded.

    Args:
        floor (bool): Whether it is rounded down instead of up. Defaults to False.
    """

    floor: bool = False

    def _tables(self, magnitudes: Numbers) -> NDArray[np.uint8]:
        bits = np.floor(magnitudes) if self.floor else np.ceil(magnitudes)
        return lookup_tables.posterization_tables(bits.astype(np.int64))


@dataclass(frozen=True)
class Solarize(_TableOperation):
    """Inverts values from the magnitude on."""

    def _tables(self, magnitudes: Numbers) -> NDArray[np.uint8]:
        return lookup_tables.solarization_tables(magnitudes)


@dataclass(frozen=True)
class SolarizeAdd(_TableOperation):
    """Adds the magnitude to values below a threshold.

    Args:
        threshold (float): Values from here on stay as they are.
    """

    threshold: float

    def _tables(self, magnitudes: Numbers) -> NDArray[np.uint8]:
        return lookup_tables.addition_tables(magnitudes, self.threshold)


@dataclass(frozen=True)
class Brightness(_TableOperation):
    """Multiplies values by one more than the magnitude."""

    def _tables(self, magnitudes: Numbers) -> NDArray[np.uint8]:
        return lookup_tables.brightness_tables(1 + magnitudes)


class _BlendOperation(Operation):
    """Operation that multiplies the distance to another image by one more than the magnitude."""

    _blend: Callable[[Tensor, Numbers], Tensor]

    def parameters(self, magnitudes: Numbers, size: Size) -> Numbers:  # noqa: ARG002 (factors know no size)
        """Compute the factor of each image, ``(M,)``."""
        return 1 + magnitudes

    def apply(self, images: Tensor, parameters: Numbers) -> Tensor:
        """Blend the images with the others."""
        return self._blend(images, parameters)


@dataclass(frozen=True)
class Contrast(_BlendOperation):
    """Blends with the mean brightness."""

    _blend = staticmethod(lookup_tables.adjust_contrast)


@dataclass(frozen=True)
class Saturation(_BlendOperation):
    """Blends with the gray image."""

    _blend = staticmethod(adjust_saturation)


@dataclass(frozen=True)
class Sharpness(_BlendOperation):
    """Blends with the smoothed image."""

    _blend = staticmethod(adjust_sharpness)


@dataclass(frozen=True)
class GaussianBlur(Operation):
    """Blurs by the magnitude as standard deviation in pixels."""

    def parameters(self, magnitudes: Numbers, size: Size) -> Numbers:  # noqa: ARG002 (any size)
        """Hand the standard deviations on, ``(M,)``."""
        return magnitudes

    def apply(self, images: Tensor, parameters: Numbers) -> Tensor:
        """Blur the images."""
        return gaussian_blur(images, parameters)


class _HistogramOperation(Operation):
    """Operation that follows from the image alone; the magnitude does not matter."""

    _change: Callable[[Tensor], Tensor]

    def parameters(self, magnitudes: Numbers, size: Size) -> Numbers:  # noqa: ARG002 (there are none)
        """Hand the magnitudes on, ``(M,)``."""
        return magnitudes

    def apply(self, images: Tensor, parameters: Numbers) -> Tensor:  # noqa: ARG002
        """Change the images."""
        return self._change(images)


@dataclass(frozen=True)
class AutoContrast(_HistogramOperation):
    """Stretches each channel to 0..255."""

    _change = staticmethod(lookup_tables.auto_contrast)


@dataclass(frozen=True)
class Equalize(_HistogramOperation):
    """Equalises the histogram of each channel."""

    _change = staticmethod(lookup_tables.equalize)


@dataclass(frozen=True)
class _AffineOperation(Operation):
    """Operation that moves pixels.

    Args:
        interpolation (str): ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
        fill (Fill): Pixel outside of the image, BGR.
    """

    interpolation: Interpolation
    fill: Fill

    @property
    def kind(self) -> Hashable:
        """All of an interpolation and a fill run together, but for directions that would get neighbours in both."""
        direction = None if self.interpolation == "nearest" else getattr(self, "direction", None)
        return _AffineOperation, self.interpolation, self.fill, direction

    def parameters(self, magnitudes: Numbers, size: Size) -> Matrices:
        """Compute a matrix for each image, ``(M, 2, 3)``."""
        return self._matrices(magnitudes, *size)

    def apply(self, images: Tensor, parameters: Matrices) -> Tensor:
        """Resample the images."""
        return affine.warp_affine(images, parameters, self.interpolation, self.fill)

    @abstractmethod
    def _matrices(self, magnitudes: Numbers, height: int, width: int) -> Matrices: ...


@dataclass(frozen=True)
class Rotate(_AffineOperation):
    """Rotates clockwise by the magnitude in degrees.

    Args:
        interpolation (str): ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
        fill (Fill): Pixel outside of the image, BGR.
        centre (tuple[float, float] | None): Column and row that stay where they are. Defaults to the centre.
        scale (float): How much larger the image becomes. Defaults to 1.
    """

    centre: tuple[float, float] | None = None
    scale: float = 1.0

    def _matrices(self, magnitudes: Numbers, height: int, width: int) -> Matrices:
        centre = ((width - 1) * 0.5, (height - 1) * 0.5) if self.centre is None else self.centre
        return affine.rotations(magnitudes, centre, self.scale)


@dataclass(frozen=True)
class Shear(_AffineOperation):
    """Moves each row to the right by the magnitude times its number, or each column down.

    Args:
        interpolation (str): ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
        fill (Fill): Pixel outside of the image, BGR.
        direction (str): ``'horizontal'`` or ``'vertical'``.
    """

    direction: Direction

    def _matrices(self, magnitudes: Numbers, height: int, width: int) -> Matrices:  # noqa: ARG002 (any size)
        return affine.shears(magnitudes, self.direction)


@dataclass(frozen=True)
class Translate(_AffineOperation):
    """Moves an image to the right by the magnitude times its width, or down by the magnitude times its height.

    Args:
        interpolation (str): ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
        fill (Fill): Pixel outside of the image, BGR.
        direction (str): ``'horizontal'`` or ``'vertical'``.
    """

    direction: Direction

    def _matrices(self, magnitudes: Numbers, height: int, width: int) -> Matrices:
        return affine.translations(magnitudes * (width if self.direction == "horizontal" else height), self.direction)
