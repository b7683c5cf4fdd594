"""Three views of each image: the first is classified, the others are compared, with prototypes of the classes too."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import SupConLoss
from lt_plugins.models.structures import ClassDistribution, ContrastBatch

COUNTS = [40, 20, 9, 3, 1]
PROJECTOR = {"type": "MLPProjector", "in_channels": 64, "hidden_channels": 16, "out_channels": 8, "num_layers": 2}
HEAD = {
    "type": "ContrastHead",
    "num_classes": len(COUNTS),
    "in_channels": 64,
    "contrast_loss": {"type": "SupConLoss", "temperature": 0.2},
    "prototype_projector": PROJECTOR,
}


def build(head: dict[str, Any] | None = None, **settings: Any) -> Any:
    torch.manual_seed(0)
    model: Any = MODELS.build(
        {
            "type": "TwoViewClassifier",
            "num_views": 3,
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "projector": PROJECTOR,
            "projection_dim": 8,
            "head": copy.deepcopy({**HEAD, **(head or {})}),
            **settings,
        }
    )
    model.init_weights()
    for part in model.modules():
        if isinstance(part, ClassDistribution):
            part.set_counts(COUNTS)
    return model.double().train()


def batch(size: int = 6, num_views: int = 3) -> tuple[list[Tensor], list[DataSample], Tensor]:
    generator = torch.Generator().manual_seed(1)
    views = [torch.randn(size, 3, 16, 16, generator=generator, dtype=torch.float64) for _ in range(num_views)]
    labels = torch.arange(size) % 3
    samples = [DataSample(metainfo={"sample_idx": i}).set_gt_label(int(label)) for i, label in enumerate(labels)]
    return views, samples, labels


def test_the_first_view_is_classified_and_the_others_are_compared() -> None:
    """Step by step, with the statistics of all three views in the batch norms."""
    model, twin = build({"contrast_weight": 0.35}), build()
    views, samples, labels = batch()
    losses = model.loss(views, samples)
    pooled = twin.extract_feat(torch.cat(views))[-1]
    adjusted = twin.head.fc(pooled[:6]) + torch.tensor(COUNTS, dtype=torch.float64).div(sum(COUNTS)).log()
    torch.testing.assert_close(losses["loss_classifier"], F.cross_entropy(adjusted, labels), rtol=1e-10, atol=0)

    projected = F.normalize(twin.projector((pooled,))[-1])[6:]
    prototypes = F.normalize(twin.head.prototype_projector((twin.head.fc.weight,))[-1])
    everything = torch.cat([projected, prototypes]).detach()
    classes = torch.cat([labels, labels, torch.arange(len(COUNTS))]).tolist()
    expected = 0.0
    for i in range(12):
        scores = [float(everything[i] @ other) / 0.2 for other in everything]
        others = [j for j in range(len(everything)) if j != i]
        denominator = torch.tensor([scores[j] for j in others], dtype=torch.float64).logsumexp(0)
        positives = [j for j in others if classes[j] == classes[i]]
        expected += float(sum(denominator - scores[j] for j in positives)) / len(positives) / 12
    assert losses["loss_contrast"].item() == pytest.approx(0.35 * expected, rel=1e-9)

    sum(losses.values()).backward()
    assert all(bool(p.grad.isfinite().all()) and bool(p.grad.abs().max() > 0) for p in model.parameters())


def test_the_classifier_learns_from_the_contrast_through_its_prototypes() -> None:
    model, plain = build(), build({"prototype_projector": None})
    views, samples, _ = batch()
    for each, reaches in ((model, True), (plain, False)):
        each.loss(views, samples)["loss_contrast"].backward()
        assert (each.head.fc.weight.grad is not None) == reaches
    with pytest.raises(UserInputError, match="give it a prototype_projector"):
        plain.head.prototypes()


def test_the_first_view_is_not_compared() -> None:
    model = build().eval()  # batch statistics would mix the views
    views, samples, _ = batch()
    before = model.loss(views, samples)
    after = model.loss([views[0].flip(0), *views[1:]], samples)
    swapped = model.loss([views[0], views[2], views[1]], samples)
    torch.testing.assert_close(after["loss_contrast"], before["loss_contrast"], rtol=1e-12, atol=0)
    torch.testing.assert_close(swapped["loss_classifier"], before["loss_classifier"], rtol=1e-12, atol=0)
    assert after["loss_classifier"].item() != pytest.approx(before["loss_classifier"].item(), rel=1e-6)


def test_separate_passes_of_three_views() -> None:
    model, twin = build(separate_passes=True), build(separate_passes=True)
    views, samples, labels = batch()
    loss = model.loss(views, samples)["loss_classifier"]
    logits = twin.head(twin.extract_feat(views[0]))
    torch.testing.assert_close(loss, twin.head.loss_module(logits, labels), rtol=1e-10, atol=0)
    assert int(model.backbone.bn1.num_batches_tracked) == 3


def test_with_two_views_both_are_classified() -> None:
    model, twin = build(num_views=2), build()
    views, samples, labels = batch(num_views=2)
    loss = model.loss(views, samples)["loss_classifier"]
    logits = twin.head(twin.extract_feat(torch.cat(views)))
    torch.testing.assert_close(loss, twin.head.loss_module(logits, labels.repeat(2)), rtol=1e-10, atol=0)


@pytest.mark.parametrize("kind", ["ContrastHead", "ContrastCosineHead"])
def test_the_classifier_alone_predicts_without_the_prior(kind: str) -> None:
    model = build({"type": kind}).eval()
    (images, *_), _, _ = batch()
    scores = torch.stack([sample.pred_score for sample in model.predict(images)])
    features = model.extract_feat(images)[-1]
    if kind == "ContrastCosineHead":
        logits = 30 * F.normalize(features) @ F.normalize(model.head.fc.weight).T
    else:
        logits = features @ model.head.fc.weight.T + model.head.fc.bias
    torch.testing.assert_close(scores, logits.softmax(dim=1), rtol=1e-9, atol=1e-12)
    uniform = model.head.trained_prior(torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS))
    torch.testing.assert_close(uniform / uniform.sum(), torch.full((5,), 0.2, dtype=torch.float64))


def test_prototypes_are_of_the_weights_as_they_are() -> None:
    head = build({"type": "ContrastCosineHead"}).head
    before = head.prototypes()
    torch.testing.assert_close(before.norm(dim=1), torch.ones(5, dtype=torch.float64))
    with torch.no_grad():
        head.fc.weight.mul_(3)
    assert not torch.allclose(head.prototypes(), before, rtol=1e-3)


def test_prototypes_start_as_pytorch_makes_them() -> None:
    """And not by the initialisation of the classifier, which has another purpose."""
    layer = build({"type": "ContrastCosineHead"}).head.prototype_projector.layers[0]
    assert 0.115 < float(layer.weight.abs().max()) <= 1 / 8


def test_prototypes_are_candidates_without_an_image() -> None:
    contrast = ContrastBatch.from_views(torch.randn(3, 4), torch.randn(3, 4), torch.tensor([0, 1, 1]), torch.arange(3))
    extended = contrast.with_prototypes(F.normalize(torch.randn(3, 4)))
    assert extended.candidate_labels.tolist() == [0, 1, 1, 0, 1, 1, 0, 1, 2]
    assert extended.candidate_samples is not None
    assert extended.candidate_samples.tolist() == [0, 1, 2, 0, 1, 2, -1, -1, -1]
    assert extended.valid.sum().item() == contrast.valid.sum().item() + 6 * 3
    assert extended.same_class[:, 6:].nonzero()[:, 1].tolist() == [0, 1, 1, 0, 1, 1]
    assert torch.equal(extended.other_view[:, :6], contrast.other_view)
    assert float(SupConLoss()(extended)) != float(SupConLoss()(contrast))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_views": 4}, "num_views=4 must be 2, or 3"), ({"head": {"contrast_weight": -0.1}}, "contrast_weight=-0.1")],
)
def test_refused_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        build(**settings)


def test_two_views_are_refused_with_what_to_do() -> None:
    views, samples, _ = batch(num_views=2)
    with pytest.raises(UserInputError, match=r"three views of each image and got 2 views; put a MultiView .* three"):
        build().loss(views, samples)
