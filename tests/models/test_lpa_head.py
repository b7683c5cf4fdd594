import pytest
import torch
import torch.nn.functional as F

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LPAHead, PaCoHead
from tests.models.reference import random_contrast, supcon


def make_head(**kwargs):
    torch.manual_seed(0)
    settings = dict(num_classes=4, in_channels=6, num_attributes=7, attributes_per_class=3, alpha=0.5)
    head = LPAHead(**{**settings, **kwargs})
    head.loss_module.class_distribution.set_counts([40, 30, 20, 10])
    return head


def set_random(head, seed=0):
    generator = torch.Generator().manual_seed(seed)
    prototypes = F.normalize(torch.randn(7, 6, generator=generator), dim=1)
    scores = torch.rand(4, 7, generator=generator)
    head.set_attributes(prototypes, scores)
    return prototypes, scores


def jaccard(head, one, other):
    if one == other:
        return 1.0
    first = {k for k in range(7) if head.attribute_labels[one, k]}
    second = {k for k in range(7) if head.attribute_labels[other, k]}
    return len(first & second) / len(first | second)


def test_classes_are_labelled_with_their_strongest_attributes():
    head = make_head()
    _, scores = set_random(head)
    for c in range(4):
        strongest = sorted(range(7), key=lambda k: -float(scores[c, k]))[:3]
        assert {k for k in range(7) if head.attribute_labels[c, k]} == set(strongest)


def test_a_class_without_images_has_no_attributes():
    head = make_head()
    scores = torch.rand(4, 7)
    scores[2] = 0
    head.set_attributes(torch.randn(7, 6), scores)
    assert not head.attribute_labels[2].any()
    assert head.attribute_labels[[0, 1, 3]].any(dim=1).all()


def test_affinity_is_the_jaccard_index_and_one_within_a_class():
    head = make_head()
    set_random(head)
    labels, others = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2, 3, -1])
    affinity = head.affinity(labels, others)
    for i, one in enumerate(labels.tolist()):
        for j, other in enumerate(others.tolist()[:-1]):
            assert float(affinity[i, j]) == pytest.approx(jaccard(head, one, other))
    assert (affinity[:, -1] == 0).all()


def test_attribute_scores_are_a_softmax_of_cosines():
    head = make_head(assignment_temperature=0.2)
    prototypes, _ = set_random(head)
    local = torch.randn(2, 3, 6)
    scores = head.attribute_scores(local)
    for b in range(2):
        for p in range(3):
            cosine = torch.stack([F.cosine_similarity(local[b, p], row, dim=0) for row in prototypes])
            assert torch.allclose(scores[b, p], (cosine / 0.2).softmax(0), atol=1e-6)


def test_loss_is_pacos_plus_the_weighted_attribute_loss():
    head, plain = make_head(), PaCoHead(num_classes=4, in_channels=6)
    plain.load_state_dict(head.state_dict(), strict=False)
    contrast = random_contrast()
    feats = (torch.randn(6, 6),)
    before = head.loss(feats, [], contrast=contrast)
    assert float(before["loss_attribute"]) == 0.0
    assert torch.equal(before["loss_paco"], plain.loss(feats, [], contrast=contrast)["loss_paco"])
    set_random(head)
    after = head.loss(feats, [], contrast=contrast)
    labels, others = contrast.anchor_labels.tolist(), contrast.candidate_labels.tolist()
    expected = supcon(contrast, lambda i, j: jaccard(head, labels[i], others[j]), temperature=0.2)
    assert float(after["loss_attribute"]) == pytest.approx(0.5 * expected, rel=1e-6)
    assert torch.equal(after["loss_paco"], before["loss_paco"])


def test_disjoint_attributes_give_plain_supcon():
    head = make_head(num_attributes=8, attributes_per_class=2)
    scores = torch.zeros(4, 8)
    for c in range(4):
        scores[c, 2 * c : 2 * c + 2] = 1.0
    head.set_attributes(torch.randn(8, 6), scores)
    contrast = random_contrast()
    value = head.loss((torch.randn(6, 6),), [], contrast=contrast)["loss_attribute"]
    assert torch.allclose(value, 0.5 * head.attribute_loss_module(contrast))


def test_attributes_travel_in_the_state_dict():
    head, other = make_head(), make_head()
    set_random(head)
    assert head.has_attributes
    assert not other.has_attributes
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.attribute_labels, head.attribute_labels)
    assert torch.equal(other.prototypes, head.prototypes)


@pytest.mark.parametrize(
    "bad", [dict(attributes_per_class=8), dict(attributes_per_class=0), dict(assignment_temperature=0), dict(alpha=-1)]
)
def test_settings_without_meaning_are_refused(bad):
    with pytest.raises(UserInputError):
        make_head(**bad)
