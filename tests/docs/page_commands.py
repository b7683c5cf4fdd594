"""Runs the commands of a page as they stand, each Python program in a fork that has imported torch before."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.miniatures import write_image
from tests.tool_process import ROOT, start_tool
from tools.dev.tutorials import STOPS, VARYING, WIDTH

PYTHON = re.compile(r"(?P<variables>(?:\w+=\S+ +)*)python +(?P<words>.*)", flags=re.DOTALL)
SHORTENED = re.compile(r"add\s+`(?P<options>[^`]+)`\s+to\s+(?:each|the)\s+`(?P<tool>\w+\.py)`")
SECONDS = 600  # of a command, on a busy machine
# Photos of each class of the reader, who has those of docs/tutorials/own_photos.md in a smaller number.
CLASSES = (
    *("person", "car", "chair", "pottedplant", "dog", "bird", "horse", "motorbike", "train", "cat", "tvmonitor", "bus"),
    *("bicycle", "bottle", "cow", "diningtable", "sofa", "aeroplane", "boat", "sheep"),
)
PHOTOS = dict(zip(CLASSES, (27, 12, 9, 7, 6, 5, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2), strict=True))
# As in a table whose runs, digits and widths are others: numbers, schedules, classes, rules and blanks, spread.
SHAPES = (
    (r"\d[\d.,]*(?:e[+-]\d+)?", "#"),
    (r"\bnan\b", "#"),
    (r"\b(full|short)\b", "schedule"),
    (r"\bimages\b", "image"),
    (rf"(?<![a-z])({'|'.join(CLASSES)})(?![a-z])", "@"),
    (r"([-─━█])\1*", r"\1"),
    (r"\s+", " "),
    (r"# ± #", "#"),
    (r"#( #)+", "#"),
)


def write_photos(folder: Path, size: tuple[int, int] | None = None) -> None:
    """Write small images, of several sizes or one, in class folders, and those of ``new_photos`` into one.

    A folder that exists stays.
    """
    if folder.exists():
        return
    for label, (name, count) in enumerate(PHOTOS.items()):
        for number in range(2 if folder.name == "new_photos" else count):
            path = f"{name}_{number:06d}_0.jpg" if folder.name == "new_photos" else f"{name}/{number}.jpg"
            write_image(folder / path, 1000 * label + number + len(folder.name), size or (48 + label, 60 - label))


def shortening(text: str) -> dict[str, str]:
    """The options with which a page says that a tool is tried out, by its name: "add `OPTIONS` to each `train.py`"."""
    return {match["tool"]: match["options"] for match in SHORTENED.finditer(text)}


def run_command(command: str, workspace: Path, added: Mapping[str, str]) -> str:
    """Run a line of bash and return its output, with options of :func:`shortening`.

    The current folder must be the workspace.
    """
    fails = bool(STOPS.search(command))
    command = re.sub(r"\s+#.*", "", command)
    python = PYTHON.fullmatch(command)
    if python is None or re.search(r"[|<>;&]", command):
        done = subprocess.run(["bash", "-c", command], cwd=workspace, capture_output=True, text=True, check=False)
        code, printed = done.returncode, done.stdout + done.stderr
    else:
        variables = {"COLUMNS": WIDTH, **dict(word.split("=", 1) for word in python["variables"].split())}
        script, *arguments = _words(python["words"])
        path = workspace / script
        if not fails:
            arguments += _words(added.get(path.name, ""))
        tool = ROOT / script if path.is_relative_to(workspace / "tools") else path
        process = start_tool(str(tool), *arguments, logs=workspace / "logs", env=variables).wait(SECONDS)
        code, printed = process.exit_code or 0, process.output
    assert bool(code) == fails, f"{command} ended with {code}:\n{printed[-3000:]}"
    return printed


def missing_lines(shown: str, printed: str) -> list[str]:
    """The lines of a page's output to which no printed line is equal but for its numbers."""
    there = {_shape(line) for line in printed.splitlines()}
    return [line for line in shown.splitlines() if line != "..." and _shape(line) not in there]


def _words(text: str) -> list[str]:
    """What bash makes of the words of a command."""
    if not text:
        return []
    done = subprocess.run(["bash", "-c", rf"printf '%s\0' {text}"], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def _shape(line: str) -> str:
    for varying, masked in VARYING:
        line = varying.sub(masked, line)
    line = line.replace(f"{Path.cwd()}/", "")
    for pattern, shape in SHAPES:
        line = re.sub(pattern, shape, line)
    return line.strip()
