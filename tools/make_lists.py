"""Make the list files of iNaturalist 2018 from the competition's JSON files.

Writes one line `train_val2018/<group>/<category>/<hash>.jpg <category>` an image, in the order of the JSON's images:

    python tools/make_lists.py data/inat/train2018.json data/inat/iNaturalist18_train.txt
    python tools/make_lists.py data/inat/val2018.json data/inat/iNaturalist18_val.txt
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from lt_plugins.atomic_write import atomic_write, check_output
from lt_plugins.datasets.text_file import excerpt
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, user_errors
from lt_plugins.terminal import displayable, drawing_stream


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, help="train2018.json or val2018.json")
    parser.add_argument("list", type=Path, help="text file to write")
    return parser.parse_args(argv)


def list_lines(content: dict[str, Any], source: Path) -> Iterator[str]:
    """One line for each image; time and memory grow linearly with their number.

    Args:
        content: The JSON: `images`, `annotations` and `categories`.
        source: Its path, for messages.

    Yields:
        `<path> <category>` with a line feed.

    Raises:
        UserInputError: If a key is missing or holds something else, a category is unknown, or an image has no or
            several annotations.
    """
    console = Console(file=drawing_stream(sys.stderr))
    try:
        num_categories = len(content["categories"])
        category_of: dict[Any, int] = {}
        for annotation in track(content["annotations"], "annotations", console=console):
            image, category = annotation["image_id"], annotation["category_id"]
            if type(category) is not int or not 0 <= category < num_categories:
                raise UserInputError(
                    f"{source}: category {_short(category)} of image {_short(image)} is not in "
                    f"0..{num_categories - 1}; iNaturalist 2018 numbers its 8142 categories from 0"
                )
            if category_of.setdefault(image, category) != category:
                raise UserInputError(f"{source}: image {image} is annotated as {category_of[image]} and as {category}")
        for image in track(content["images"], "images     ", console=console):
            if image["id"] not in category_of:
                raise UserInputError(
                    f"{source}: image {image['id']} ({image['file_name']}) has no annotation; the test set has none, "
                    "use train2018.json and val2018.json"
                )
            name = image["file_name"]
            if not isinstance(name, str) or not name.strip() or name != displayable(name):
                raise UserInputError(f"{source}: image {image['id']} has the file_name {excerpt(str(name))}, no path")
            yield f"{name} {category_of[image['id']]}\n"
    except KeyError as error:
        raise UserInputError(f"{source} lacks the key {error}; expected the annotation format of COCO") from error
    except (TypeError, AttributeError) as error:
        raise UserInputError(
            f"{source} is not in the annotation format of COCO: images, annotations and categories must be lists of "
            f"objects ({error})"
        ) from error


def _short(value: object) -> str:
    return excerpt(repr(value))[1:-1]


def main(argv: Sequence[str] | None = None) -> None:
    """Convert a file."""
    with user_errors():
        args = parse_args(argv)
        check_output(args.list, [args.json])
        if args.json.exists() and not args.json.is_file():
            raise UserInputError(f"{args.json} is no regular file; give train2018.json or val2018.json")
        try:
            content = json.loads(args.json.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UserInputError(f"{args.json} is not a complete JSON file ({error}); download it again") from error
        lines = list(list_lines(content, args.json))
        if not lines:
            raise UserInputError(f"{args.json} lists no images; give train2018.json or val2018.json")
        atomic_write(args.list, "".join(lines).encode())
        print(f"{args.list}: {len(lines)} images of {len(content['categories'])} categories")


if __name__ == "__main__":
    main()
