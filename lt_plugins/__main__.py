"""Command line of the package, ``python -m lt_plugins COMMAND``: runs its tools; alone it reports the environment."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from lt_plugins.environment import print_environment
from lt_plugins.resources import PACKAGE, tools
from lt_plugins.terminal import one_line

SCRIPT = "lt-plugins"
"""The console script, which is the same."""


def program() -> str:
    """How this command line was called: by the console script, or as a module."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m lt_plugins"


def describe(script: Path) -> str:
    """Read the first line of the docstring of a tool, without importing it.

    Args:
        script (Path): The file.
    """
    return (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def print_help() -> None:
    """List the commands."""
    found = tools()
    width = max(map(len, found))
    print(f"usage: {program()} [COMMAND ...]\n")
    print(f"Alone it reports the environment. {program()} COMMAND --help has more.\n")
    for name, script in found.items():
        print(f"  {name:<{width}}  {describe(script)}")


def run_tool(script: Path, command: str, arguments: Sequence[str]) -> None:
    """Run a tool in this process.

    Args:
        script (Path): The file.
        command (str): Its name, for the messages.
        arguments (Sequence[str]): Its arguments.
    """
    root = str(PACKAGE.parent)
    if os.path.abspath(sys.path[0] or os.curdir) == root:  # noqa: PTH100  (a clone that is not installed, from within)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    sys.argv = [f"{program()} {command}", *arguments]
    spec = spec_from_file_location(f"{__package__}.tools.{command.replace('/', '.')}", script)
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()


def main(argv: Sequence[str] | None = None) -> None:
    """Report the environment, list the commands, or run one.

    Args:
        argv (Sequence[str] | None): Command and its arguments. Defaults to those of the process.
    """
    command, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
    if not command:
        print_environment()
    elif command in ("-h", "--help"):
        print_help()
    elif script := tools().get(command):
        run_tool(script, command, arguments)
    else:
        near = get_close_matches(command, tools(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"{program()} --help lists them."
        print(one_line(f"error: there is no command {command!r:.60}; {hint}"), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
