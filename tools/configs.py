"""List the ready configs and their variants.

    python tools/configs.py                  # all of them
    python tools/configs.py cifar100 lpa     # those with both words in their names

The tools take them by these names from any folder, and a config of your own takes one in by
_base_ = "lt_plugins::lpa/lpa_r32_cifar100-lt.py".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lt_plugins.errors import UserInputError
from lt_plugins.resources import SCOPE, find_config, ready_configs
from lt_plugins.runs.cli import ToolParser, user_errors

MAX_READ = 20  # configs whose variants are shown: reading one takes half a second


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD", help="list only names that have all of these words in them")
    return parser.parse_args(argv)


def list_configs(words: Sequence[str]) -> None:
    """Print the names with all of the words, each with its variants where they are few."""
    names = [name for name in ready_configs() if all(word.lower() in name for word in words)]
    if not names:
        raise UserInputError(f"no ready config has {' and '.join(map(repr, words))} in its name; give fewer words.")
    if len(names) > MAX_READ:
        print(*names, sep="\n")
        print("\ngive words of a name to see the variants", file=sys.stderr)
        return
    from lt_plugins.runs.config import read_config

    width = max(map(len, names))
    for name in names:
        variants = read_config(str(find_config(SCOPE + name))).get("variants") or {}
        print(f"{name:<{width}}  {' '.join(f':{variant}' for variant in sorted(variants))}".rstrip())


def main(argv: Sequence[str] | None = None) -> None:
    """List."""
    with user_errors():
        list_configs(parse_args(argv).words)


if __name__ == "__main__":
    main()
