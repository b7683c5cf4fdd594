"""Report on a generalized long-tailed benchmark: page, tables, and a contact sheet for each class."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lt_plugins.analysis.glt.benchmark import ARBITRARY, CellAttributes, count_cells
from lt_plugins.analysis.glt.image_pool import ImagePool
from lt_plugins.analysis.glt.preparation import PreparedPool
from lt_plugins.atomic_write import atomic_write
from lt_plugins.clustering.attribute_clusters import NO_ATTRIBUTE
from lt_plugins.datasets.glt.draw import hash_order
from lt_plugins.datasets.glt.glt_file import GROUPS, NO_GROUP, SPLITS, GLTFile
from lt_plugins.datasets.integrity import decode_image
from lt_plugins.terminal import progress_bar
from lt_plugins.visualization import (
    FigurePage,
    SheetRow,
    draw_contact_sheet,
    plot_class_attributes,
    plot_class_histogram,
    plot_split_attributes,
    plot_stability,
)

SHEETS = "sheets"
_SHEET_COLUMNS = 10
_SHOWN_SHEETS = 3
_MEANINGS = {
    "train-glt": "long-tailed by class and by attribute; the protocols CLT and GLT train on it",
    "train-cbl": "balanced by class, long-tailed by attribute; the protocol ALT trains on it",
    "val-glt": "validation of Train-GLT",
    "val-cbl": "validation of Train-CBL",
    "test-lt": "distributed as Train-GLT",
    "test-cbl": "balanced by class (CLT)",
    "test-gbl": "balanced by class and attribute (GLT, ALT)",
}


def write_report(
    folder: Path, benchmarks: Sequence[GLTFile], prepared: PreparedPool, attributes: CellAttributes | None
) -> str:
    """Write ``index.html`` with its figures, ``stability.csv``, ``attributes.csv`` and the contact sheets.

    Args:
        folder (Path): Where to.
        benchmarks (Sequence[GLTFile]): The benchmark; of two files that of Train-GLT first.
        prepared (PreparedPool): The images that it was drawn from.
        attributes (CellAttributes | None): Their attributes, if each image has one before the splits are drawn.

    Returns:
        str: One line on the stability of the attributes, for the user; empty if they are no clusters.
    """
    page = FigurePage("Generalized long-tailed benchmark", folder)
    features = benchmarks[0].info.get("features")
    if features:
        page.add_text(
            f"Attributes are clusters of features of {features['extractor']}. The features have seen labels: "
            f"{features['labels_seen']}."
        )
    _add_splits(page, benchmarks)
    verdict = ""
    if attributes is not None:
        _add_cells(page, prepared.pool, attributes)
        verdict = _add_stability(page, folder, prepared.pool, attributes)
        _add_sheets(page, folder, prepared.pool, attributes)
        _write_attributes(folder, prepared, attributes)
    _add_findings(page, benchmarks[0], prepared)
    page.finish()
    return verdict


def _add_splits(page: FigurePage, benchmarks: Sequence[GLTFile]) -> None:
    page.add_heading("Splits")
    first = benchmarks[0]
    splits = {name: images for benchmark in reversed(benchmarks) for name, images in benchmark.splits.items()}
    splits = {name: splits[name] for name in SPLITS if name in splits}
    rows = [
        (name, len(images), len({image.label for image in images}), _MEANINGS[name]) for name, images in splits.items()
    ]
    page.add_table(("split", "images", "classes", "what it is"), rows)
    for name in ("train-glt", "train-cbl"):
        if name in splits:
            counts = np.bincount([image.label for image in splits[name]], minlength=len(first.classes))
            groups = np.array(["few" if group == NO_GROUP else GROUPS[group] for group in first.class_group])
            figure = plot_class_histogram(counts, groups, first.classes)
            page.add_png(f"classes_{name}", figure, f"Images of each class in {name}.")
    by_attribute = {
        name: np.bincount(
            [image.attribute for image in images if image.attribute != NO_ATTRIBUTE],
            minlength=len(first.attribute_names),
        )
        for name, images in splits.items()
    }
    figure = plot_split_attributes(by_attribute, first.attribute_names)
    page.add_png("attributes", figure, "Share of each attribute in each split.")


def _add_cells(page: FigurePage, pool: ImagePool, attributes: CellAttributes) -> None:
    page.add_heading("Classes and attributes")
    cells = count_cells(pool.labels, attributes.attribute, len(pool.classes), len(attributes.names))
    figure = plot_class_attributes(cells, attributes.names, pool.classes, "all images, before splits are drawn")
    page.add_png("cells", figure, "Images of each class with each attribute; a class without has no bar.")
    if attributes.clusters is not None:
        page.add_text(
            "Attributes are found class by class and named by their size: attributes of two classes that have the same "
            "name share nothing but being as frequent."
        )


def _add_stability(page: FigurePage, folder: Path, pool: ImagePool, attributes: CellAttributes) -> str:
    """Section and table on how much clusters depend on the seed; gives the verdict in one line."""
    if attributes.stability is None or attributes.clusters is None:
        return ""
    index, changed = attributes.stability
    rows = []
    for label, name in enumerate(pool.classes):
        members = pool.labels == label
        number = int(attributes.clusters.cluster[members].max(initial=-1)) + 1
        rows.append([label, name, int(members.sum()), number, index[label], changed[label]])
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["label", "class", "images", "clusters", "adjusted_rand_index", "changed_attributes"])
    table.writerows([*row[:4], *("" if np.isnan(value) else f"{value:.4f}" for value in row[4:])] for row in rows)
    atomic_write(folder / "stability.csv", text.getvalue().encode("utf-8", "backslashreplace"))
    page.add_heading("Stability")
    summary = attributes.info["adjusted_rand_index"]
    if summary["mean"] is None:
        page.add_text("No class has attributes.")
        return "no class has attributes"
    verdict = (
        f"clusters of {len(attributes.info['seeds'])} seeds agree with an adjusted Rand index of {summary['mean']:.2f} "
        f"(10 % of the classes below {summary['p10']:.2f}); under another seed "
        f"{100 * attributes.info['changed_attributes']:.0f} % of the images get another attribute"
    )
    arbitrary = int((index < ARBITRARY).sum())
    if summary["mean"] < ARBITRARY:
        verdict = f"ATTRIBUTES ARE ARBITRARY: {verdict}; another --features or fewer --clusters may do better"
    elif arbitrary:
        verdict += f"; those of {arbitrary} classes are arbitrary (below {ARBITRARY:g})"
    page.add_text(f"{verdict[0].upper()}{verdict[1:]}.")
    page.add_png("stability", plot_stability(index, ARBITRARY), "Adjusted Rand index of each class.")
    header = ("class", "images", "clusters", "adjusted Rand index", "other attribute (%)")
    ranked = sorted((row for row in rows if not np.isnan(row[4])), key=lambda row: row[4])
    shown = ranked if len(ranked) <= 20 else ranked[:10] + ranked[-10:]
    page.add_table(header, [(row[1], row[2], row[3], float(row[4]), 100 * float(row[5])) for row in shown])
    if len(shown) < len(ranked):
        page.add_text("The ten least and the ten most stable classes; stability.csv has all.")
    return verdict


def _add_sheets(page: FigurePage, folder: Path, pool: ImagePool, attributes: CellAttributes) -> None:
    """A sheet of each class as a file, and a few on the page: the least and the most stable ones, or the first."""
    page.add_heading("Contact sheets")
    page.add_text(f"Random images of each attribute; {SHEETS}/ has a sheet of every class.")
    order = [*range(len(pool.classes))]
    if attributes.stability is not None:
        order = [int(label) for label in np.argsort(attributes.stability.rand_index, kind="stable")]
        order = [label for label in order if not np.isnan(attributes.stability.rand_index[label])]
    shown = {*order[:_SHOWN_SHEETS], *order[-_SHOWN_SHEETS:]}
    pictures = {}
    with progress_bar() as progress:
        for label in progress.track(range(len(pool.classes)), description="contact sheets"):
            sheet = draw_contact_sheet([*_sheet_rows(pool, attributes, label)])
            name = re.sub(r"[^\w.-]+", "_", pool.classes[label])[:50]
            buffer = io.BytesIO()
            Image.fromarray(sheet).save(buffer, format="PNG")
            atomic_write(folder / SHEETS / f"{label:04d}_{name}.png", buffer.getvalue())
            if label in shown:
                pictures[label] = sheet
    for label in [label for label in order if label in shown]:
        index = "" if attributes.stability is None else f", Rand index {attributes.stability.rand_index[label]:.2f}"
        page.add_images([(pictures[label], f"{pool.classes[label]}{index}")])


def _sheet_rows(pool: ImagePool, attributes: CellAttributes, label: int) -> list[SheetRow]:
    rows = []
    members = np.flatnonzero(pool.labels == label)
    for attribute in sorted({*attributes.attribute[members].tolist()}):
        chosen = members[attributes.attribute[members] == attribute]
        title = "no attribute" if attribute == NO_ATTRIBUTE else attributes.names[attribute]
        title += f": {len(chosen)} images"
        if attributes.clusters is not None and attribute != NO_ATTRIBUTE:
            sizes = np.bincount(attributes.clusters.cluster[chosen])
            title += f" (clusters of {' + '.join(str(size) for size in sizes.tolist() if size)})"
        order = hash_order([pool.paths[index] for index in chosen.tolist()], 0, "sheet")
        images = [decode_image(pool.file(int(chosen[place]))) for place in order[:_SHEET_COLUMNS]]
        rows.append(SheetRow(title, images))
    return rows


def _write_attributes(folder: Path, prepared: PreparedPool, attributes: CellAttributes) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "class", "cluster", "attribute", "belongs_to"])
    pool = prepared.pool
    for index, path in enumerate(pool.paths):
        attribute = int(attributes.attribute[index])
        cluster = "" if attributes.clusters is None or attribute == NO_ATTRIBUTE else attributes.clusters.cluster[index]
        first = int(prepared.groups[index])
        name = "" if attribute == NO_ATTRIBUTE else attributes.names[attribute]
        table.writerow(
            [path, pool.classes[pool.labels[index]], cluster, name, "" if first == index else pool.paths[first]]
        )
    atomic_write(folder / "attributes.csv", text.getvalue().encode("utf-8", "backslashreplace"))


def _add_findings(page: FigurePage, benchmark: GLTFile, prepared: PreparedPool) -> None:
    page.add_heading("What was left out or kept together")
    outside = benchmark.info.get("classes_outside_test_gbl", [])
    info = prepared.info
    rows = [
        ("images that cannot be read", len(info["unreadable"])),
        ("pairs of equal files of different classes", len(info["copies_with_other_labels"])),
        ("groups of copies, which stay on one side of every split", len(info["copies"])),
        ("given groups", info["given_groups"]),
        ("classes that are not in Test-GBL", len(outside)),
    ]
    page.add_table(("what", "number"), rows)
    lines = {
        "Images that cannot be read": info["unreadable"],
        "Equal files of different classes": info["copies_with_other_labels"],
        "Copies": [", ".join(paths) for paths in info["copies"]],
        "Classes that are not in Test-GBL": [benchmark.classes[label] for label in outside],
        "Splits that lack images": benchmark.info.get("shortfalls", []),
    }
    for summary, found in lines.items():
        if found:
            page.add_details(summary, "\n".join(found))
    settings = {key: value for key, value in benchmark.info.items() if key not in ("cells", "images", "profile")}
    page.add_details("Settings and versions", json.dumps(settings, indent=2))
