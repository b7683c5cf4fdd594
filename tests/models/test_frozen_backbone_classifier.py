"""The second stage: what is frozen, and what it takes from the first."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from lt_plugins.engine.hooks import CheckpointFitHook
from lt_plugins.errors import UserInputError
from tests.small_runs import make_runner  # noqa: F401 (a fixture)

FROZEN = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(type="CIFARResNet", depth=20),
    head=dict(type="LinearClsHead", num_classes=10, in_channels=64),
)


def build(norm_eval=True, **kwargs):
    torch.manual_seed(0)
    model = MODELS.build({**copy.deepcopy(FROZEN), "norm_eval": norm_eval, **kwargs})
    model.init_weights()
    return model.train()


def step(model):
    """One optimiser step on four images."""
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 3)]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1)
    loss = model.loss(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)), samples)["loss"]
    loss.backward()
    optimiser.step()
    return loss


@pytest.mark.parametrize("norm_eval", [True, False])
def test_only_the_head_learns(norm_eval):
    model = build(norm_eval)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["head.fc.weight", "head.fc.bias"]
    before = copy.deepcopy(model.state_dict())
    step(model)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    statistics = {key for key in before if "running" in key or "num_batches" in key}
    assert changed == {"head.fc.weight", "head.fc.bias"} | (set() if norm_eval else statistics)


def test_features_carry_no_gradient_but_what_the_head_makes_of_them_does():
    neck = dict(type="GeneralizedMeanPooling")  # its exponent is a parameter
    model = build(neck=neck, head=dict(type="StackedLinearClsHead", num_classes=3, in_channels=64, mid_channels=[8]))
    assert [parameter.requires_grad for parameter in model.neck.parameters()] == [False]
    images = torch.randn(2, 3, 32, 32)
    for stage in ("backbone", "neck"):
        assert not model.extract_feat(images, stage)[-1].requires_grad
    assert model.extract_feat(images, "pre_logits").requires_grad


@pytest.mark.parametrize("norm_eval", [True, False])
def test_batch_norm_normalises_as_asked(norm_eval):
    """Frozen statistics give an image the same feature in any batch; those of the batch do not, unless evaluated."""
    model = build(norm_eval)
    images = torch.randn(6, 3, 32, 32)

    def feature_depends_on_batch():
        return not torch.allclose(model.extract_feat(images)[-1][:2], model.extract_feat(images[:2])[-1], atol=1e-5)

    assert feature_depends_on_batch() != norm_eval
    model.eval()
    assert not feature_depends_on_batch()
    assert not any(module.training for module in model.modules())
    model.train()
    assert model.head.training
    assert feature_depends_on_batch() != norm_eval


def test_dropout_of_the_backbone_stays_off_where_batch_norms_train():
    backbone = dict(type="ResNet", depth=18, drop_path_rate=0.5)
    model = build(norm_eval=False, backbone=backbone, head=dict(type="LinearClsHead", num_classes=3, in_channels=512))
    training = {type(module).__name__ for module in model.backbone.modules() if module.training}
    assert training == {"BatchNorm2d"}


def test_two_views_are_refused():
    with pytest.raises(UserInputError, match="remove MultiView"):
        build().loss([torch.zeros(2, 3, 32, 32)] * 2, [DataSample()] * 2)


# ------------------------------------------------------------------------------------------- what it starts from

PROJECTOR = dict(type="MLPProjector", in_channels=64, hidden_channels=16, out_channels=8)
STAGE_1 = {
    "ImageClassifier": dict(head=FROZEN["head"], neck=dict(type="GlobalAveragePooling")),
    "TwoViewClassifier": dict(
        projector=PROJECTOR,
        projection_dim=8,
        head=dict(type="SupConHead", num_classes=10, in_channels=64, loss=dict(type="SupConLoss")),
    ),
    "MomentumClassifier": dict(
        projector=PROJECTOR,
        projection_dim=8,
        queue_size=8,
        head=dict(type="PaCoHead", num_classes=10, in_channels=64),
    ),
}


def first_stage(kind, depth=20):
    torch.manual_seed(3)
    model = MODELS.build(
        dict(type=kind, backbone=dict(type="CIFARResNet", depth=depth), **copy.deepcopy(STAGE_1[kind]))
    )
    model.init_weights()
    return model


def frozen_runner(make, **overrides):
    return make(**{"model.type": FROZEN["type"], "train_cfg.max_epochs": 1, **overrides})


def start_of_training(runner):
    """Train, and return the weights that the first epoch began with."""
    initial = {}
    runner.hooks[-1].before_train_epoch = lambda *_: initial.update(copy.deepcopy(runner.model.state_dict()))
    runner.train()
    return initial


@pytest.mark.parametrize("kind", STAGE_1)
def test_takes_the_backbone_but_no_classifier_of_stage_1(kind, make_runner, tmp_path):  # noqa: F811
    """All of them have a ``head.fc`` of the same shape, which must not become the start of the second stage's."""
    earlier = first_stage(kind)
    torch.save({"state_dict": earlier.state_dict()}, tmp_path / "stage1.pth")
    runner = frozen_runner(make_runner, load_from=str(tmp_path / "stage1.pth"))
    initial = start_of_training(runner)
    for key, value in earlier.backbone.state_dict().items():
        assert torch.equal(initial[f"backbone.{key}"], value), key
        assert torch.equal(runner.model.state_dict()[f"backbone.{key}"], value), key
    assert initial["head.fc.weight"].shape == earlier.head.fc.weight.shape
    assert not torch.equal(initial["head.fc.weight"], earlier.head.fc.weight)
    reference = frozen_runner(make_runner)
    reference._init_model_weights()
    assert torch.equal(initial["head.fc.weight"], reference.model.head.fc.weight)


def test_its_own_checkpoints_keep_the_classifier(make_runner, tmp_path):  # noqa: F811
    torch.save({"state_dict": first_stage("ImageClassifier").state_dict()}, tmp_path / "stage1.pth")
    runner = frozen_runner(make_runner, load_from=str(tmp_path / "stage1.pth"))
    runner.train()
    trained = runner.model.head.fc.weight
    tested = frozen_runner(make_runner, load_from=f"{runner.work_dir}/epoch_1.pth")
    tested.test()
    assert torch.equal(tested.model.head.fc.weight, trained)
    goes_on = {"load_from": f"{runner.work_dir}/epoch_1.pth", "resume": True, "train_cfg.max_epochs": 2}
    initial = start_of_training(frozen_runner(make_runner, **goes_on))
    assert torch.equal(initial["head.fc.weight"], trained)


def test_random_features_are_refused(make_runner):  # noqa: F811
    with pytest.raises(UserInputError, match="let it be stage2 of the config that trains it"):
        frozen_runner(make_runner).train()


def test_pretrained_features_are_accepted(tmp_path):
    torch.save(first_stage("ImageClassifier").backbone.state_dict(), tmp_path / "backbone.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "backbone.pth"))
    model = build(backbone=dict(**FROZEN["backbone"], init_cfg=init_cfg))
    CheckpointFitHook().before_train(SimpleNamespace(model=model, _train_loop=None))


def test_half_a_backbone_is_refused(make_runner, tmp_path):  # noqa: F811
    """A backbone that is trained may start from a part of another one; a frozen one may not stay random in parts."""
    state = first_stage("ImageClassifier").state_dict()
    part = {key: value for key, value in state.items() if not key.startswith("backbone.layer3.2")}
    torch.save({"state_dict": part}, tmp_path / "part.pth")
    with pytest.raises(UserInputError, match=r"only \d+ of the \d+ tensors of the backbone"):
        frozen_runner(make_runner, load_from=str(tmp_path / "part.pth")).train()


# --------------------------------------------------------------------------------------------- the head goes on

REUSE = {"model.reuse_head": True, "model.head.type": "LWSClsHead"}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("has_scale", [False, True], ids=["linear head", "scaled head"])
def test_reuse_takes_the_linear_layer_of_stage_1_but_no_scale(has_scale, prefix, make_runner, tmp_path):  # noqa: F811
    earlier = first_stage("ImageClassifier").state_dict()
    earlier["head.fc.bias"] = torch.linspace(-1, 1, 10)
    if has_scale:
        earlier["head.scale"] = torch.full((1, 10), 3.0)
    path = tmp_path / "stage1.pth"
    torch.save({"state_dict": {prefix + key: value for key, value in earlier.items()}}, path)
    initial = start_of_training(frozen_runner(make_runner, load_from=str(path), **REUSE))
    assert torch.equal(initial["head.scale"], torch.ones(1, 10))
    for key in earlier.keys() - {"head.scale"}:
        assert torch.equal(initial[key], earlier[key]), key


def test_a_run_that_reused_the_head_resumes_with_its_scale(make_runner, tmp_path):  # noqa: F811
    torch.save({"state_dict": first_stage("ImageClassifier").state_dict()}, tmp_path / "stage1.pth")
    runner = frozen_runner(make_runner, load_from=str(tmp_path / "stage1.pth"), **REUSE)
    runner.train()
    scale = runner.model.head.scale
    assert not torch.equal(scale, torch.ones(1, 10)), "it learns"
    goes_on = {"load_from": f"{runner.work_dir}/epoch_1.pth", "resume": True, "train_cfg.max_epochs": 2}
    initial = start_of_training(frozen_runner(make_runner, **goes_on, **REUSE))
    assert torch.equal(initial["head.scale"], scale)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.update({"head.fc.weight": torch.zeros(7, 64), "head.fc.bias": torch.zeros(7)}),
            r"only 0 of the 2 tensors of the head\.fc are in .*stage1\.pth: head\.fc\.bias \(\(10,\) in the model, "
            r"\(7,\) in the file\)",
        ),
        (lambda state: state.pop("head.fc.bias"), r"only 1 of the 2 tensors of the head\.fc .* not in the file"),
    ],
    ids=["another number of classes", "no bias"],
)
def test_another_classifier_is_no_start(change, message, make_runner, tmp_path):  # noqa: F811
    state = first_stage("ImageClassifier").state_dict()
    change(state)
    torch.save({"state_dict": state}, tmp_path / "stage1.pth")
    with pytest.raises(UserInputError, match=message):
        frozen_runner(make_runner, load_from=str(tmp_path / "stage1.pth"), **REUSE).train()
    frozen_runner(make_runner, load_from=str(tmp_path / "stage1.pth")).train()  # a head of its own does not mind


def test_a_head_without_a_linear_layer_cannot_be_reused():
    head = dict(type="StackedLinearClsHead", num_classes=3, in_channels=64, mid_channels=[8])
    with pytest.raises(UserInputError, match=r"StackedLinearClsHead has none; set reuse_head=False"):
        build(head=head, reuse_head=True)


def test_a_pretrained_backbone_brings_no_head(tmp_path):
    torch.save(first_stage("ImageClassifier").backbone.state_dict(), tmp_path / "backbone.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "backbone.pth"))
    model = build(backbone=dict(**FROZEN["backbone"], init_cfg=init_cfg), reuse_head=True)
    with pytest.raises(UserInputError, match=r"together with the head .*let it be stage2"):
        CheckpointFitHook().before_train(SimpleNamespace(model=model, _train_loop=None))


def test_images_are_mixed_as_in_stage_1():
    """With labels for a loss that takes them, and in training alone."""
    model = build(
        head=dict(type="LinearHead", num_classes=4, in_channels=64, loss=dict(type="WeightedCrossEntropyLoss")),
        train_cfg=dict(augments=dict(type="Mixup", alpha=1.0)),
        data_preprocessor=dict(num_classes=4),
    )
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 3)]
    data = {"inputs": list(torch.zeros(4, 3, 32, 32, dtype=torch.uint8)), "data_samples": samples}
    mixed = model.data_preprocessor(data, training=True)["data_samples"].target
    assert mixed.sum(dim=1).tolist() == pytest.approx([1.0] * 4)
    assert int((mixed > 0).sum(dim=1).max()) == 2, "some image of the batch is of two classes"
    assert torch.equal(model.data_preprocessor(data)["data_samples"].target, torch.eye(4, dtype=torch.int64))
