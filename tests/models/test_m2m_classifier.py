"""Major-to-minor translation: against a slow reference, and what it leaves as it is."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lt_plugins.checks.mixed_labels import check_mixed_labels
from lt_plugins.engine.optim_wrappers.two_passes import TwoPasses
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.major_to_minor import descend, draw_seeds, perturb
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS
from lt_plugins.runs.config import load_stages
from tests.engine.test_no_waiting import noted_waits
from tests.engine.test_resume import assert_identical
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DIGITS = CONFIGS / "ce/ce_r32_digits.py"
COUNTS = [40, 12, 5, 5]
LABELS = torch.tensor([0, 3, 1, 0, 2, 1, 3, 2, 0, 1, 3, 2])
PIXELS = {"mean": [125.307, 122.961, 113.8575], "std": [51.5865, 50.847, 51.255], "to_rgb": True}
LINEAR = {"type": "LinearHead", "num_classes": 4, "in_channels": 64}
COSINE = {**LINEAR, "type": "CosineClsHead", "loss": {"type": "LDAMLoss"}}


class SmallBackbone(nn.Module):
    """A layer with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3, 2, 1)
        self.norm = nn.BatchNorm2d(64)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.norm(self.conv(images)).relu(),)


def network(seed: int, kind: str = "ImageClassifier", **changes: Any) -> Any:
    """A small classifier whose batch norm has seen some images, and whose logits differ."""
    torch.manual_seed(seed)
    parts = {"backbone": {"type": "CIFARResNet", "depth": 20}, "neck": {"type": "GlobalAveragePooling"}}
    cfg = {"type": kind, **parts, "head": LINEAR, "data_preprocessor": PIXELS, **changes}
    model = MODELS.build(copy.deepcopy(cfg))
    model.init_weights()
    model.backbone = SmallBackbone()
    with torch.no_grad():
        model.head.fc.weight.mul_(30)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer += 0.2 * torch.rand_like(buffer)
    for module in model.modules():
        if hasattr(module, "set_counts"):
            module.set_counts(COUNTS)
    return model.train()


def student(**changes: Any) -> Any:
    """A classifier with a random teacher, which accepts whatever it is given unless ``gamma`` says else."""
    model = network(0, "M2mClassifier", **{"teachers": [{"stage": 1}], "gamma": 0.0, "beta": 0.9, **changes})
    model.set_teachers([network(1)])
    return model


def raw_images(size: int = 8, seed: int = 0) -> Tensor:
    """Images of a data loader, BGR and up to 255."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (len(LABELS), 3, size, size), generator=generator, dtype=torch.uint8)


def images_of(model: Any, size: int = 8) -> Tensor:
    """The same, preprocessed."""
    inputs: Tensor = model.data_preprocessor({"inputs": raw_images(size)})["inputs"]
    return inputs.to(next(model.parameters()).dtype)


def batch() -> LabelBatch:
    return LabelBatch(LABELS, sample_idx=torch.arange(len(LABELS)))


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


# ------------------------------------------------------------------------------------------------- against a reference


def slow_seeds(counts: list[float], beta: float, draws: list[float]) -> tuple[list[int | None], list[float]]:
    """Seeds and their chances, written from the paper with loops; no seed where there is none."""
    seeds: list[int | None] = []
    accepted = []
    for own, draw in zip(counts, draws, strict=True):
        chances = [1 - beta ** max(other - own, 0) for other in counts]
        below, seed = 0.0, None
        for position, chance in enumerate(chances):
            if chance > 0 and below <= draw * sum(chances) < below + chance:
                seed = position
            below += chance
        seeds.append(seed)
        accepted.append(0.0 if seed is None else chances[seed])
    return seeds, accepted


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.999])
def test_seeds_are_of_more_frequent_classes(beta: float) -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        counts = generator.choice([500, 100, 30, 30, 4], size=9).astype(float)
        draws = generator.random(9)
        seeds, chances = draw_seeds(torch.from_numpy(counts), beta, torch.from_numpy(draws))
        expected, slow_chances = slow_seeds(counts.tolist(), beta, draws.tolist())
        np.testing.assert_allclose(chances, slow_chances, rtol=1e-12)
        assert [seed for seed, known in zip(seeds.tolist(), expected, strict=True) if known is not None] == [
            known for known in expected if known is not None
        ]
        assert all(0 <= seed < 9 for seed in seeds.tolist())


def test_seeds_come_as_often_as_their_chances() -> None:
    counts = torch.tensor([4.0, 5.0, 10.0, 4.0, 30.0], dtype=torch.float64)
    found = torch.zeros(5, dtype=torch.float64)
    torch.manual_seed(0)
    for _ in range(4000):
        found[draw_seeds(counts, 0.9, torch.rand(5, dtype=torch.float64))[0][0]] += 1
    chances = torch.tensor([0, 1 - 0.9, 1 - 0.9**6, 0, 1 - 0.9**26], dtype=torch.float64)
    expected = 4000 * chances / chances.sum()
    assert ((found - expected).abs() <= 4 * expected.sqrt()).all()


def test_extreme_draws_have_a_seed() -> None:
    counts = torch.tensor([1.0, 7.0, 3.0, 1.0], dtype=torch.float64)
    for draw, seed in ((0.0, 1), (math.nextafter(1, 0), 2)):
        assert draw_seeds(counts, 0.999, torch.full((4,), draw, dtype=torch.float64))[0][0] == seed


def test_noise_is_bounded_in_each_image() -> None:
    torch.manual_seed(0)
    pixels = torch.full((5, 3, 8, 8), 0.5, dtype=torch.float64)
    for bound, expected in ((0.5, 0.5), (0.0, 0.0)):
        norms = (perturb(pixels, bound) - pixels).flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, torch.full((5,), expected, dtype=torch.float64))
    tiny = torch.full((2, 3, 1, 1), 0.5)
    assert ((perturb(tiny, 0.9) - tiny).flatten(1).norm(dim=1) < 0.9).all(), "what is short enough is not stretched"
    white = perturb(torch.ones(2, 3, 8, 8), 50.0)
    assert white.min() > 0
    assert white.max() == 1


def test_steps_of_linear_networks_with_the_gradient_by_hand() -> None:
    """Of softmax regression the gradient is known: W^T (p - e_k) + lambda v_k0."""
    generator = np.random.default_rng(1)
    weight, away = generator.normal(size=(4, 12)), generator.normal(size=(4, 12))
    start, labels, seed_labels = generator.random((3, 12)), [0, 2, 3], [1, 0, 0]
    expected = start.copy()
    for row, (label, seed_label) in enumerate(zip(labels, seed_labels, strict=True)):
        for _ in range(6):
            scores = np.exp(weight @ expected[row])
            gradient = weight.T @ (scores / scores.sum() - np.eye(4)[label]) + 0.5 * away[seed_label]
            expected[row] = np.clip(expected[row] - 0.2 * gradient / np.sqrt((gradient**2).sum()), 0, 1)

    def objective(pixels: Tensor) -> Tensor:
        flat = pixels.flatten(1)
        logits, others = flat @ torch.from_numpy(weight).T, flat @ torch.from_numpy(away).T
        cross_entropy = nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="none")
        return cross_entropy + 0.5 * others[[0, 1, 2], seed_labels]

    pixels = torch.from_numpy(start).view(3, 3, 2, 2)
    found = descend(pixels, objective, num_steps=6, step_size=0.2)
    np.testing.assert_allclose(found.flatten(1), expected, rtol=1e-9)
    assert np.isin(expected, [0, 1]).any(), "some pixel meets a bound"
    assert torch.equal(pixels, torch.from_numpy(start).view(3, 3, 2, 2))
    assert not found.requires_grad


def slow_translation(model: Any, raw: Tensor, seed: int) -> tuple[Tensor, list[bool], list[bool]]:
    """The batch after the translation, and what was tried and accepted, with gradients by finite differences."""
    teacher, frozen = model.teachers[0], copy.deepcopy(model).eval()
    mean, std = (torch.tensor(PIXELS[key], dtype=torch.float64).view(3, 1, 1) for key in ("mean", "std"))
    pixels = raw.flip(1).double() / 255

    def normalise(x: Tensor) -> Tensor:
        return (255 * x - mean) / std

    def logits(network: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            return network.head(network.extract_feat(normalise(x)))

    torch.manual_seed(seed)
    keep, choose, accept = torch.rand(3, len(LABELS), dtype=torch.float64).tolist()
    noise = torch.rand_like(pixels) - 0.5
    counts = [float(COUNTS[label]) for label in LABELS.tolist()]
    seeds, chances = slow_seeds(counts, model.beta, choose)
    images, tried, accepted = normalise(pixels), [], []
    for row, (label, position) in enumerate(zip(LABELS.tolist(), seeds, strict=True)):
        tried.append(keep[row] >= counts[row] / max(COUNTS) and position is not None)
        accepted.append(False)
        if not tried[row]:
            continue
        source = int(LABELS[position])
        scale = getattr(model.head, "scale", 1.0)
        x = pixels[position] + noise[row] * min(1, model.noise_norm / float(noise[row].norm()))
        x = x.clamp(0, 1)
        for _ in range(model.num_steps):
            offsets = 1e-6 * torch.eye(x.numel(), dtype=torch.float64).view(-1, *x.shape)
            values = []
            for moved in (x + offsets, x - offsets):
                cross_entropy = -logits(teacher, moved).log_softmax(1)[:, label]
                values.append(cross_entropy + model.lam * logits(frozen, moved)[:, source] / scale)
            gradient = ((values[0] - values[1]) / 2e-6).view_as(x)
            x = (x - model.step_size * gradient / gradient.norm()).clamp(0, 1)
        sure = float(logits(teacher, x[None]).softmax(1)[0, label])
        accepted[row] = sure >= model.gamma and accept[row] < chances[row]
        if accepted[row]:
            images[row] = normalise(x)
    return images, tried, accepted


@pytest.mark.parametrize("head", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_translation_is_that_of_the_paper(head: dict[str, Any]) -> None:
    model = student(head=head, num_steps=3, gamma=0.3, lam=0.7).double()
    raw = raw_images(6)
    expected, tried, accepted = slow_translation(model, raw, seed=5)
    torch.manual_seed(5)
    found = model.translate(model.data_preprocessor({"inputs": raw})["inputs"].double(), LABELS)
    assert found.tried.tolist() == tried
    assert found.accepted.tolist() == accepted
    torch.testing.assert_close(found.images, expected, rtol=0, atol=2e-4)  # 255 / 51 times the error of a pixel
    assert 0 < sum(accepted) < sum(tried) < len(tried), "the case has all kinds"


# ---------------------------------------------------------------------------------------------------------- reductions


def test_without_imbalance_nothing_is_replaced() -> None:
    model = student()
    model.class_distribution.set_counts([7, 7, 7, 7])
    images = images_of(model)
    losses, plain = model.loss(images, batch()), network(0).loss(images, batch())
    assert losses["translated"] == losses["accepted"] == 0
    assert torch.equal(losses["loss"], plain["loss"])


def test_a_threshold_above_one_accepts_nothing() -> None:
    model = student(gamma=1.01)
    images = images_of(model)
    found = model.translate(images, LABELS)
    assert found.tried.any()
    assert not found.accepted.any()
    assert torch.equal(found.images, images)


def test_without_steps_a_translation_is_its_seed_with_noise() -> None:
    model = student(num_steps=0).double()
    images = images_of(model)
    torch.manual_seed(3)
    found = model.translate(images, LABELS)
    torch.manual_seed(3)
    torch.rand(3, len(LABELS), dtype=torch.float64)
    noise = torch.rand_like(images) - 0.5
    noise = 0.5 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    start = (raw_images().flip(1).double() / 255)[found.seeds] + noise
    assert found.accepted.any()
    expected = torch.where(found.accepted.view(-1, 1, 1, 1), _normalised(model, start.clamp(0, 1)), images)
    torch.testing.assert_close(found.images, expected, rtol=0, atol=1e-6)
    assert all(COUNTS[LABELS[s]] > COUNTS[LABELS[i]] for i, s in enumerate(found.seeds.tolist()) if found.tried[i])


def _normalised(model: Any, pixels: Tensor) -> Tensor:
    """RGB in [0, 1], through the data preprocessor itself, which takes BGR."""
    normalised: Tensor = model.data_preprocessor({"inputs": 255 * pixels.flip(1)})["inputs"]
    return normalised.to(pixels.dtype)


def test_images_are_kept_as_often_as_their_class_is_rare() -> None:
    """With n_k / n_1: all of the largest class."""
    model = student(num_steps=0, beta=0.0)
    images, found = images_of(model), torch.zeros(len(LABELS))
    torch.manual_seed(0)
    for _ in range(600):
        found += model.translate(images, LABELS).tried / 600
    expected = torch.tensor([1 - COUNTS[label] / 40 for label in LABELS])
    assert (found - expected).abs().max() < 0.08
    assert (found[LABELS == 0] == 0).all()


def test_before_its_epoch_it_is_a_plain_classifier() -> None:
    model = student(translate_from=160)
    images = images_of(model)
    state = torch.get_rng_state()
    for epoch, text in ((0, "as they are"), (159, "as they are"), (160, "turned into rare ones")):
        assert text in model.set_epoch(epoch, 200)
        if epoch < 160:
            assert model.loss(images, batch()).keys() == {"loss"}
            assert torch.equal(torch.get_rng_state(), state)
    losses = model.loss(images, batch())
    assert losses.keys() == {"loss", "translated", "accepted"}
    assert 0 < losses["accepted"] <= losses["translated"] < 1


# --------------------------------------------------------------------------------------------- what stays as it is


def test_pixels_are_those_of_the_data_loader() -> None:
    model = student()
    pixels, normalised = model.pixels(images_of(model)), images_of(model)
    assert (255 * pixels - raw_images().flip(1)).abs().max() < 1e-4
    torch.testing.assert_close(model._normalise(pixels), normalised, rtol=0, atol=1e-5)
    model.data_preprocessor = MODELS.build({"type": "ImageBatchPreprocessor"})
    assert torch.equal(model.pixels(images_of(model)), raw_images() / 255)


def test_kept_images_and_running_statistics_stay() -> None:
    """Bit for bit; and each module is again in the mode that it was in."""
    model = student()
    model.backbone.norm.eval()
    modes = [module.training for module in model.modules()]
    images = images_of(model)
    before, teacher = statistics(model), {k: v.clone() for k, v in model.teachers[0].state_dict().items()}
    found = model.translate(images, LABELS)
    assert torch.equal(found.images[~found.accepted], images[~found.accepted])
    assert not torch.isclose(found.images[found.accepted], images[found.accepted]).flatten(1).all(1).any()
    assert all(torch.equal(value, before[name]) for name, value in statistics(model).items())
    assert all(torch.equal(value, teacher[name]) for name, value in model.teachers[0].state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in (*model.parameters(), *model.teachers[0].parameters()))


def test_the_step_is_a_plain_one_of_the_translated_batch() -> None:
    """Gradients, and running statistics of one pass in training mode."""
    model, plain = student(), network(0)
    images = images_of(model)
    torch.manual_seed(2)
    found = copy.copy(model).translate(images, LABELS)
    torch.manual_seed(2)
    losses = model.loss(images, batch())
    losses["loss"].backward()
    plain.loss(found.images, batch())["loss"].backward()
    assert losses["accepted"] == found.accepted.float().mean() > 0
    expected = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.grad, expected[name].grad), name
    for name, buffer in plain.named_buffers():
        assert torch.equal(buffer, model.get_buffer(name)), name
    assert all(parameter.grad is None for parameter in model.teachers[0].parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_has_the_same_translations(dtype: torch.dtype) -> None:
    model = student()
    images = images_of(model)
    torch.manual_seed(4)
    expected = model.translate(images, LABELS)
    torch.manual_seed(4)
    with torch.autocast("cpu", dtype):
        found = model.translate(images, LABELS)
    assert found.images.dtype == torch.float32
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_the_second_pass_of_a_step_has_the_translations_of_the_first() -> None:
    """Also when the weights have moved in between."""
    model = student()
    images, seen = images_of(model), []
    model.backbone.register_forward_pre_hook(
        lambda module, args: seen.append(args[0]) if module.training else None  # not in the midst of the translation
    )
    passes = TwoPasses(model, updates_batch_norm=False)
    with passes.first():
        first = model(inputs=images, data_samples=batch(), mode="loss")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01
    with passes.second():
        pass
    assert len(seen) == 2
    assert seen[0] is seen[1]
    assert first["accepted"] > 0
    model.loss(images, batch())
    assert seen[2] is not seen[0], "the next step has its own"
    copy.deepcopy(model)


def test_no_step_waits_for_the_device() -> None:
    model = student()
    images = images_of(model)
    model.loss(images, batch())
    with noted_waits() as names:
        model.loss(images, batch())
    assert names == []


def test_empty_classes_do_not_count() -> None:
    model = student()
    images, labels = images_of(model), LABELS.clamp(max=2)
    found = []
    for counts in ([40, 12, 5, 0], [40, 12, 5, 5]):
        model.class_distribution.set_counts(counts)
        torch.manual_seed(0)
        found.append(model.translate(images, labels).images)
    assert torch.equal(*found)


# ------------------------------------------------------------------------------------------------------------ mistakes


def test_mistakes() -> None:
    for name in ("translate_from", "lam", "gamma", "num_steps", "step_size", "noise_norm"):
        with pytest.raises(UserInputError, match=f"{name}=-1 of M2mClassifier must be 0 or more"):
            student(**{name: -1})
    with pytest.raises(UserInputError, match=r"beta=1.0 must be in \[0, 1\), like 0.999"):
        student(beta=1.0)
    with pytest.raises(UserInputError, match="names 2 networks, and M2mClassifier translates images by one"):
        student(teachers=[{"stage": 1}, {"stage": 2}])
    alone = network(0, "M2mClassifier", teachers=[])
    with pytest.raises(UserInputError, match=r"M2mClassifier learns from teachers, and has none; .*stage=1"):
        alone.loss(images_of(alone), batch())
    mixing = student(
        data_preprocessor={
            **PIXELS,
            "num_classes": 4,
            "to_onehot": True,
            "batch_augments": {"augments": {"type": "Mixup", "alpha": 1.0}},
        }
    )
    with pytest.raises(UserInputError, match="M2mClassifier takes one label an image"):
        check_mixed_labels(mixing)


# ---------------------------------------------------------------------------------------------------------- whole runs


def test_a_shortened_run_translates_earlier() -> None:
    second = load_stages(str(CONFIGS / "m2m/m2m_r32_cifar100-lt.py"), shorten=10)[1]
    assert second.train_cfg.max_epochs == 20
    assert second.model.translate_from == second.train_dataloader.sampler.start == 16


def test_a_resumed_run_ends_with_the_same_weights(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The translation begins in the second of three epochs, and the resumed run takes the last one."""
    monkeypatch.setattr(Config, "pretty_text", "")  # formatting it takes seconds
    pixels = load_stages(str(DIGITS))[0].data_preprocessor.to_dict()
    head = {"type": "LinearHead", "num_classes": 10, "in_channels": 64}
    teacher = {"type": "ImageClassifier", "neck": {"type": "GlobalAveragePooling"}, "head": head}
    teacher |= {"backbone": {"type": "CIFARResNet", "depth": 20}, "data_preprocessor": pixels}
    settings: dict[str, Any] = {
        "scale_schedule": False,
        "val_cfg": None,
        "val_dataloader": None,
        "val_evaluator": None,
        "model.type": "M2mClassifier",
        "model.translate_from": 1,
        "model.gamma": 0.05,
        "model.num_steps": 2,
        "model.beta": 0.5,
        "default_hooks.logger.interval": 1,
        "default_hooks.checkpoint.min_seconds": 0,
        "default_hooks.checkpoint.max_keep_ckpts": 3,
        "train_dataloader.sampler": {"_delete_": True, "type": "ClassBalancedSampler"},
    }
    torch.manual_seed(1)
    frozen = MODELS.build(copy.deepcopy(teacher))
    frozen.init_weights()
    torch.save({"state_dict": frozen.state_dict()}, tmp_path / "teacher.pth")
    settings["model.teachers"] = [{"model": teacher, "checkpoint": str(tmp_path / "teacher.pth")}]
    alone = make_runner(**settings, work_dir=str(tmp_path / "alone"))
    alone.train()
    shares = {name: alone.message_hub.get_scalar(f"train/{name}").data[0] for name in ("translated", "accepted")}
    assert all(0 < values.mean() < 1 for values in shares.values())
    resumed = make_runner(
        **settings, work_dir=str(tmp_path / "resumed"), resume=True, load_from=str(tmp_path / "alone/epoch_2.pth")
    )
    resumed.train()
    assert resumed.epoch == alone.epoch == 3
    for part in ("model", "optim_wrapper"):
        assert_identical(getattr(resumed, part).state_dict(), getattr(alone, part).state_dict(), part)


def gradients_of_rank(seed: int) -> dict[str, Tensor]:
    """Gradients of a process, and the share that it accepted; the same images are of other classes by rank."""
    rank = dist.get_rank() if dist.is_initialized() else seed
    model = student()
    wrapped = DistributedDataParallel(model) if dist.is_initialized() else model
    images, labels = images_of(model).roll(rank, 0), LABELS.roll(2 * rank)
    torch.manual_seed(rank)
    losses = wrapped(images, LabelBatch(labels, sample_idx=torch.arange(len(labels))), mode="loss")
    losses["loss"].backward()
    return {"accepted": losses["accepted"], **{name: p.grad for name, p in model.named_parameters()}}


def test_two_processes_share_the_gradients_of_their_own_translations(tmp_path: Path) -> None:
    found = run_gloo(gradients_of_rank, 0, folder=tmp_path)
    alone = [gradients_of_rank(rank) for rank in range(2)]
    assert alone[0]["accepted"] != alone[1]["accepted"]
    for rank in range(2):
        assert found[rank]["accepted"] == alone[rank]["accepted"] > 0
        for name in set(alone[0]) - {"accepted"}:
            torch.testing.assert_close(found[rank][name], (alone[0][name] + alone[1][name]) / 2, rtol=1e-4, atol=1e-6)
