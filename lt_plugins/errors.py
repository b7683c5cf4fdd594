"""User errors: exceptions that the command line tools print as one line."""

from __future__ import annotations

import re

# How torch words the error of a data-loader worker, or of a process that it spawned: the traceback there, as one text.
_REPORT = re.compile(
    r"(Caught \w+ .*\.\nOriginal |\s*-- Process \d+ terminated with the following error:\s*\n)"
    r"(?=(.|\n)*^Traceback \(most recent call last\):\n|Traceback \(most recent call last\):\n)",
    re.MULTILINE,
)


class UserInputError(ValueError):
    """Error that the user can fix: a path, a config value, a checkpoint.

    The message is one line that names the offending value, what was expected and what to do about it. The tools print
    it as ``error: <message>`` and exit with code 1. It stays that line where torch hands the error on from a
    data-loader worker.

    Args:
        message (str): The message.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(original_message(message))


def original_message(text: str) -> str:
    """Recover the message of an error from the process that raised it.

    Args:
        text (str): Its message, or the report that torch makes of it in another process.

    Returns:
        str: The message without report, traceback and name of the class.
    """
    return split_report(text)[1]


def split_report(text: str) -> tuple[str, str]:
    """Split torch's report of an error in another process.

    Args:
        text (str): The message of the error that torch raised.

    Returns:
        tuple[str, str]: Qualified name of the original class, empty if this is no report; and the original message.
    """
    if not _REPORT.match(text):
        return "", text
    _, _, last_traceback = text.rpartition("Traceback (most recent call last):\n")
    lines = last_traceback.splitlines()
    while lines and lines[0].startswith(" "):  # the frames; what follows is the error
        del lines[0]
    name, _, message = "\n".join(lines).strip().partition(": ")
    return name, message
