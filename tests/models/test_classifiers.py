import copy
import dataclasses

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import SupConLoss
from lt_plugins.models.structures import ClassDistribution, ContrastBatch, LabelledQueue

NUM_CLASSES = 5


def build(kind="MomentumClassifier", head=None, **kwargs):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type=kind,
            backbone=dict(type="CIFARResNet", depth=20),
            projector=dict(
                type="NonLinearNeck",
                in_channels=64,
                hid_channels=64,
                out_channels=8,
                with_last_bn=False,
                with_avg_pool=False,
                norm_cfg=dict(type="BN1d"),
            ),
            projection_dim=8,
            head=head or dict(type="PaCoHead", num_classes=NUM_CLASSES, in_channels=64),
            **{"queue_size": 6, **kwargs},
        )
    )
    model.init_weights()
    for part in model.modules():
        if isinstance(part, ClassDistribution):
            part.set_counts([1] * NUM_CLASSES)
    return model.train()


def batch(size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(size, 3, 16, 16, generator=generator) for _ in range(2)]
    labels = torch.randint(NUM_CLASSES, (size,), generator=generator)
    samples = [DataSample(metainfo={"sample_idx": 7 * i}).set_gt_label(int(label)) for i, label in enumerate(labels)]
    return views, samples, labels


def test_queue_overwrites_the_oldest_places_and_wraps_around():
    queue = LabelledQueue(5, 2)
    assert queue.labels.tolist() == [-1] * 5
    queue.enqueue(torch.full((3, 2), 1.0), torch.tensor([1, 1, 1]), torch.tensor([10, 11, 12]))
    queue.enqueue(torch.full((3, 2), 2.0), torch.tensor([2, 2, 2]), torch.tensor([20, 21, 22]))
    assert queue.samples.tolist() == [22, 11, 12, 20, 21]
    assert queue.labels.tolist() == [2, 1, 1, 2, 2]
    assert queue.features[:, 0].tolist() == [2, 1, 1, 2, 2]
    assert int(queue.pointer) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_queue_leaves_a_batch_out_that_overflowed(value):
    queue = LabelledQueue(5, 2)
    queue.enqueue(torch.ones(3, 2), torch.tensor([1, 2, 3]), torch.tensor([10, 11, 12]))
    before = copy.deepcopy(queue.state_dict())
    overflowed = torch.tensor([[1.0, 0.0], [value, 0.0], [0.0, 1.0]]).half()
    queue.enqueue(overflowed, torch.tensor([4, 4, 4]), torch.tensor([20, 21, 22]))
    for name, tensor in queue.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    queue.enqueue(torch.zeros(2, 2), torch.tensor([4, 4]), torch.tensor([30, 31]))
    assert queue.samples.tolist() == [10, 11, 12, 30, 31]


@pytest.mark.parametrize("settings", [dict(kind="TwoViewClassifier"), dict(), dict(compare_batch=False)])
def test_a_loss_that_looks_images_up_refuses_those_without_an_index(settings):
    head = dict(type="SupConHead", num_classes=NUM_CLASSES, in_channels=64, loss=dict(type="SBCLLoss"))
    model = build(**settings, head=head)
    model.head.loss_module.set_subclasses(torch.zeros(50, dtype=torch.int64))
    views, samples, labels = batch()
    model.loss(views, samples)
    known = model.queue.samples.clone()
    samples[1] = DataSample().set_gt_label(int(labels[1]))
    with pytest.raises(UserInputError, match="keep 'sample_idx' in the meta_keys of PackInputs"):
        model.loss(views, samples)
    model.head.loss_module = SupConLoss()  # which needs none
    model.loss(views, samples)
    assert known[:4].tolist() == [0, 7, 14, 21]
    assert model.queue.samples.tolist() == [-1, -1, 14, 21, -1, -1]


def test_queue_without_indices_holds_unknown_images():
    queue = LabelledQueue(3, 2)
    queue.enqueue(torch.eye(2), torch.tensor([1, 2]))
    assert queue.samples.tolist() == [-1, -1, -1]
    assert queue.labels.tolist() == [1, 2, -1]


def test_queue_refuses_more_than_it_holds():
    with pytest.raises(UserInputError, match="queue_size=2"):
        LabelledQueue(2, 2).enqueue(torch.zeros(3, 2), *torch.zeros(2, 3, dtype=torch.int64))


def test_momentum_contrast_holds_queries_keys_and_the_queue_of_earlier_keys():
    model = build()
    views, samples, labels = batch()
    seen = []
    original = model.head.loss
    model.head.loss = lambda *args, **kwargs: seen.append(kwargs["contrast"]) or original(*args, **kwargs)
    model.loss(views, samples)
    model.loss(views, samples)
    first, second = seen
    assert first.anchors.shape == (4, 8)
    assert first.candidates.shape == (4 + 4 + 6, 8)
    assert first.candidate_labels.tolist() == [*labels.tolist(), *labels.tolist(), *[-1] * 6]
    assert torch.equal(first.candidates[first.anchor_positions], first.anchors)
    # The keys of the first step are in the queue of the second, once.
    assert torch.equal(second.candidates[8:12], first.candidates[4:8])
    assert second.candidate_labels[8:].tolist() == [*labels.tolist(), -1, -1]
    assert second.candidate_samples.tolist() == [0, 7, 14, 21] * 3 + [-1, -1]
    assert second.anchor_samples.tolist() == [0, 7, 14, 21]
    assert torch.equal(second.candidates[second.other_view_positions], second.candidates[4:8])
    assert first.anchors.requires_grad
    assert not model.queue.features.requires_grad


def test_moco_compares_with_the_own_key_and_the_queue_only():
    model = build(compare_batch=False)
    views, samples, labels = batch()
    seen = []
    original = model.head.loss
    model.head.loss = lambda *args, **kwargs: seen.append(kwargs["contrast"]) or original(*args, **kwargs)
    model.loss(views, samples)
    losses = model.loss(views, samples)
    contrast = seen[1]
    assert contrast.candidates.shape == (4 + 6, 8)
    for i in range(4):  # the own key, then the four keys of the first step; two slots are unused
        assert contrast.valid[i].nonzero().flatten().tolist() == [i, 4, 5, 6, 7]
    assert contrast.candidate_samples.tolist() == [0, 7, 14, 21] * 2 + [-1, -1]
    assert torch.equal(contrast.candidate_labels[:4], labels)
    losses["loss_paco"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_two_view_contrast_has_both_views_as_anchors_with_gradient():
    model = build("TwoViewClassifier")
    views, samples, labels = batch()
    seen = []
    original = model.head.loss
    model.head.loss = lambda *args, **kwargs: seen.append(kwargs["contrast"]) or original(*args, **kwargs)
    losses = model.loss(views, samples)
    contrast = seen[0]
    assert contrast.anchors.shape == (8, 8)
    assert contrast.anchor_labels.tolist() == labels.tolist() * 2
    assert torch.equal(contrast.candidates[contrast.anchor_positions], contrast.anchors)
    assert torch.equal(contrast.candidates[contrast.other_view_positions[:4]], contrast.anchors[4:])
    assert torch.equal(contrast.candidates[contrast.other_view_positions[4:]], contrast.anchors[:4])
    assert model.queue.labels.tolist() == [*labels.tolist(), -1, -1]
    assert torch.equal(model.queue.features[:4], contrast.candidates[4:8].detach())
    losses["loss_paco"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("settings", [dict(kind="TwoViewClassifier"), dict(), dict(compare_batch=False)])
def test_a_plain_loop_builds_the_same_contrast(settings):
    """From projections of any length, with a queue of its own."""
    model = build(**settings)
    seen = []
    original = model.head.loss
    model.head.loss = lambda *args, **kwargs: seen.append(kwargs["contrast"]) or original(*args, **kwargs)
    queue = LabelledQueue(6, 8)
    samples_of_images = torch.tensor([0, 7, 14, 21])
    for seed in range(2):
        views, samples, labels = batch(seed=seed)
        model.loss(views, samples)
        expected = seen[seed]
        first, second = 3 * expected.anchors[:4], 0.2 * expected.candidates[expected.other_view_positions[:4]]
        make = ContrastBatch.from_queries if "kind" not in settings else ContrastBatch.from_views
        options = {name: value for name, value in settings.items() if name == "compare_batch"}
        contrast = make(first, second, labels, samples_of_images, queue, **options)
        for field in dataclasses.fields(ContrastBatch):
            found, wanted = getattr(contrast, field.name), getattr(expected, field.name)
            if not isinstance(wanted, torch.Tensor):
                assert found == wanted, field.name
            else:
                torch.testing.assert_close(found, wanted, msg=field.name)
        assert contrast.anchors.requires_grad
        queue.enqueue(torch.nn.functional.normalize(second.detach(), dim=1), labels, samples_of_images)
    loose = make(first, second, labels, **options)
    assert loose.candidate_samples is loose.anchor_samples is None
    assert torch.equal(loose.candidates, contrast.candidates[:-6])


def test_key_encoder_follows_the_query_encoder_by_the_momentum():
    model = build(momentum=0.9)
    before = copy.deepcopy(model.key_encoder.state_dict())
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(1.0)
    model.update_key_encoder()
    for name, parameter in model.key_encoder["backbone"].named_parameters():
        old = before[f"backbone.{name}"].double()
        expected = 0.9 * old + 0.1 * model.backbone.get_parameter(name).double()
        assert torch.allclose(parameter.double(), expected, atol=1e-6)


def test_key_encoder_starts_as_a_copy_and_gets_no_gradient():
    model = build()
    for name, parameter in model.key_encoder["backbone"].named_parameters():
        assert torch.equal(parameter, model.backbone.get_parameter(name))
        assert not parameter.requires_grad


def test_a_checkpoint_without_key_encoder_fills_it_from_the_query_encoder():
    source, target = build(), build()
    with torch.no_grad():
        for parameter in source.backbone.parameters():
            parameter.normal_()
    plain = {name: value for name, value in source.state_dict().items() if not name.startswith("key_encoder")}
    missing, _ = target.load_state_dict(plain, strict=False)
    assert not [name for name in missing if name.startswith("key_encoder")]
    for name, parameter in target.key_encoder["backbone"].named_parameters():
        assert torch.equal(parameter, source.backbone.get_parameter(name))


def test_a_full_checkpoint_keeps_its_own_key_encoder():
    source, target = build(), build()
    with torch.no_grad():
        for parameter in source.key_encoder.parameters():
            parameter.normal_()
    target.load_state_dict(source.state_dict())
    for one, other in zip(source.key_encoder.parameters(), target.key_encoder.parameters(), strict=True):
        assert torch.equal(one, other)


def test_prediction_uses_the_query_encoder_without_the_prior():
    model = build().eval()
    model.head.loss_module.class_distribution.set_counts([100, 50, 10, 5, 1])
    images = torch.randn(3, 3, 16, 16)
    scores = torch.stack([sample.pred_score for sample in model.predict(images)])
    pooled = model.neck(model.backbone(images))[-1]
    assert torch.allclose(scores, model.head.fc(pooled).softmax(dim=1))


def test_local_features_are_the_places_of_the_key_encoders_last_map():
    model = build().eval()
    images = torch.randn(2, 3, 16, 24)
    local = model.extract_local_features(images)
    height, width = model.local_grid(images)
    fmap = model.key_encoder["backbone"](images)[-1]
    assert (height, width) == (4, 6)
    assert local.shape == (2, 24, 64)
    assert torch.equal(local[1, 2 * width + 3], fmap[1, :, 2, 3])


def test_a_single_view_is_refused_with_what_to_do():
    with pytest.raises(UserInputError, match="MultiView"):
        build().loss(torch.zeros(2, 3, 8, 8), [])


def test_a_momentum_outside_the_unit_interval_is_refused():
    with pytest.raises(UserInputError, match=r"momentum=1\.5"):
        build(momentum=1.5)


def test_preprocessor_normalises_each_view_as_a_single_one():
    model = build(data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[2.0, 2.0, 2.0], to_rgb=True, num_classes=5))
    views, samples, _ = batch()
    views = [(view * 10).to(torch.uint8) for view in views]
    both = model.data_preprocessor(dict(inputs=list(views), data_samples=samples), training=True)
    for view, out in zip(views, both["inputs"], strict=True):
        single = model.data_preprocessor(dict(inputs=view), training=False)["inputs"]
        assert torch.equal(out, single)
        expected = (view.flip(1).float() - torch.tensor([1.0, 2.0, 3.0])[:, None, None]) / 2
        assert torch.equal(out, expected)


@pytest.mark.parametrize("kind", ["TwoViewClassifier", "MomentumClassifier"])
def test_projections_are_unit_vectors_of_the_encoder_that_is_clustered_with(kind):
    model = build(kind).eval()
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(0.01)
    images = torch.randn(4, 3, 16, 16)
    projections = model.extract_projections(images)
    assert torch.allclose(projections.norm(dim=1), torch.ones(4))
    queries = model.project(model.extract_feat(images))
    assert torch.equal(projections, queries) == (kind == "TwoViewClassifier")


def test_separate_passes_normalise_each_view_by_itself():
    """What the released code of GPaCo computes: first one view, then the other, with statistics of their own."""
    model, twin = (build("TwoViewClassifier", separate_passes=True).double() for _ in range(2))
    views, samples, _ = batch()
    views = [views[0].double(), 3 + 2 * views[1].double()]
    seen = []
    original = model.head.loss
    model.head.loss = lambda feats, *args, **kwargs: (
        seen.append((feats, kwargs["contrast"])) or original(feats, *args, **kwargs)
    )
    loss = model.loss(views, samples)["loss_paco"]
    pooled = [twin.extract_feat(view)[-1] for view in views]
    projected = [twin.project((feats,)) for feats in pooled]
    (feats, contrast) = seen[0]
    torch.testing.assert_close(feats[-1], torch.cat(pooled), rtol=1e-12, atol=0)
    torch.testing.assert_close(contrast.anchors, torch.cat(projected), rtol=1e-10, atol=0)
    assert torch.equal(contrast.candidates[:8], contrast.anchors)
    # Running statistics have moved twice, first by the first view.
    for mine, other in zip(model.backbone.buffers(), twin.backbone.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=0)
    assert int(model.backbone.bn1.num_batches_tracked) == 2

    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    together = build("TwoViewClassifier").double()
    assert together.loss(views, samples)["loss_paco"].item() != pytest.approx(loss.item(), rel=1e-3)
