import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

import funlib
from asem.model.config import ModelConfig
from asem.model.published_checkpoint import read_published_checkpoint
from asem.model.unet import UNet, lattice, output_size, valid_input_size

SHAPES = [
    {"levels": 1},
    {"levels": 2, "convolutions": 1},
    {"features": 3, "levels": 2, "convolutions": 3},
    {"features": 3, "growth": 3, "levels": 3},
    {"features": 5, "growth": 1, "levels": 3, "convolutions": 1},
    {"features": 2, "levels": 4},
]


def converted(path):
    config, weights = read_published_checkpoint(path)
    net = UNet(config)
    net.load_state_dict(weights)
    return net.eval()


def difference(net, state, sizes):
    raw = torch.rand(1, 1, *sizes, generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.inference_mode():
        own = net(raw)
    published = funlib.computed(state, raw)
    assert own.shape == published.shape
    assert published.std() > 0.01
    return (own - published).abs().max().item()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_converted_network_computes_what_the_published_one_does(tmp_path, shape):
    state = funlib.random_state(**shape)
    net = converted(funlib.save(tmp_path / "m", state))
    assert net.config == ModelConfig(**{"features": 2, **shape})
    smallest, step = valid_input_size(net.config), lattice(net.config)
    sizes = (smallest + step, smallest, smallest + 3 * step)
    assert difference(net, state, sizes) <= 1e-4


def test_sizes_that_are_cropped_before_the_convolutions(tmp_path):
    """Of 12 upsampled voxels 4 are context and the rest must be a multiple of 8."""
    state = funlib.random_state(levels=4)
    net = converted(funlib.save(tmp_path / "m", state))
    assert output_size(net.config, 100) == 6  # 12 would be 2 * 6 without any crop
    assert difference(net, state, (100, 108, 116)) <= 1e-4


def test_the_papers_network(tmp_path):
    state = funlib.random_state(features=32, levels=4)
    net = converted(funlib.save(tmp_path / "m", state))
    assert net.config == ModelConfig()
    assert sum(p.numel() for p in net.parameters()) == 5_837_730
    assert difference(net, state, (108, 108, 108)) <= 1e-4


def test_the_test_sees_levels_and_channels_in_another_order(tmp_path):
    state = funlib.random_state(features=2, growth=1, levels=3)
    net = converted(funlib.save(tmp_path / "m", state))
    size = (valid_input_size(net.config),) * 3
    swapped = {
        **state,
        **{
            key.replace("r_conv.0.0", "r_conv.0.1"): value
            for key, value in state.items()
            if "r_conv.0.0" in key
        },
        **{
            key.replace("r_conv.0.1", "r_conv.0.0"): value
            for key, value in state.items()
            if "r_conv.0.1" in key
        },
    }
    name = "unet.r_conv.0.0.conv_pass.0.weight"
    flipped = {**state, name: state[name].roll(2, 1)}
    assert difference(net, state, size) <= 1e-4
    assert difference(net, swapped, size) > 1e-2
    assert difference(net, flipped, size) > 1e-2


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_of_wrappers_are_taken_off(tmp_path, prefix):
    state = funlib.random_state()
    wrapped = {prefix + name: value for name, value in state.items()}
    net = converted(funlib.save(tmp_path / "m", wrapped))
    assert difference(net, state, (valid_input_size(net.config),) * 3) <= 1e-4


def test_other_content_of_a_checkpoint_is_ignored(tmp_path):
    """A module's state dict carries versions, and the file contains the optimizer's state, too."""
    state = funlib.random_state()
    net = UNet(ModelConfig(features=2, levels=3))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(1, 1, 48, 48, 48)).sum().backward()
    optimizer.step()
    state._metadata = net.state_dict()._metadata
    half = funlib.random_state()
    half["final_conv_pass.conv_pass.0.bias"] = torch.zeros(2, dtype=torch.float64)
    more = {"optimizer_state_dict": optimizer.state_dict(), "iteration": 7, "loss": 0.5}
    assert converted(funlib.save(tmp_path / "m", state, **more)).config.levels == 3
    assert (
        read_published_checkpoint(funlib.save(tmp_path / "h", half))[1]["head.bias"].dtype
        == torch.float32
    )


def without(*names):
    return lambda state: {key: value for key, value in state.items() if key not in names}


def with_weight(name, *shape):
    return lambda state: {**state, name: torch.zeros(shape)}


FIRST, LAST = "unet.l_conv.0.conv_pass.0.weight", "final_conv_pass.conv_pass.0.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(FIRST), "has no layer 'unet.l_conv.0.conv_pass.0' .* found: 'final_conv_pass"),
        (without(LAST), "has no layer 'final_conv_pass.conv_pass.0'"),
        (without("unet.l_conv.2.conv_pass.2.bias"), "lacks 'unet.l_conv.2.conv_pass.2.bias' of"),
        (
            without("unet.l_conv.1.conv_pass.0.weight"),
            "lacks 'unet.l_conv.1.conv_pass.0.weight' of 3",
        ),
        (with_weight("unet.r_up.0.0.up.weight", 4, 4, 2, 2, 2), "by transposed convolutions"),
        (with_weight("unet.r_conv.1.0.conv_pass.0.weight", 2, 6, 3, 3, 3), "it has 2 heads"),
        (with_weight("aux.weight", 2, 2, 3, 3, 3), "it has 'aux.weight' besides a network of 3"),
        (with_weight(FIRST, 2, 1, 1, 3, 3), "has a kernel of 1 x 3 x 3 voxels; asem's .* 3 x 3 x"),
        (with_weight(FIRST, 2, 1, 3, 3), "has a kernel of 3 x 3 voxels"),
        (with_weight(LAST, 2, 2, 1, 1, 1), "has a kernel of 1 x 1 x 1 voxels"),
        (with_weight("norm.weight", 2), "has a kernel of no voxels"),
        (with_weight(FIRST, 0, 1, 3, 3, 3), "is empty"),
        (with_weight(FIRST, 2, 3, 3, 3, 3), "it has 3 input channels; asem's network has one"),
        (
            with_weight(LAST, 3, 2, 3, 3, 3),
            "it has 3 output channels; .* background and foreground",
        ),
        (with_weight("unet.l_conv.2.conv_pass.0.weight", 9, 4, 3, 3, 3), "are 2, 4, 9; they must"),
        (with_weight("unet.r_conv.0.0.conv_pass.0.weight", 2, 5, 3, 3, 3), r"shape \(2, 5, 3, 3"),
        (lambda state: {**state, "x": 3}, "'x' is no array of floating-point"),
        (lambda state: {**state, FIRST: state[FIRST].long()}, "is no array of floating-point"),
        (lambda state: {**state, FIRST: state[FIRST].to("meta")}, "is no array of floating-point"),
        (lambda state: {**state, FIRST: state[FIRST] * np.nan}, "not finite; its training diverg"),
        (lambda _: {}, "has no layer .* found: nothing"),
        (lambda _: [1], "has no 'model_state_dict'"),
    ],
)
def test_networks_that_own_cannot_be(tmp_path, change, message):
    file = funlib.save(tmp_path / "m.pt", change(funlib.random_state()))
    with pytest.raises(ValueError, match=rf"m\.pt cannot be converted: .*{message}") as caught:
        read_published_checkpoint(file)
    assert "\n" not in str(caught.value)


def test_too_many_levels(tmp_path):
    file = funlib.save(tmp_path / "m.pt", funlib.random_state(1, 1, 9, 1))
    with pytest.raises(ValueError, match="'levels': give a whole number from 1 to 8; got 9"):
        read_published_checkpoint(file)


def test_no_key_of_the_weights(tmp_path):
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "m")
    with pytest.raises(ValueError, match=r"has no 'model_.*found: 'epoch', 'state_dict'"):
        read_published_checkpoint(tmp_path / "m")
    torch.save(torch.zeros(3), tmp_path / "m")
    with pytest.raises(ValueError, match="found: Tensor"):
        read_published_checkpoint(tmp_path / "m")


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("place", ["next to", "inside"])
def test_nothing_but_tensors_is_unpickled(tmp_path, place):
    state, evil = funlib.random_state(), Evil(tmp_path / "executed")
    document = {"model_state_dict": state, "note": evil}
    if place == "inside":
        document = {"model_state_dict": {**state, "note": evil}}
    torch.save(document, tmp_path / "m")
    with pytest.raises(ValueError, match=r"more than tensors \(\w+\.mkdir\).*save its") as caught:
        read_published_checkpoint(tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()
    torch.load(tmp_path / "m", weights_only=False)  # without weights_only it is
    assert (tmp_path / "executed").exists()


def test_numpy_scalars_are_refused_with_what_to_do(tmp_path):
    funlib.save(tmp_path / "m", funlib.random_state(), loss=np.float64(0.5))
    with pytest.raises(ValueError, match=r"\(numpy\.[\w.]+\).*save its 'model_state_dict' alone"):
        read_published_checkpoint(tmp_path / "m")


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"PK\x05\x06" + bytes(30), pickle.dumps({"model_state_dict": {}}), bytes(5000)],
)
def test_no_torch_file(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ValueError, match=r"it is no file of torch\.save|PyTorch cannot read it"):
        read_published_checkpoint(tmp_path / "m")


def test_a_zip_that_is_no_checkpoint_and_one_that_is_cut(tmp_path):
    with zipfile.ZipFile(tmp_path / "m", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="PyTorch cannot read it"):
        read_published_checkpoint(tmp_path / "m")
    whole = funlib.save(tmp_path / "w", funlib.random_state()).read_bytes()
    (tmp_path / "m").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"it is no file of torch\.save"):
        read_published_checkpoint(tmp_path / "m")


def test_what_unpacks_to_more_than_it_is(tmp_path):
    funlib.save(tmp_path / "m", funlib.random_state(), padding=torch.zeros(1_000_000))
    with (
        zipfile.ZipFile(tmp_path / "m") as source,
        zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(ValueError, match=r"it unpacks to \d+ bytes, more than its size"):
        read_published_checkpoint(tmp_path / "bomb")


def test_a_view_of_few_bytes_that_claims_a_large_shape(tmp_path):
    state = funlib.random_state()
    state[FIRST] = torch.zeros(1, 1, 1, 1, 1).expand(10**9, 1, 3, 3, 3)
    with pytest.raises(ValueError, match="its tensors are larger than the file"):
        read_published_checkpoint(funlib.save(tmp_path / "m", state))


def test_damage_raises_one_line(tmp_path, rng):
    """With any damaged bytes, either the weights are read or the error is one line."""
    whole = funlib.save(tmp_path / "w", funlib.random_state(1, 1, 2, 1)).read_bytes()
    errors = []
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "m").write_bytes(damaged)
        try:
            read_published_checkpoint(tmp_path / "m")
        except ValueError as error:
            errors.append(str(error))
    assert len(errors) > 100
    assert not [line for line in errors if "\n" in line]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        read_published_checkpoint(tmp_path / "m")
