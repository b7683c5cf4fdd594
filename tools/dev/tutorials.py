"""Run the tutorials in docs/tutorials, and write what their commands print and draw into the pages.

A tutorial is a page of Markdown that can be followed from its first line to its last:

    ```python            a file that the reader writes; its first line names it, as in  # my_loss.py
    ```bash              commands, one a line; one that is to fail ends with a comment  # stops
    <!-- output -->      what the commands above it print, in the block of text that follows
    <!-- output of lines with `REGEX` -->      only those of its lines, with ... where others lie between two of them
    <!-- picture `PATH` -->      a file that the commands have made, as the picture that follows

A page is followed in a folder of its own, in which the folders of the repository are linked. The tests run the pages
too (tests/docs/test_tutorials.py).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, user_errors

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "tutorials"
LINKED = ("configs", "docs", "lt_plugins", "tools")
STEP = re.compile(
    r"```(?P<language>bash|python)\n(?P<code>.*?)```\n"
    r"|<!-- output(?: of lines with `(?P<pattern>.*?)`)? -->\n```text\n(?P<output>.*?)```\n"
    r"|<!-- picture `(?P<drawn>.*?)` -->\n!\[.*?\]\((?P<picture>.*?)\)",
    flags=re.DOTALL,
)
FILE_NAME = re.compile(r'(?:"""|# )([\w.+-]+\.\w+)')
LEFT_OUT = "..."
WIDTH = "120"  # of the terminal
STOPS = re.compile(r"#.*\bstops\b")
# What no two runs, or no two machines, have in common.
VARYING = (
    (re.compile(r"^Could not import OneDL\n", flags=re.MULTILINE), ""),
    (re.compile(r"\b(eta|time|data_time|memory): +\S+"), r"\1: …"),
    (re.compile(r"\b\d+(?:\.\d+)? (s|min|h|seconds|minutes|hours)\b"), r"… \1"),
)


class WriteFile(NamedTuple):
    """A file that the reader writes."""

    name: str
    text: str


class Output(NamedTuple):
    """What the page shows of the output of its last commands."""

    pattern: str
    text: str
    span: tuple[int, int]
    """Where the text stands in the page."""


class Run(NamedTuple):
    """Commands, one a line, and what the page shows of their output."""

    commands: tuple[str, ...]
    outputs: list[Output]


class Picture(NamedTuple):
    """A file that the commands have drawn, and where the page has it, relative to the page."""

    drawn: str
    shown: str


Step = WriteFile | Run | Picture


def read_page(text: str) -> list[Step]:
    """Read what a page has its reader do, in its order.

    Args:
        text (str): The page.

    Returns:
        list[Step]: Its steps.

    Raises:
        UserInputError: If Python code does not say which file it is, or output follows no command.
    """
    steps: list[Step] = []
    for match in STEP.finditer(text):
        if match["language"] == "python":
            name = FILE_NAME.match(match["code"])
            if name is None:
                raise UserInputError(
                    f"the first line of this code must name its file, as in '# my_loss.py': {match[0]}"
                )
            steps.append(WriteFile(name[1], match["code"]))
        elif match["language"] == "bash":
            steps.append(Run(split_commands(match["code"]), []))
        elif match["picture"]:
            steps.append(Picture(match["drawn"], match["picture"]))
        else:
            if not steps or not isinstance(steps[-1], Run):
                raise UserInputError(f"no commands stand before the output at character {match.start()} of the page")
            steps[-1].outputs.append(Output(match["pattern"] or "", match["output"], match.span("output")))
    return steps


def split_commands(block: str) -> tuple[str, ...]:
    """Split a block of bash into its commands, without comments of a whole line.

    Args:
        block (str): One command a line, continued by a backslash at its end.

    Returns:
        tuple[str, ...]: The commands.
    """
    lines = (line.strip() for line in re.sub(r"\\\n\s*", "", block).splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def make_workspace(folder: Path, own: Path | None = None) -> None:
    """Let a folder stand in for the reader's clone, so that nothing is written into this one.

    Args:
        folder (Path): An empty folder.
        own (Path | None): What the reader has beside the clone, such as a folder ``my_photos``. Defaults to None.
    """
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    for path in own.resolve().iterdir() if own else ():
        (folder / path.name).symlink_to(path)


def shown_lines(printed: str, pattern: str) -> list[str]:
    """Keep what a page shows of an output.

    Args:
        printed (str): The whole output.
        pattern (str): What a line must hold. Empty takes all lines.

    Returns:
        list[str]: The lines, with ``...`` where some between two of them are left out.
    """
    shown: list[str] = []
    skipped = False
    for line in printed.rstrip().splitlines():
        if re.search(pattern, line):
            shown += [LEFT_OUT] * (skipped and bool(shown)) + [line.rstrip()]
            skipped = False
        else:
            skipped = True
    return shown


def follow(page: Path, workspace: Path) -> str:
    """Follow a page, and give it with what its commands have printed; its pictures are copied.

    Args:
        page (Path): The page.
        workspace (Path): Folder from :func:`make_workspace`.

    Returns:
        str: The page.

    Raises:
        UserInputError: If a command fails, or prints or draws nothing of what the page shows.
    """
    text = page.read_text(encoding="utf-8")
    written: list[tuple[tuple[int, int], str]] = []
    for step in read_page(text):
        if isinstance(step, WriteFile):
            (workspace / step.name).write_text(step.text, encoding="utf-8")
        elif isinstance(step, Picture):
            if not (workspace / step.drawn).is_file():
                raise UserInputError(f"{page.name}: the commands before the picture have drawn no {step.drawn}")
            atomic_write(page.parent / step.shown, (workspace / step.drawn).read_bytes())
        else:
            printed = "".join(_run(command, workspace) for command in step.commands)
            for output in step.outputs:
                lines = shown_lines(printed, output.pattern)
                if not lines:
                    print(printed)
                    raise UserInputError(f"{page.name}: no line of this output holds {output.pattern!r}")
                written.append((output.span, "\n".join(lines) + "\n"))
    for (begin, end), block in reversed(written):
        text = text[:begin] + block + text[end:]
    return text


def _run(command: str, workspace: Path) -> str:
    print(f"  {command}", flush=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": WIDTH, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=workspace,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if bool(done.returncode) != bool(STOPS.search(command)):
        print(done.stdout)
        raise UserInputError(f"{command} ended with {done.returncode}")
    printed = done.stdout.replace(f"{workspace}/", "")
    for varying, masked in VARYING:
        printed = varying.sub(masked, printed)
    return printed


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE", help="pages to write anew; all by default")
    parser.add_argument("--own", type=Path, metavar="DIR", help="holds what the reader brings: my_photos, new_photos")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Follow the pages, each in a folder of its own."""
    for page in args.pages or sorted(set(PAGES.glob("*.md")) - {PAGES / "README.md"}):
        if not page.is_file():
            raise UserInputError(f"{page} is no file")
        print(page, flush=True)
        with tempfile.TemporaryDirectory(prefix="tutorial_") as folder:
            make_workspace(Path(folder), args.own)
            atomic_write(page, follow(page, Path(folder)).encode())


def main(argv: Sequence[str] | None = None) -> None:
    """Write the tutorials."""
    with user_errors():
        run(parse_args(argv))


if __name__ == "__main__":
    main()
