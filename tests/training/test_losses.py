import math

import pytest
import torch

from asem.training.losses import LOSSES, balanced_cross_entropy, cross_entropy_and_dice, find_loss
from asem.training.recipes import RECIPES
from asem.workflows.train import train_model


def block(probability, target, labelled):
    """Return one row of voxels as the arguments of a loss."""
    p = torch.tensor(probability, dtype=torch.float64)
    logits = torch.stack([torch.log(1 - p), torch.log(p)])[None, :, None, None]
    shape = (1, 1, 1, -1)
    return (
        logits,
        torch.tensor(target).view(shape),
        torch.tensor(labelled, dtype=torch.bool).view(shape),
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


@pytest.mark.parametrize("name", LOSSES)
def test_unlabelled_voxels_have_no_gradient_and_without_labels_it_is_finite(name):
    logits, target, labelled = block([0.9, 0.2], [1, 0], [1, 0])
    logits.requires_grad_()
    find_loss(name)(logits, target, labelled).backward()
    assert logits.grad[..., 1].abs().max() == 0
    assert logits.grad[..., 0].abs().max() > 0
    assert torch.isfinite(find_loss(name)(logits, target, labelled & False))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_name_existing_losses(name):
    assert RECIPES[name].get("loss", "balanced") in LOSSES


def test_a_wrong_name_is_an_error_before_anything_is_created(cell, tmp_path):
    text = (cell / "train.toml").read_text().replace("cross_entropy+dice", "mse")
    (cell / "mse.toml").write_text(text)
    with pytest.raises(ValueError, match=r"mse.toml: 'loss': there is no loss 'mse'; give 'b"):
        train_model(cell / "mse.toml", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_is_added_by_one_entry(cell, tmp_path, monkeypatch):
    monkeypatch.setitem(LOSSES, "mse", lambda logits, target, labelled: (logits**2).mean())
    text = (cell / "train.toml").read_text().replace("cross_entropy+dice", "mse")
    (cell / "mse.toml").write_text(text.replace("iterations = 6", "iterations = 1"))
    assert train_model(cell / "mse.toml", out=tmp_path / "run")["iteration"] == 1
