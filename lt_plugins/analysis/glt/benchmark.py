"""Generalized long-tailed benchmark out of a prepared pool: attributes, splits, and what its file says about them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.analysis.glt.preparation import SMALL, Faults, PreparedPool
from lt_plugins.clustering import (
    AttributeClusters,
    ClusterSettings,
    Stability,
    attribute_clusters,
    cluster_stability,
)
from lt_plugins.clustering.attribute_clusters import NO_ATTRIBUTE
from lt_plugins.clustering.attribute_clusters import RESERVE as CLUSTER_RESERVE
from lt_plugins.datasets.attribute_table import AttributeTable
from lt_plugins.datasets.glt.carve import Plan, carve, find_small_classes
from lt_plugins.datasets.glt.glt_file import GROUPS, GLTFile, GLTImage
from lt_plugins.datasets.glt.mscoco_glt import mscoco_glt
from lt_plugins.terminal import progress_bar

NUM_SEEDS = 3
ARBITRARY = 0.5
"""Mean adjusted Rand index below which attributes are arbitrary."""


class CellAttributes(NamedTuple):
    """Attributes of the images of a pool.

    Args:
        attribute (NDArray): Of each image, ``(N,)`` int64; -1 for none.
        names (tuple[str, ...]): Names of the ``A`` attributes.
        info (dict): Where they come from, for the JSON.
        clusters (AttributeClusters | None): If they are clusters. Defaults to None.
        stability (Stability | None): If they are clusters. Defaults to None.
    """

    attribute: NDArray[np.int64]
    names: tuple[str, ...]
    info: dict[str, Any]
    clusters: AttributeClusters | None = None
    stability: Stability | None = None


def cluster_attributes(
    features: Tensor, prepared: PreparedPool, settings: ClusterSettings, seed: int
) -> CellAttributes:
    """Find attributes by clustering under three seeds, of which the first one counts.

    Args:
        features (Tensor): Unit rows ``(N, D)``.
        prepared (PreparedPool): The ``N`` images.
        settings (ClusterSettings): Numbers of clusters and attributes.
        seed (int): The first seed.
    """
    pool, runs = prepared.pool, []
    with progress_bar() as progress:
        for number in progress.track(range(NUM_SEEDS), description="clustering"):
            runs.append(
                attribute_clusters(features, pool.labels, len(pool.classes), settings, seed + number, prepared.groups)
            )
    stability = cluster_stability(runs, pool.labels, len(pool.classes))
    has = ~np.isnan(stability.rand_index)
    sizes = np.bincount(pool.labels, minlength=len(pool.classes))
    info = {
        "from": "clusters",
        **asdict(settings),
        "seeds": [seed + number for number in range(NUM_SEEDS)],
        "adjusted_rand_index": _summary(stability.rand_index[has]),
        "changed_attributes": float(np.average(stability.changed[has], weights=sizes[has])) if has.any() else None,
    }
    number = settings.num_attributes
    names = GROUPS if number == len(GROUPS) else tuple(f"rank {rank}" for rank in range(number))
    return CellAttributes(runs[0].attribute, names, info, runs[0], stability)


def single_attributes(table: AttributeTable, rows: NDArray[np.float64]) -> CellAttributes:
    """Take the attributes of a table with one of each image.

    Args:
        table (AttributeTable): The table.
        rows (NDArray): Those of the images, ``(N, A)``.
    """
    return CellAttributes(rows.argmax(axis=1), table.names, {"from": "table"})


def check_sizes(prepared: PreparedPool, settings: ClusterSettings, faults: Faults, leave_out: bool) -> None:
    """Complain about classes that are too small for two clusters, before features are computed.

    Args:
        prepared (PreparedPool): The images.
        settings (ClusterSettings): Numbers of clusters.
        faults (Faults): Takes a line for each such class.
        leave_out (bool): Whether they may be left out of the tests by attribute.
    """
    needed = 2 * CLUSTER_RESERVE * settings.test_per_cell
    sizes = np.bincount(prepared.pool.labels, minlength=len(prepared.pool.classes)).tolist()
    if not leave_out:
        faults[SMALL] += [
            f"class {label} ({name}) has {size} images, but two attributes need {needed}: lower --test-per-cell, or "
            "keep the class out of Test-GBL by --leave-out small"
            for label, (name, size) in enumerate(zip(prepared.pool.classes, sizes, strict=True))
            if size < needed
        ]


def carve_benchmark(
    prepared: PreparedPool, attributes: CellAttributes, plan: Plan, faults: Faults, leave_out: bool
) -> list[GLTFile]:
    """Carve the splits of single attributes.

    Args:
        prepared (PreparedPool): The images.
        attributes (CellAttributes): Their attributes.
        plan (Plan): Sizes of the splits.
        faults (Faults): Takes a line for each class that is too small.
        leave_out (bool): Whether classes may be left out of Test-GBL.

    Returns:
        list[GLTFile]: The benchmark; none if a class is too small for its splits.
    """
    pool = prepared.pool
    if small := find_small_classes(pool.labels, attributes.attribute, pool.classes, plan):
        faults[SMALL] += small
        return []
    carving = carve(pool.paths, pool.labels, attributes.attribute, pool.classes, plan, prepared.groups)
    cells = count_cells(pool.labels, attributes.attribute, len(pool.classes), len(attributes.names))
    if not leave_out:
        faults[SMALL] += [
            f"class {label} ({pool.classes[label]}) has {_describe_cells(cells[label])}, too few for "
            f"{plan.test_per_cell} test images of each, at most one in {CLUSTER_RESERVE}: lower --test-per-cell, or "
            "keep the class out of Test-GBL by --leave-out small"
            for label in carving.outside_gbl
        ]
    splits = {
        name: [
            GLTImage(pool.paths[index], int(pool.labels[index]), int(attributes.attribute[index]))
            for index in chosen.tolist()
        ]
        for name, chosen in carving.splits.items()
    }
    info = {
        "plan": asdict(plan),
        "classes_outside_test_gbl": list(carving.outside_gbl),
        "cells": cells.tolist(),
        "shortfalls": list(carving.shortfalls),
        "attributes": attributes.info,
    }
    return [GLTFile(pool.classes, carving.class_group, attributes.names, splits, info)]


def multi_hot_benchmark(
    prepared: PreparedPool, table: AttributeTable, rows: NDArray[np.float64], plan: Plan
) -> list[GLTFile]:
    """Draw the splits of images that have several attributes each, as MSCOCO-GLT is drawn.

    Args:
        prepared (PreparedPool): The images.
        table (AttributeTable): The table.
        rows (NDArray): Attributes of the images, ``(N, A)``.
        plan (Plan): Of it the images a class in the tests and in validation, and the seed.

    Returns:
        list[GLTFile]: That of Train-GLT, and that of Train-CBL. Classes are numbered by size.

    Raises:
        UserInputError: If a class has too few images.
    """
    pool = prepared.pool
    categories = [pool.classes[label] for label in pool.labels.tolist()]
    files = []
    for balanced in (False, True):
        drawn = mscoco_glt(
            pool.paths,
            categories,
            rows,
            balanced=balanced,
            test_per_class=plan.test_per_class,
            val_per_class=plan.val_per_class,
            seed=plan.seed,
            groups=prepared.groups,
            folder="",
        )
        splits = {
            name: [image._replace(path=image.path[1:].removesuffix(".jpg")) for image in images]
            for name, images in drawn.splits.items()
        }
        info = {"plan": asdict(plan), "attributes": {"from": "table of several", "names": list(table.names)}}
        files.append(drawn._replace(splits=splits, info=info))
    return files


def count_cells(
    labels: NDArray[np.int64], attribute: NDArray[np.int64], num_classes: int, num_attributes: int
) -> NDArray[np.int64]:
    """Number of images of each class with each attribute, ``(C, A)``; those without one are not counted.

    Args:
        labels (NDArray): Classes, ``(N,)``.
        attribute (NDArray): Attributes, ``(N,)``; -1 for none.
        num_classes (int): Number of classes ``C``.
        num_attributes (int): Number of attributes ``A``.
    """
    cells = np.zeros((num_classes, num_attributes), np.int64)
    has = attribute != NO_ATTRIBUTE
    np.add.at(cells, (labels[has], attribute[has]), 1)
    return cells


def _describe_cells(counts: NDArray[np.int64]) -> str:
    sizes = [str(count) for count in counts.tolist() if count]
    return f"{' + '.join(sizes)} images by attribute" if len(sizes) > 1 else "fewer than two attributes"


def _summary(values: NDArray[np.float64]) -> dict[str, float | None]:
    if not len(values):
        return {"mean": None, "p10": None}
    return {"mean": float(values.mean()), "p10": float(np.quantile(values, 0.1))}
