"""Logits in float32: bfloat16 states and weights are fine, bfloat16 logits would lose two digits."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from bupo.policies import brgemm

# What the operands of a product are rounded to; the result is never narrower than float32.
Products = Literal["float32", "bfloat16"]
PRODUCTS: tuple[Products, ...] = ("float32", "bfloat16")
_HALF = (torch.bfloat16, torch.float16)


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right.T`` in float32, or in float64 where ``left`` is; [N, k] and [M, k] give [N, M]."""
    return Factor(right.to(left.dtype)).times(left)


class Factor:
    """A matrix [M, k] made ready once for many products."""

    def __init__(self, matrix: Tensor) -> None:
        """Take ``matrix``; a bfloat16 one is packed, or widened where the CPU has no use for bfloat16."""
        self.columns = matrix.shape[0]
        self.packed = False
        if matrix.dtype in _HALF and not matrix.is_cuda:
            fits = self.columns > 0 and brgemm.available(matrix.shape[1])
            self.packed = fits and matrix.dtype == torch.bfloat16
            matrix = brgemm.pack(matrix) if self.packed else matrix.float()
        self.matrix = matrix

    def times(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """``rows @ matrix.T``, [N, M].

        Args:
            rows: [N, k], of the type that the matrix had.
            out: memory for the result, [at least N * M], which may be used or not.
        """
        shape = (rows.shape[0], self.columns)
        if out is not None:
            out = out[: shape[0] * shape[1]].view(shape)
        if 0 in shape:
            return rows.new_zeros(shape, dtype=torch.promote_types(rows.dtype, torch.float32))
        if rows.is_cuda and rows.dtype in _HALF:
            if out is None:
                return torch.mm(rows, self.matrix.T, out_dtype=torch.float32)
            return torch.mm(rows, self.matrix.T, out_dtype=torch.float32, out=out)
        if self.packed:
            out = rows.new_empty(shape, dtype=torch.float32) if out is None else out
            return brgemm.multiply(rows.contiguous(), self.matrix, out)
        rows = rows.to(self.matrix.dtype)
        linear = _onednn_linear()
        if linear is not None and rows.device.type == "cpu" and rows.dtype == torch.float32:
            return linear(rows, self.matrix, None, "none", [], "")
        return torch.mm(rows, self.matrix.T, out=out)


@cache
def _onednn_linear() -> Callable[..., Tensor] | None:
    """oneDNN's float32 product, the operator that ``torch.compile`` puts in the place of linear layers.

    ``torch.mm`` goes through MKL, which is half as fast on a CPU that is not Intel's. Both are float32
    throughout.
    """
    operators: Any = torch.ops.mkldnn
    return getattr(operators, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
