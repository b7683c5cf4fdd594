"""Reading config files: nothing but Python is run, and whatever a config's code raises is one line."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import MAX_FILES, load_config, load_stages, read_config, read_stages
from tests.tool_process import ROOT

CONFIG = str(ROOT / "configs/ce/ce_r32_digits.py")

# What is in the file -> what the line says.
BROKEN = {
    "a = ": "line 1: SyntaxError: invalid syntax",
    "a = 1\nb = c": "line 2: NameError: name 'c' is not defined",
    "a = dict()['b']": "line 1: KeyError: b",
    "a = 1 / 0": "line 1: ZeroDivisionError: division by zero",
    "a = int('x')": "line 1: ValueError: invalid literal",
    "a = open('/none')": "line 1: FileNotFoundError",
    "\n\nassert False, 'no'": "line 3: AssertionError: no",
    "raise RuntimeError('two\\nlines')": "line 1: RuntimeError: two lines",
    "a = 1\nexit()": "line 2: SystemExit: it ends the program; remove exit",
    "import sys; sys.exit(0)": "line 1: SystemExit",
    "def f():\n    return f()\na = f()": "RecursionError: a function in it calls itself without end",
    "a = []\na.append(a)": "RecursionError",
    "import none_such_module": "ModuleNotFoundError",
    "custom_imports = {'imports': ['none_such_module']}": "ImportError",
    "filename = 'x'": "KeyError: filename is reserved",
    "a = 1\x00": "null bytes",
    "_base_ = 3": "TypeError",
}


def write(folder: Path, **files: str) -> Path:
    """Write ``name.py`` files; returns the first."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / f"{next(iter(files))}.py"


@pytest.mark.parametrize("text", BROKEN)
def test_whatever_a_config_raises_is_one_line(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, broken=text)
    with pytest.raises(UserInputError) as caught:
        load_config(str(path))
    message = str(caught.value)
    assert BROKEN[text] in message
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 700


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(UserInputError, match="it is not UTF-8; save it as UTF-8"):
        load_config(str(path))


def test_an_error_in_a_base_names_the_base_and_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, top="_base_ = './base.py'", base="a = 1\nb = 1 / 0")
    with pytest.raises(UserInputError, match=r"top.py cannot be read in its base .*base.py, line 2: ZeroDivisionError"):
        load_config(str(path))


@pytest.mark.parametrize("ending", ["yaml", "yml", "json", "txt"])
@pytest.mark.parametrize("as_base", [False, True])
def test_only_python_is_read(ending: str, as_base: bool, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    other = tmp_path / f"evil.{ending}"
    other.write_text(f'a: !!python/object/apply:os.system ["touch {marker}"]\n')
    path = write(tmp_path, top=f"_base_ = './{other.name}'") if as_base else other
    with pytest.raises(UserInputError, match=rf"evil.{ending}, which is not Python; configs are .py files"):
        load_config(str(path))
    assert not marker.exists()


def test_bases(tmp_path: Path) -> None:
    cases = {
        "a": ({"a": "_base_ = './none.py'"}, "which does not exist; the path is relative to the file that names it"),
        "b": ({"b": "_base_ = 'https://example.org/x.py'"}, "which does not exist"),
        "c": ({"c": "_base_ = './c.py'"}, "goes round in a circle: .*c.py -> .*c.py"),
        "d": ({"d": "_base_ = ['./e.py']", "e": "_base_ = './f.py'", "f": "_base_ = './d.py'"}, "d.py -> .*e.py -> "),
        "g": ({"g": "_base_ = ['./h.py', './i.py']", "h": "x = 1", "i": "x = 2"}, "Duplicate key is not allowed"),
        "j": ({"j": "_base_ = '.'"}, "is not Python"),
        # Each of them reads two, without a circle: 2 ** 12 files.
        "k0": ({f"k{n}": f"_base_ = ['./k{n + 1}.py', './k{n + 1}.py']" for n in range(12)} | {"k12": ""}, MAX_FILES),
    }
    for files, message in cases.values():
        start = time.monotonic()
        with pytest.raises(UserInputError, match=str(message)) as caught:
            load_config(str(write(tmp_path, **files)))
        assert "\n" not in str(caught.value)
        assert time.monotonic() - start < 5


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.py")
    cases = {
        tmp_path: "is a folder; give a file in it",
        tmp_path / "fifo.py": "is no regular file",
        tmp_path / "none.py": "does not exist; the ready ones are listed by",
        tmp_path / ("long" * 100): "does not exist",
        "a\x00b.py": "does not exist",
    }
    for path, message in cases.items():
        with pytest.raises(UserInputError, match=message):
            load_config(str(path))


def test_a_ready_config_by_its_name_and_as_a_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmengine.config import Config as Original

    find = Original._get_cfg_path
    monkeypatch.chdir(tmp_path)
    ready = load_config("ce/ce_r32_digits")
    assert ready.filename == CONFIG and ready.model.backbone.depth == 32
    for base in ("lt_plugins::ce/ce_r32_digits", "lt_plugins::ce/ce_r32_digits.py"):
        own = write(tmp_path, mine=f"_base_ = ['{base}']\nmodel = dict(backbone=dict(depth=20))")
        assert load_config(str(own)).model.backbone.depth == 20
        assert load_config("mine").model.head == ready.model.head
    with pytest.raises(UserInputError, match=r"mine.py has _base_ lt_plugins::ce/ce_r32_digitz, .* 'ce/ce_r32_digits'"):
        load_config(str(write(tmp_path, mine="_base_ = 'lt_plugins::ce/ce_r32_digitz'")))
    with pytest.raises(UserInputError, match="did you mean 'lpa/lpa_r32_cifar100-lt'"):
        load_config("configs/lpa/lpa_r32_cifar100-l.py:lt50")
    assert Original._get_cfg_path is find


def test_an_empty_config_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="has no model"):
        load_config(str(write(tmp_path, empty="")))


def test_mmengine_reads_as_before_afterwards(tmp_path: Path) -> None:
    from mmengine.config import Config

    readers = (Config._file2dict, Config._parse_lazy_import)
    with pytest.raises(UserInputError):
        read_config(write(tmp_path, a="a = b"))
    assert read_config(CONFIG).model.head.num_classes == 10
    assert (Config._file2dict, Config._parse_lazy_import) == readers
    (tmp_path / "a.json").write_text('{"b": 1}')
    assert Config.fromfile(tmp_path / "a.json").b == 1


def test_overrides_that_do_not_fit() -> None:
    with pytest.raises(UserInputError, match="no 'modle'; did you mean 'model'"):
        load_config(CONFIG, {"modle.head.num_classes": 3})
    with pytest.raises(UserInputError, match="the config has no 'q'"):
        load_config(CONFIG, {"q": 3})
    for overrides in ({"custom_hooks.17.start": 3}, {"log_level.a": 3}, {"custom_hooks.0": "x"}):
        with pytest.raises(UserInputError, match="does not fit"):
            load_config(CONFIG, overrides)


# ------------------------------------------------------------------------------------------------ variants and stages

MODEL = """
model = dict(
    type="ImageClassifier",
    backbone=dict(type="CIFARResNet", depth=20, init_cfg=dict(type="Kaiming", layer="Conv2d")),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=64, topk=(1,)),
)
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9))
param_scheduler = [dict(type="LinearLR", end=5), dict(type="MultiStepLR", milestones=[160, 180])]
train_cfg = dict(by_epoch=True, max_epochs=200)
train_dataloader = dict(
    batch_size=8, dataset=dict(type="DigitsDataset", split="train"), sampler=dict(type="DefaultSampler", shuffle=True)
)
custom_hooks = [dict(type="ReclusterHook", task=dict(type="SubclassClustering"), start=160)]
load_from = "start.pth"
"""
STAGES = """
stage2 = dict(
    model=dict(type="FrozenBackboneClassifier", head=dict(type="CosineClsHead", scale=30)),
    optim_wrapper=dict(optimizer=dict(_delete_=True, type="Adam", lr=0.01)),
    train_cfg=dict(max_epochs=10),
    train_dataloader=dict(sampler=dict(_delete_=True, type="ClassAwareSampler")),
    custom_hooks=[],
)
stage3 = dict(train_cfg=dict(max_epochs=3), load_from="other.pth")
"""
VARIANTS = """
variants = dict(
    wide=dict(model=dict(backbone=dict(depth=32)), stage2=dict(model=dict(head=dict(scale=10)))),
    adam=dict(optim_wrapper=dict(optimizer=dict(_delete_=True, type="Adam", lr=0.5))),
    crt=dict(stage2=dict(model=dict(head=dict(_delete_=True, type="LinearClsHead")))),
)
"""


def staged(folder: Path, more: str = "") -> str:
    """A config in three stages with variants."""
    return str(write(folder, staged=MODEL + STAGES + VARIANTS + more))


def test_a_stage_is_the_stage_before_with_its_own_values_over_it(tmp_path: Path) -> None:
    first, second, third = read_stages(staged(tmp_path))
    assert first.model.type == "ImageClassifier" and first.train_cfg.max_epochs == 200
    assert second.model == {
        "type": "FrozenBackboneClassifier",
        "backbone": {"type": "CIFARResNet", "depth": 20, "init_cfg": None},
        "head": {"type": "CosineClsHead", "scale": 30, "num_classes": 10, "in_channels": 64},
    }
    assert second.optim_wrapper.optimizer == {"type": "Adam", "lr": 0.01}
    assert second.train_cfg == {"by_epoch": True, "max_epochs": 10}
    assert second.train_dataloader == {
        "batch_size": 8,
        "dataset": {"type": "DigitsDataset", "split": "train"},
        "sampler": {"type": "ClassAwareSampler"},
    }
    assert (second.custom_hooks, second.param_scheduler) == ([], first.param_scheduler)
    assert third.model == second.model and third.train_cfg.max_epochs == 3
    assert [stage.load_from for stage in (first, second, third)] == ["start.pth", None, "other.pth"]
    for stage in (first, second, third):
        assert not {"variants", "stage2", "stage3"} & {*stage.keys()}
        assert "_delete_" not in stage.pretty_text
        assert stage.filename == staged(tmp_path)


def test_a_model_without_a_type_is_merged_over_that_of_the_stage_before(tmp_path: Path) -> None:
    child = write(tmp_path, child=MODEL + "stage2 = dict(model=dict(head=dict(topk=(1, 5))), custom_hooks=[])\n")
    first, second = read_stages(str(child), {"model.backbone.depth": 32})
    backbone = {**first.model.backbone, "init_cfg": None}  # the stage before brings its weights
    assert second.model == {**first.model, "backbone": backbone, "head": {**first.model.head, "topk": (1, 5)}}
    assert (first.model.head.topk, first.model.backbone.depth) == ((1,), 32)
    assert first.model.backbone.init_cfg.type == "Kaiming"
    _, fresh = read_stages(str(child), {"stage2.from_scratch": True})
    assert fresh.model.backbone == {**first.model.backbone, "depth": 20}


@pytest.mark.parametrize("backbone", [{}, {"depth": 32}], ids=["inherited", "merged"])
def test_a_stage_from_scratch_begins_like_the_first(backbone: dict[str, Any], tmp_path: Path) -> None:
    """Also after a stage that took weights over: without its ``init_cfg=None``, another initialisation."""
    model = {"type": "ImageClassifier", **({"backbone": backbone} if backbone else {})}
    more = f"\nstage4 = dict(from_scratch=True, model={model!r})\nstage5 = dict(from_scratch=True, model={model!r})\n"
    first, *others = read_stages(staged(tmp_path, more))
    expected = {**first.model.backbone, **backbone}
    assert [stage.model.backbone.get("init_cfg", "") for stage in others[:2]] == [None, None]
    assert [stage.model.backbone for stage in others[2:]] == [expected, expected]
    plain = staged(tmp_path, f"{more}del model['backbone']['init_cfg']\n")
    assert all("init_cfg" not in stage.model.backbone for stage in read_stages(plain)[3:])


def test_a_head_of_the_same_type_takes_all_its_numbers_over() -> None:
    """So that an override of one reaches all stages."""
    path = str(ROOT / "configs/lcreg/lcreg_r32_digits.py")
    heads = [stage.model.head for stage in read_stages(path, {"model.head.num_latents": 9})]
    assert [head.num_latents for head in heads] == [9, 9]
    assert heads[1].recon_weight == 0 and "recon_weight" not in heads[0]
    other = dict(type="LWSClsHead", loss=dict(type="LabelAwareSmoothLoss"))
    _, second = read_stages(path, {"model.head.num_latents": 9, "stage2.model.head": {"_delete_": True, **other}})
    assert "num_latents" not in second.model.head and second.model.head.num_classes == 10


def test_a_stage_shares_nothing_with_another(tmp_path: Path) -> None:
    first, second, third = read_stages(staged(tmp_path))
    third.param_scheduler[0].end = 7
    second.model.backbone.depth = 44
    assert (first.param_scheduler[0].end, second.param_scheduler[0].end) == (5, 5)
    assert (first.model.backbone.depth, third.model.backbone.depth) == (20, 20)


def test_variants_are_merged_in_order(tmp_path: Path) -> None:
    path = staged(tmp_path)
    first, second, _ = read_stages(f"{path}:wide")
    assert (first.model.backbone.depth, second.model.backbone.depth, second.model.head.scale) == (32, 32, 10)
    first, second, _ = read_stages(f"{path}:wide,adam")
    assert first.optim_wrapper.optimizer == {"type": "Adam", "lr": 0.5} and first.model.backbone.depth == 32
    assert second.optim_wrapper.optimizer == {"type": "Adam", "lr": 0.01}
    heads = [read_stages(f"{path}:{names}")[1].model.head for names in ("wide,crt", "crt,wide")]
    assert heads[0] == {"type": "LinearClsHead", "num_classes": 10, "in_channels": 64}
    assert heads[1] == {**heads[0], "scale": 10}


def test_variants_of_a_base_are_there_too(tmp_path: Path) -> None:
    staged(tmp_path)
    child = write(tmp_path, child="_base_ = './staged.py'\nvariants = dict(wide=dict(train_cfg=dict(max_epochs=5)))\n")
    first, *_ = read_stages(f"{child}:wide,adam")
    assert (first.model.backbone.depth, first.train_cfg.max_epochs) == (32, 5)
    assert first.optim_wrapper.optimizer.type == "Adam"


def test_a_variant_adds_a_stage(tmp_path: Path) -> None:
    child = write(
        tmp_path,
        child=f"_base_ = {CONFIG!r}\n"
        "variants = dict(two=dict(stage2=dict(train_cfg=dict(max_epochs=2), custom_hooks=[])), late=dict(stage3={}))\n",
    )
    assert len(read_stages(str(child))) == 1
    first, second = read_stages(f"{child}:two", {"stage2.train_cfg.max_epochs": 4})
    assert (first.train_cfg.max_epochs, second.train_cfg.max_epochs) == (30, 4)
    assert len(read_stages(f"{child}:two,stage1")) == 1
    with pytest.raises(UserInputError, match="has stage3 without stage2"):
        read_stages(f"{child}:late")


def test_the_first_stages_alone(tmp_path: Path) -> None:
    path = staged(tmp_path)
    assert len(read_stages(f"{path}:stage2,wide")) == 2
    [first] = read_stages(f"{path}:wide,stage1")
    assert first.model.backbone.depth == 32
    with pytest.raises(UserInputError, match=r"stage 4 is asked for, but .* has 3 stages"):
        read_stages(f"{path}:stage4")
    with pytest.raises(UserInputError, match=r"stage 2 is asked for, but .* has one stage"):
        load_config(CONFIG, stage=2)
    assert load_config(CONFIG, stage=1).model.type == "ImageClassifier"


REACH: dict[str, tuple[dict[str, Any], str, list[Any]]] = {
    "the data reach all": (
        {"train_dataloader.dataset.split": "test"},
        "train_dataloader.dataset.split",
        ["test", "test", "test"],
    ),
    "a stage alone, and those after it": ({"stage2.randomness.seed": 3}, "randomness.seed", [None, 3, 3]),
    "what a stage says itself stays": ({"train_cfg.max_epochs": 4}, "train_cfg.max_epochs", [4, 10, 3]),
    "what a stage says can be overridden": ({"stage3.train_cfg.max_epochs": 4}, "train_cfg.max_epochs", [200, 10, 4]),
    "nested": ({"stage2": {"train_cfg": {"max_epochs": 4}}}, "train_cfg.max_epochs", [200, 4, 3]),
    "into a list": (
        {"custom_hooks.0.start": 4},
        "custom_hooks",
        [[{"type": "ReclusterHook", "task": {"type": "SubclassClustering"}, "start": 4}], [], []],
    ),
    "into a list of the stage before": ({"stage2.param_scheduler.0.end": 9}, "param_scheduler.0.end", [5, 9, 9]),
    "the backbone goes on": ({"model.backbone.depth": 44}, "model.backbone.depth", [44, 44, 44]),
    "the classes go on": ({"model.head.num_classes": 4}, "model.head.num_classes", [4, 4, 4]),
    "weights do not": ({"load_from": "x.pth"}, "load_from", ["x.pth", None, "other.pth"]),
}


def value(cfg: Config, key: str) -> Any:
    """The value of a dotted key; None if there is none."""
    node: Any = cfg._cfg_dict
    for part in key.split("."):
        node = node[int(part)] if part.isdigit() else (node or {}).get(part)
    return node


@pytest.mark.parametrize("name", REACH)
def test_what_an_override_reaches(name: str, tmp_path: Path) -> None:
    overrides, key, expected = REACH[name]
    assert [value(stage, key) for stage in read_stages(staged(tmp_path), overrides)] == expected


WRONG: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "no such variant": (":wode", "", {}, r"config .*staged.py has no variant 'wode'; did you mean 'wide'\?"),
    "far from any": (":x", "", {}, "has no variant 'x'; it has adam, crt, wide"),
    "variants that are none": (":wide", "variants = 3", {}, "has variants=3, expected variants = dict"),
    "a reserved name": ("", "variants['short2'] = dict()", {}, "a variant called 'short2'; use letters"),
    "a variant with an unknown key": (
        ":a",
        "variants['a'] = dict(modle=1)",
        {},
        "variant a of .*'modle'; did you mean",
    ),
    "a variant that does not fit": (":a", "variants['a'] = dict(load_from=dict(x=1))", {}, "variant a does not fit"),
    "a stage that is none": ("", "stage2 = 3", {}, "has stage2=3, expected stage2 = dict"),
    "a gap": ("", "del stage2", {}, "has stage3 without stage2; name it stage2"),
    "the file is stage 1": ("", "stage1 = dict()", {}, "has stage1 without stage2; the file itself is stage 1"),
    "a stage within a stage": ("", "stage2['stage3'] = dict()", {}, "has stage3 inside of stage2; move it beside it"),
    "variants within a stage": ("", "stage2['variants'] = dict()", {}, "has variants inside of stage2"),
    "a stage that does not fit": ("", "stage2['load_from'] = dict(a=1)", {}, "stage2 does not fit .*load_from"),
    "an unknown key of a stage": (
        "",
        "",
        {"stage2.trian_cfg.x": 1},
        "--cfg-options stage2.trian_cfg.x: .*did you mean",
    ),
    "a nested unknown key": ("", "", {"stage2": {"trian_cfg": 1}}, "--cfg-options stage2: .*'trian_cfg'; did you mean"),
    "no such stage": ("", "", {"stage4.train_cfg.max_epochs": 1}, "has no 'stage4'"),
    "an override that does not fit": ("", "", {"custom_hooks.7.start": 1}, "--cfg-options .* does not fit"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_in_variants_and_stages(name: str, tmp_path: Path) -> None:
    variants, more, overrides, message = WRONG[name]
    with pytest.raises(UserInputError, match=message) as caught:
        read_stages(staged(tmp_path, more) + variants, overrides)
    assert "\n" not in str(caught.value)


def test_every_stage_is_checked(tmp_path: Path) -> None:
    path = write(tmp_path, c=f"_base_ = {CONFIG!r}\nstage2 = dict(train_cfg=dict(max_epochs=-1))")
    with pytest.raises(UserInputError, match=r"stage 2 of .*c.py: train_cfg.max_epochs=-1 in the config must be"):
        load_config(str(path), stage=1)
    path.write_text(f"_base_ = {CONFIG!r}\nstage2 = dict(optim_wrapper=None)")
    assert len(load_stages(f"{path}:stage1", needs=["train"])) == 1
    with pytest.raises(UserInputError, match=r"stage 2 of .* has no optim_wrapper"):
        load_stages(str(path), needs=["train"])


def test_hooks_follow_the_length_of_their_own_stage(tmp_path: Path) -> None:
    text = """
recluster = dict(type="ReclusterHook", task=dict(type="SubclassClustering"), start=6, interval=5)
custom_hooks = [recluster]
stage2 = dict(train_cfg=dict(max_epochs=20), custom_hooks=[dict(recluster, start=10)])
stage3 = dict(custom_hooks=[dict(recluster, start=10)], param_scheduler=[])
"""
    path = str(write(tmp_path, c=f"_base_ = {CONFIG!r}{text}"))
    for overrides, starts in {
        (): (6, 10, 10),
        (("train_cfg.max_epochs", 60),): (12, 10, 10),
        (("stage2.train_cfg.max_epochs", 40),): (6, 20, 20),
        (("stage2.train_cfg.max_epochs", 40), ("stage2.custom_hooks.0.start", 3)): (6, 3, 20),
        (("train_cfg.max_epochs", 60), ("custom_hooks.0.start", 3)): (3, 10, 10),
    }.items():
        stages = load_stages(path, dict(overrides))
        assert tuple(stage.custom_hooks[0].start for stage in stages) == starts, overrides
    stages = load_stages(path, {"param_scheduler.0.end": 4})
    assert [stage.get("written_schedule") for stage in stages] == [{"is_given": True}, {"is_given": True}, None]


def test_a_config_of_old_is_answered_with_its_new_spelling() -> None:
    with pytest.raises(UserInputError) as caught:
        load_config(str(ROOT / "configs/baselines/ce/ce_r32_cifar10-lt50.py"))
    assert str(caught.value).endswith(
        "has moved: it is " + str(ROOT / "configs/ce/ce_r32_cifar10-lt.py:lt50") + " now."
    )
