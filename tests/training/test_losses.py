import math

import pytest
import torch

from asem.training.losses import balanced_cross_entropy, cross_entropy_and_dice, loss_named


def block(probability, target, known):
    """Return one row of voxels as the losses take it."""
    p = torch.tensor(probability, dtype=torch.float64)
    logits = torch.stack([torch.log(1 - p), torch.log(p)])[None, :, None, None]
    shape = (1, 1, 1, -1)
    return (
        logits,
        torch.tensor(target).view(shape),
        torch.tensor(known, dtype=torch.bool).view(shape),
    )


def test_balanced_by_hand():
    loss = balanced_cross_entropy(
        *block([0.9, 0.2, 0.4, 0.3, 0.99], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0])
    )
    foreground, background = 1 / 0.25, 1 / 0.75
    entropies = foreground * -math.log(0.9)
    entropies += background * -(math.log(0.8) + math.log(0.6) + math.log(0.7))
    assert loss.item() == pytest.approx(entropies / (foreground + 3 * background))


def test_balanced_shares_are_clipped_at_a_hundredth():
    size = 1000
    target = [1] + [0] * (size - 1)
    loss = balanced_cross_entropy(*block([0.5] + [0.1] * (size - 1), target, [1] * size))
    background = (size - 1) / 0.99
    expected = (100 * -math.log(0.5) + background * -math.log(0.9)) / (100 + background)
    assert loss.item() == pytest.approx(expected)


def test_each_block_of_a_batch_is_balanced_alone():
    one = block([0.9, 0.2, 0.4, 0.3], [1, 0, 0, 0], [1, 1, 1, 1])
    two = block([0.6, 0.7, 0.4, 0.3], [1, 1, 1, 0], [1, 1, 1, 1])
    both = balanced_cross_entropy(*(torch.cat(pair) for pair in zip(one, two, strict=True)))
    apart = [balanced_cross_entropy(*alone).item() for alone in (one, two)]
    assert both.item() == pytest.approx(sum(apart) / 2)  # the sum of weights is the same


def test_dice_by_hand():
    loss = cross_entropy_and_dice(*block([0.9, 0.2, 0.8], [1, 0, 1], [1, 1, 0]))
    entropy = -(math.log(0.9) + math.log(0.8)) / 2
    assert loss.item() == pytest.approx(entropy + 1 - (2 * 0.9 + 1) / (1.1 + 1 + 1))


@pytest.mark.parametrize("name", ["balanced", "cross_entropy+dice"])
def test_unknown_voxels_have_no_gradient_and_none_known_is_finite(name):
    logits, target, known = block([0.9, 0.2], [1, 0], [1, 0])
    logits.requires_grad_()
    loss_named(name)(logits, target, known).backward()
    assert logits.grad[..., 1].abs().max() == 0
    assert logits.grad[..., 0].abs().max() > 0
    assert torch.isfinite(loss_named(name)(logits, target, known & False))


def test_an_unknown_loss():
    with pytest.raises(ValueError, match="unknown loss 'mse'; known: balanced"):
        loss_named("mse")
