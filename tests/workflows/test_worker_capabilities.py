"""What several workers of a prediction can do together."""

from asem.model.config import ModelConfig
from asem.workflows.worker_capabilities import (
    WorkerCapabilities,
    common_precision,
    find_common_tile,
    rank_workers,
)


def worker(host, address, *, bf16=False, free_bytes=2**33):
    return WorkerCapabilities(host, address, ("cpu",), bf16, free_bytes)


def test_workers_are_ranked_on_their_machine_by_address():
    workers = [worker("a", "tcp://3"), worker("b", "tcp://2"), worker("a", "tcp://1")]
    assert rank_workers(workers) == {"tcp://1": 0, "tcp://2": 0, "tcp://3": 1}
    assert rank_workers([worker("a", None)]) == {}


def test_bf16_is_used_where_all_workers_have_it():
    assert common_precision([worker("a", "1", bf16=True), worker("b", "2", bf16=True)]) == "bf16"
    assert common_precision([worker("a", "1", bf16=True), worker("b", "2")]) == "32"


def test_workers_of_one_machine_share_its_memory():
    config = ModelConfig()
    (alone,) = {
        find_common_tile(config, "32", [worker(host, host) for host in hosts])
        for hosts in ("a", "ab", "abc")
    }
    shared = find_common_tile(config, "32", [worker("a", "1"), worker("a", "2")])
    assert shared < alone
    assert shared == find_common_tile(config, "32", [worker("a", "1", free_bytes=2**32)])
