"""Products of bfloat16 matrices with float32 results on a CPU.

PyTorch's operators round such a product to bfloat16 on a CPU (``out_dtype`` is for CUDA), and bfloat16 logits
are two digits short. The kernel below them does not: `at::native::cpublas::brgemm` (oneDNN, AVX512_BF16 or
AMX), which PyTorch exports and its own attention on CPU is built on. It is found in the loaded library under
its mangled name. That name spells out the types of all arguments, so that another signature is another name;
where it is missing, or the CPU or the library lacks what it needs, `available` says so and callers use
float32.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# brgemm(M, N, K, ld_a, ld_b, ld_c, add_C, const BFloat16* A, const BFloat16* B, float* C, is_vnni)
_BRGEMM = "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb"
_RELEASE = "_ZN2at6native7cpublas14brgemm_releaseEb"
_COLUMNS = 64  # of one block, what AMX tiles and AVX512 registers are filled with
_FEWEST_ROWS = 32  # that are worth a thread


def available(width: int) -> bool:
    """Whether states of ``width`` entries can be multiplied here."""
    return width % 2 == 0 and bool(torch.backends.mkldnn.enabled) and _kernel() is not None


def pack(weight: Tensor) -> Tensor:
    """A weight [n, d], bfloat16, in the order in which the kernel reads it: [n / 64, d / 2, 64, 2]."""
    rows, width = weight.shape
    blocks = -(-rows // _COLUMNS)
    if rows % _COLUMNS:
        weight = torch.cat([weight, weight.new_zeros(blocks * _COLUMNS - rows, width)])
    # Neighbours in a row stay together, which as one 32-bit word each they do.
    pairs = weight.contiguous().view(torch.int32).view(blocks, _COLUMNS, width // 2)
    return pairs.transpose(1, 2).contiguous().view(torch.bfloat16).view(blocks, width // 2, _COLUMNS, 2)


def multiply(rows: Tensor, packed: Tensor, out: Tensor) -> Tensor:
    """``rows @ weight.T`` into ``out``.

    Args:
        rows: [N, d], bfloat16, contiguous.
        packed: the weight, from `pack`.
        out: [N, n], float32, contiguous.
    """
    kernel = _kernel()
    assert kernel is not None and rows.is_contiguous() and out.is_contiguous()
    count, threads = rows.shape[0], torch.get_num_threads()
    share = max(_FEWEST_ROWS, -(-count // threads))
    chunks = [(each, packed, out_) for each, out_ in zip(rows.split(share), out.split(share), strict=True)]
    if len(chunks) == 1:
        kernel(rows, packed, out)
    else:
        list(_pool(os.getpid(), threads).map(lambda chunk: kernel(*chunk), chunks))
    return out


@cache
def _kernel() -> Callable[[Tensor, Tensor, Tensor], None] | None:
    limited = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"} & os.environ.keys()
    if sys.platform != "linux" or platform.machine() != "x86_64" or limited:
        return None
    if not (torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported()):
        return None
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    try:
        brgemm, release = library[_BRGEMM], library[_RELEASE]
    except AttributeError:
        return None
    brgemm.restype = release.restype = None
    brgemm.argtypes = [ctypes.c_int64] * 6 + [ctypes.c_bool] + [ctypes.c_void_p] * 3 + [ctypes.c_bool]
    release.argtypes = [ctypes.c_bool]

    def kernel(rows: Tensor, packed: Tensor, out: Tensor) -> None:
        (count, width), columns = rows.shape, out.shape[1]
        left, right, result = rows.data_ptr(), packed.data_ptr(), out.data_ptr()
        for start in range(0, columns, _COLUMNS):
            n = min(_COLUMNS, columns - start)
            block, place = right + 2 * start * width, result + 4 * start
            brgemm(count, n, width, width, _COLUMNS, columns, False, left, block, place, True)
        release(True)  # AMX's tile registers, which belong to the thread

    return kernel if _right(kernel) else None


def _right(kernel: Callable[..., None]) -> bool:
    """Whether the kernel multiplies: checked once, on whole blocks and a part of one."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 38, generator=generator).bfloat16()
    weight = torch.randn(70, 38, generator=generator).bfloat16()
    out = torch.full((5, 70), torch.nan)
    kernel(rows, pack(weight), out)
    return torch.allclose(out, rows.float() @ weight.float().T, rtol=1e-5, atol=1e-4)


@cache
def _pool(process: int, threads: int) -> Any:
    """Threads of this ``process``: those of its parent are not there after a fork."""
    return ThreadPoolExecutor(threads)
