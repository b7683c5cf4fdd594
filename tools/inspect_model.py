"""Show what a trained model has learned, as pictures and as one self-contained HTML page.

Pseudo-attributes of LPA, latent categories of LCReg, subclasses of SBCL, geometry of a contrastive run, translations of
M2m, accuracy by attribute and environments of a generalized long-tailed run: whichever the model has.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lt_plugins.analysis.inspection import PAGES
from lt_plugins.runs.cli import (
    ToolParser,
    add_config_arguments,
    add_pickle_argument,
    add_stage_argument,
    user_errors,
)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument(
        "checkpoint", help="checkpoint file, or work dir of a run (its last checkpoint; it may be going on)"
    )
    add_stage_argument(parser, "stage of the run to look at (default: the last one with something to show)")
    parser.add_argument("--only", choices=list(PAGES), help="one page (default: all that fit the model)")
    parser.add_argument(
        *("-o", "--out"),
        type=Path,
        metavar="DIR",
        help="folder of the page and its pictures (default: PAGE_<checkpoint> beside the checkpoint)",
    )
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="where the model runs (default: cuda if there is one)"
    )
    add_pickle_argument(parser)

    # The defaults of these options are those of the pages; what is not given is absent.
    absent = argparse.SUPPRESS
    group = parser.add_argument_group("what a page shows", argument_default=absent)
    group.add_argument("--classes", nargs="+", metavar="CLASS", help="classes, by name or number (default: some)")
    group = parser.add_argument_group("attributes, latents and environments", argument_default=absent)
    group.add_argument("--images", nargs="+", type=Path, metavar="PATH", help="query images, of any size")
    group.add_argument("--attributes", nargs="+", type=int, metavar="K", help="query attributes, by number")
    group.add_argument("--latents", nargs="+", type=int, metavar="M", help="query latent categories, by number")
    group.add_argument("--split", choices=["train", "test"], help="where to search (default: train)")
    group.add_argument("--top", type=int, metavar="N", help="images a row (default: 6)")
    group.add_argument("--max-per-class", type=int, metavar="N", help="of one class at most (default: 2)")
    group = parser.add_argument_group("subclasses", argument_default=absent)
    group.add_argument("--num-classes", type=int, metavar="N", help="head classes to colour by class (default: 10)")
    group.add_argument("--max-points", type=int, metavar="N", help="images in a t-SNE picture at most (default: 2000)")
    group.add_argument("--seed", type=int, metavar="N", help="seed of drawn images, views and t-SNE (default: 0)")
    group = parser.add_argument_group("contrastive geometry (and --seed)", argument_default=absent)
    group.add_argument("--max-images", type=int, metavar="N", help="held-out images, evenly by class (default: 20000)")
    group.add_argument("--checkpoints", type=int, metavar="N", help="of the run, at most, for curves (default: 10)")
    return parser.parse_args(argv)


def inspect_model(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    import torch

    from lt_plugins.analysis.inspection import find_pages, set_up_pages
    from lt_plugins.analysis.page import NotClusteredError, check_device
    from lt_plugins.analysis.trained_model import load_weights
    from lt_plugins.checkpoints.checkpoint import guard_pickles
    from lt_plugins.runs.config import load_stages, stage_index
    from lt_plugins.runs.spec import run_name, stage_source

    guard_pickles(args.allow_pickle)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    stages = dict(enumerate(load_stages(args.config, args.cfg_options, data=args.data)))
    if args.stage is not None:
        index = stage_index(args.stage, len(stages), args.config)
        stages = {index: stages[index]}
    fitting = find_pages(stages, args.only)
    pages = set_up_pages(fitting.pages, vars(args))
    source = stage_source(args.checkpoint, fitting.stage + 1)
    cfg = stages[fitting.stage]
    trained = load_weights(cfg, fitting.model, source, device, args.allow_pickle)
    for page in pages:
        out = args.out / page.name if args.out and len(pages) > 1 else args.out
        try:
            print(page.write(cfg, trained, run_name(args.config, args.data), out))
        except NotClusteredError as error:  # the other pages do not need it
            if len(pages) == 1:
                raise
            print(f"{page.name}: left out, {error}")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the pages."""
    with user_errors():
        inspect_model(parse_args(argv))


if __name__ == "__main__":
    main()
