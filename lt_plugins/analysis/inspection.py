"""Inspection of a trained model: chooses the pages that fit what it has learned, and the options of each."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lt_plugins.errors import UserInputError

if TYPE_CHECKING:
    from mmengine.config import Config

    from lt_plugins.analysis.page import AnalysisPage

# The pages by name, imported when a model is looked at; a module that adds one takes it in here.
PAGES = {
    "attributes": "lt_plugins.analysis.attributes:AttributePage",
    "contrast": "lt_plugins.analysis.contrast_page:ContrastPage",
    "glt": "lt_plugins.analysis.glt_page:GLTPage",
    "latents": "lt_plugins.analysis.latents:LatentPage",
    "subclasses": "lt_plugins.analysis.subclasses:SubclassPage",
    "translations": "lt_plugins.analysis.translations:TranslationPage",
}


class Fitting(NamedTuple):
    """Stage of a config with something to look at.

    Args:
        stage (int): Position of the stage, from 0.
        model (nn.Module): Its model, with random weights.
        pages (list[type[AnalysisPage]]): The pages that fit it.
    """

    stage: int
    model: Any
    pages: list[type[AnalysisPage]]


def page_types() -> list[type[AnalysisPage]]:
    """Classes of all pages."""
    return [pkgutil.resolve_name(path) for path in PAGES.values()]


def find_pages(stages: Mapping[int, Config], only: str | None = None) -> Fitting:
    """Find the last stage of a config whose model some pages fit, and these; else one that shows what is wanted.

    Args:
        stages (Mapping[int, Config]): Configs of the stages that may be looked at, by their positions.
        only (str | None): Name of the only page that is wanted. Defaults to all that fit.

    Raises:
        UserInputError: If nothing fits; the message names what can be inspected.
    """
    from lt_plugins.models.build import build_model

    types = page_types()
    learned: dict[int, list[str]] = {}
    shown: list[Fitting] = []
    for index in sorted(stages, reverse=True):
        model = build_model(stages[index])
        pages = [page for page in types if page.fits(model, stages[index])]
        learned[index] = [page.name for page in pages]
        if chosen := [page for page in pages if only in (None, page.name)]:
            return Fitting(index, model, chosen)
        shown += [
            Fitting(index, model, [page]) for page in types if page.name == only and page.shows(model, stages[index])
        ]
    if shown:
        return shown[0]
    wanted = "nothing that can be inspected" if only is None else f"no {only}"
    found = dict.fromkeys(name for names in learned.values() for name in names)
    hint = f" but {' and '.join(found)}" if found else ""
    offered = ", ".join(f"{page.needs} for {page.name}" for page in types if only in (None, page.name))
    head = _describe_head(stages[max(stages)])
    raise UserInputError(f"{head}, which learns {wanted}{hint}; use a config with {offered}.")


def _describe_head(cfg: Config) -> str:
    head = cfg.model.get("head") or {}
    loss = (head.get("loss") or {}).get("type")
    return f"the config's model.head is {head.get('type')}{f' with the loss {loss}' if loss else ''}"


def set_up_pages(types: Sequence[type[AnalysisPage]], arguments: Mapping[str, Any]) -> list[AnalysisPage]:
    """Make the pages, each with its own of the given options.

    Args:
        types (Sequence[type[AnalysisPage]]): The pages.
        arguments (Mapping[str, Any]): Values from the command line; options of pages that were not given are absent.

    Raises:
        UserInputError: If an option belongs to other pages only, or has a value that it cannot have.
    """
    own = dict.fromkeys(option for page in types for option in page.defaults)
    foreign = {option for page in page_types() for option in page.defaults if option not in own}
    if wrong := sorted(foreign & set(arguments)):
        names = " and ".join(page.name for page in types)
        raise UserInputError(f"{flags(wrong)} does not apply to {names}; there are {flags(own)}.")
    return [page({key: value for key, value in arguments.items() if key in page.defaults}) for page in types]


def flags(options: Iterable[str]) -> str:
    """Options as the command line spells them, one after the other.

    Args:
        options (Iterable[str]): Names of their values.
    """
    return ", ".join(f"--{option.replace('_', '-')}" for option in options)
