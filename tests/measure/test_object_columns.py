"""Objects measured block by block equal those of the whole, in any order of the blocks."""

import sys
from functools import partial

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asem.blocks.executors import SERIAL_EXECUTOR, SerialExecutor, run_and_wait
from asem.blocks.output_image import create_image
from asem.measure import object_columns
from asem.measure.object_columns import BlockObjects, measure_objects, merge_columns
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from shards import small_shards

# Workers cannot import the tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
REDUCTIONS = {"voxels": "sum", "grey": "sum", "weight": "sum", "darkest": "min", "last_x": "max"}
EXACT = ("id", "voxels", "grey", "darkest", "last_x")


def measure(block, *, labels, grey):
    """Columns of the objects of a block: integers, floats, and a position in the volume."""
    objects = BlockObjects.from_labels(labels[block.slices])
    values = grey[block.slices]
    x = np.broadcast_to(np.arange(block.offset[2], block.end[2]), block.shape)
    return {
        "id": objects.ids,
        "voxels": objects.count(),
        "grey": objects.sum(values),
        "weight": objects.sum(np.sqrt(values, dtype=np.float32)),
        "darkest": objects.min(values.astype(np.float64)),
        "last_x": objects.max(x),
    }


def expected_columns(labels, grey):
    """The same columns, object by object."""
    ids = [i for i in np.unique(labels).tolist() if i not in (0, np.iinfo(labels.dtype).max)]
    masks = [labels == i for i in ids]
    return {
        "id": ids,
        "voxels": [np.count_nonzero(mask) for mask in masks],
        "grey": [grey[mask].sum(dtype=int) for mask in masks],
        "weight": [np.sqrt(grey[mask], dtype=np.float32).sum(dtype=float) for mask in masks],
        "darkest": [grey[mask].min() for mask in masks],
        "last_x": [np.nonzero(mask)[2].max() for mask in masks],
    }


def check_columns(found, labels, grey):
    expected = expected_columns(labels, grey)
    assert set(found) == set(expected)
    for name in EXACT:
        assert found[name].tolist() == expected[name], name
    assert found["weight"] == pytest.approx(expected["weight"])


small = st.tuples(*[st.integers(1, 7)] * 3)
label_arrays = arrays(np.uint8, small, elements=st.sampled_from([0, 1, 1, 2, 9, 255]))


@settings(max_examples=60)
@given(label_arrays, st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 100))
def test_merged_blocks_equal_the_whole(labels, block_shape, seed):
    grey = np.random.default_rng(seed).integers(0, 2**16, labels.shape).astype(np.uint16)
    blocks = split_into_blocks(Roi.of_shape(labels.shape), block_shape)
    parts = [measure(block, labels=labels, grey=grey) for block in blocks]
    check_columns(merge_columns(parts, REDUCTIONS), labels, grey)


@pytest.fixture
def volume(rng, monkeypatch):
    """Labels and grey values of 18 blocks; object 3 is in all of them, the last block has it only.

    ::

        y, x:   block  block  block      z: 8 + 1
                block  block  block      y: 8 + 8 + 1, x: 8 + 8 + 4
                block  block  block
    """
    small_shards(8, monkeypatch.setattr)
    labels = rng.choice(np.array([0, 3, 3, 40_000, 2**32 - 1], np.uint32), (9, 17, 20))
    labels[:8, :8, :8] = 0
    labels[0, 0, 0], labels[8, 16, 16:] = 3, 3
    return labels, rng.integers(0, 2**16, labels.shape).astype(np.uint16)


def run(path, volume, measure_block=measure, executor=SERIAL_EXECUTOR, **options):
    """Measure a volume while an image is written."""
    labels, grey = volume
    template = Volume(labels, (5.0,) * 3, kind="labels")
    function = partial(measure_block, labels=labels, grey=grey)
    with create_image(
        path, template, command="test", request={}, sources=[], executor=executor, **options
    ) as output:
        assert len(output.write_blocks()) == 18
        return measure_objects(output, function, REDUCTIONS, stage="columns")


class ShuffledExecutor(SerialExecutor):
    """Finishes blocks in another order."""

    def run(self, block_function, blocks, **options):
        for index in np.random.default_rng(5).permutation(len(blocks)):
            run_and_wait(block_function, blocks[index])
            yield (blocks[index],)


def as_bytes(columns):
    return {name: (values.dtype.name, values.tobytes()) for name, values in columns.items()}


def test_a_volume_in_any_order_of_its_blocks(tmp_path, volume):
    found = run(tmp_path / "serial", volume)
    check_columns(found, *volume)
    shuffled = run(tmp_path / "shuffled", volume, executor=ShuffledExecutor())
    assert as_bytes(shuffled) == as_bytes(found)
    assert {values.dtype.name for values in found.values()} == {"uint64", "int64", "float64"}


def test_a_volume_on_dask_workers(tmp_path, volume, two_workers):
    parallel = run(tmp_path / "dask", volume, executor=two_workers)
    assert as_bytes(parallel) == as_bytes(run(tmp_path / "serial", volume))


class Stop(Exception):
    pass


def test_a_resumed_run_measures_only_the_remaining_blocks(tmp_path, volume):
    measured = []

    def counting(block, *, labels, grey):
        measured.append(block)
        return measure(block, labels=labels, grey=grey)

    def stop(stage, done, total):
        if stage == "columns" and 2 * done > total:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "out", volume, counting, progress=stop)
    assert 0 < len(set(measured)) < 18
    found = run(tmp_path / "out", volume, counting)
    assert len(set(measured)) == 18
    assert len(measured) <= 19  # the one in flight
    check_columns(found, *volume)


def test_a_volume_without_objects(tmp_path, volume):
    labels, grey = volume
    found = run(tmp_path / "out", (np.zeros_like(labels), grey))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(found, 0)
    assert found["weight"].dtype == np.float64


def test_a_million_objects_are_merged_in_steps_with_equal_sums(rng, monkeypatch):
    parts = [
        {"id": np.sort(rng.integers(0, 10**6, 10**5)).astype(np.uint64), "sum": rng.random(10**5)}
        for _ in range(30)
    ]
    at_once = merge_columns(parts, {"sum": "sum"})
    monkeypatch.setattr(object_columns, "MIN_MERGED_ROWS", 10**5)
    in_steps = merge_columns(iter(parts), {"sum": "sum"})
    assert len(at_once["id"]) > 9e5
    assert as_bytes(in_steps) == as_bytes(at_once)
    all_ids = np.concatenate([part["id"] for part in parts]).astype(np.int64)
    sums = np.bincount(all_ids, np.concatenate([part["sum"] for part in parts]))
    assert (at_once["sum"] == sums[at_once["id"].astype(np.int64)]).all()


def test_large_ids_and_large_sums_are_exact():
    largest = np.iinfo(np.uint64).max
    labels = np.array([[[largest - 1, 1, largest, largest - 1]]], np.uint64)
    objects = BlockObjects.from_labels(labels)
    assert objects.ids.tolist() == [1, largest - 1]
    sums = objects.sum(np.array([[[2**53, 5, 7, 1]]], np.int64))
    parts = [{"id": objects.ids, "n": sums}, {"id": objects.ids, "n": sums}]
    assert merge_columns(parts, {"n": "sum"})["n"].tolist() == [10, 2**54 + 2]


def without_voxels(block, **volume):
    columns = measure(block, **volume)
    del columns["voxels"]
    return columns


def with_uint64(block, **volume):
    columns = measure(block, **volume)
    return columns | {"grey": columns["grey"].astype(np.uint64)}


def with_floats_in_one_block(block, **volume):
    columns = measure(block, **volume)
    dtype = np.float64 if block.offset == (0, 0, 0) else np.int64
    return columns | {"grey": columns["grey"].astype(dtype)}


@pytest.mark.parametrize(
    ("measure_block", "message"),
    [
        (without_voxels, "returned the columns darkest, grey, id, last_x, weight, not darkest, g"),
        (with_uint64, "grey is uint64; convert it to int64 or float64"),
        (with_floats_in_one_block, "grey is float64 and int64 in different blocks"),
    ],
)
def test_bad_columns(tmp_path, volume, measure_block, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "out", volume, measure_block)


def test_columns_of_different_lengths_are_damage(tmp_path, volume):
    def shortened(block, **volume):
        columns = measure(block, **volume)
        return columns | {"grey": columns["grey"][:0]}

    with pytest.raises(OSError, match=r"0_0_0\.npz is damaged; give --overwrite to restart"):
        run(tmp_path / "out", volume, shortened)
