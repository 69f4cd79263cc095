"""The part of verl's TransferQueue that training uses, held in this process.

TransferQueue keeps trajectories in two other processes and sends them over sockets. With one rank there is
nobody to send them to: the functions below have the signatures of its key-value interface, and results are
packed as it packs them.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import NonTensorData, NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta


class MemoryQueue:
    """Rows by partition and key; each row has fields (tensors or objects) and a tag (a dictionary)."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.tags: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)

    def init(self, conf: Any = None) -> Any:
        """There is nothing to start."""
        return conf

    def close(self) -> None:
        """Forget everything."""
        self.rows.clear()
        self.tags.clear()

    def kv_batch_put(
        self,
        keys: list[str],
        partition_id: str,
        fields: TensorDict | None = None,
        tags: list[dict[str, Any]] | None = None,
        data_parser: Any = None,
    ) -> KVBatchMeta:
        """Add fields to rows and entries to their tags; rows that are new are made.

        Raises:
            ValueError: the lengths differ, or there is nothing to put.
        """
        if (fields is None and tags is None) or data_parser is not None:
            raise ValueError(
                "a put of neither fields nor tags, or with a parser, which this queue does not have"
            )
        columns = (
            {} if fields is None else {name: _rows(column, len(keys)) for name, column in fields.items()}
        )
        for position, key in enumerate(keys):
            row = self.rows[partition_id].setdefault(key, {})
            row.update({name: values[position] for name, values in columns.items()})
            tag = self.tags[partition_id].setdefault(key, {})
            if tags is not None:
                tag.update(tags[position])
        return KVBatchMeta(
            keys=list(keys),
            tags=[dict(self.tags[partition_id][key]) for key in keys],
            partition_id=partition_id,
            fields=sorted(self.rows[partition_id][keys[0]]) if keys else [],
        )

    def kv_batch_get(
        self, keys: list[str], partition_id: str, select_fields: Sequence[str] | str | None = None
    ) -> TensorDict:
        """The fields of rows; fields that were never put are left out, as TransferQueue does.

        Raises:
            ValueError: a key that is not there, or a field that only some of the rows have.
        """
        partition = self.rows[partition_id]
        missing = [key for key in keys if key not in partition]
        if missing or not keys:
            raise ValueError(f"keys that are not in partition {partition_id!r}: {missing[:3]}")
        rows = [partition[key] for key in keys]
        wanted = [select_fields] if isinstance(select_fields, str) else select_fields
        names = [name for name in (wanted or sorted(rows[0])) if any(name in row for row in rows)]
        if any(name not in row for name in names for row in rows):
            raise ValueError("some fields are not ready in all the requested keys")
        return TensorDict({name: _pack([row[name] for row in rows]) for name in names}, batch_size=len(keys))

    def kv_list(self, partition_id: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
        """Keys and tags, by partition."""
        names = list(self.tags) if partition_id is None else [partition_id]
        return {name: {key: dict(tag) for key, tag in self.tags[name].items()} for name in names}

    def kv_clear(self, keys: list[str] | str, partition_id: str) -> None:
        """Forget rows; unknown keys are ignored."""
        for key in [keys] if isinstance(keys, str) else keys:
            self.rows[partition_id].pop(key, None)
            self.tags[partition_id].pop(key, None)


def _rows(column: Any, count: int) -> Sequence[Any]:
    """A column of a batch as one value a row."""
    if isinstance(column, NonTensorData):
        return [column.data] * count
    if isinstance(column, torch.Tensor):
        return column.unbind()
    return column.tolist() if hasattr(column, "tolist") else list(column)


def _pack(values: list[Any]) -> Any:
    """One value a row as a column: scalars stacked, other tensors jagged, objects in a stack."""
    if not all(isinstance(value, torch.Tensor) for value in values):
        return NonTensorStack(*values)
    if all(value.dim() == 0 for value in values):
        return torch.stack(values)
    return torch.nested.as_nested_tensor(values, layout=torch.jagged)
