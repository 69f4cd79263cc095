import pytest
import torch
from tensordict import NonTensorData, NonTensorStack, TensorDict

from bupo.training.memory_queue import MemoryQueue


def jagged(*rows):
    return torch.nested.as_nested_tensor([torch.tensor(row) for row in rows], layout=torch.jagged)


@pytest.fixture
def queue():
    queue = MemoryQueue()
    fields = TensorDict(
        {
            "ids": jagged([1, 2, 3], [4]),
            "score": torch.tensor([0.5, 1.0]),
            "info": NonTensorStack({"a": 1}, {"a": 2}),
            "same": NonTensorData("x"),
        },
        batch_size=2,
    )
    queue.kv_batch_put(["k1", "k2"], "train", fields, tags=[{"n": 1}, {"n": 2}])
    return queue


def test_rows_come_back_in_the_order_asked_for(queue):
    data = queue.kv_batch_get(["k2", "k1"], "train")
    assert [row.tolist() for row in data["ids"].unbind()] == [[4], [1, 2, 3]]
    assert data["score"].tolist() == [1.0, 0.5]
    assert list(data["info"]) == [{"a": 2}, {"a": 1}]
    assert list(data["same"]) == ["x", "x"]


def test_fields_and_tags_are_added(queue):
    queue.kv_batch_put(["k1"], "train", tags=[{"m": 3}])
    meta = queue.kv_batch_put(["k1", "k2"], "train", TensorDict({"adv": jagged([0.1], [0.2])}, batch_size=2))
    assert meta.tags == [{"n": 1, "m": 3}, {"n": 2}]
    assert set(queue.kv_batch_get(["k1"], "train", ["adv", "ids"]).keys()) == {"adv", "ids"}


def test_fields_that_were_never_put_are_left_out(queue):
    assert set(queue.kv_batch_get(["k1"], "train", ["ids", "values"]).keys()) == {"ids"}


def test_a_field_of_some_rows_only_is_refused(queue):
    queue.kv_batch_put(["k1"], "train", TensorDict({"adv": jagged([0.1])}, batch_size=1))
    with pytest.raises(ValueError, match="not ready"):
        queue.kv_batch_get(["k1", "k2"], "train", ["adv"])


def test_unknown_keys_are_refused(queue):
    with pytest.raises(ValueError, match="k3"):
        queue.kv_batch_get(["k1", "k3"], "train")
    with pytest.raises(ValueError, match="neither"):
        queue.kv_batch_put(["k1"], "train")


def test_list_and_clear(queue):
    queue.kv_batch_put(["v"], "val", tags=[{"status": "finished"}])
    assert queue.kv_list() == {
        "train": {"k1": {"n": 1}, "k2": {"n": 2}},
        "val": {"v": {"status": "finished"}},
    }
    queue.kv_clear(["k1", "gone"], "train")
    assert queue.kv_list("train") == {"train": {"k2": {"n": 2}}}
    queue.close()
    assert queue.kv_list() == {}
