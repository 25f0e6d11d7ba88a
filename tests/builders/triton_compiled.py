"""Compile our Triton kernels for two GPUs without having one, and print the sizes as JSON.

A program of its own, because Triton must not be in its interpreter's mode.
"""

import json

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from longllava_domains.model.kernels.conv import triton as conv_triton
from longllava_domains.model.kernels.int8_experts import triton as int8_experts_triton
from longllava_domains.model.kernels.scan import triton as scan_triton

SCAN = {"HAS_RESETS": True, "STATES": 16, "TOKENS": 32, "CHANNELS": 8}
TAPS = {"HAS_VISIBLE": True, "WIDTH": 4, "TOKENS": 32, "CHANNELS": 64}
EXPERTS = {"COLUMNS": 128, "DEPTH": 64}
KERNELS = {
    "scan forward": (scan_triton.scan_forward_kernel, SCAN),
    "scan backward": (scan_triton.scan_backward_kernel, SCAN),
    "convolution forward": (conv_triton.convolution_forward_kernel, {"HAS_BIAS": True, **TAPS}),
    "convolution backward": (conv_triton.convolution_backward_kernel, TAPS),
    "experts, few rows": (int8_experts_triton.grouped_product_kernel, {"ROWS": 16, **EXPERTS}),
    "experts, many rows": (int8_experts_triton.grouped_product_kernel, {"ROWS": 64, **EXPERTS}),
}
GROUPED_TYPES = {
    "x_ptr": "*bf16", "y_ptr": "*bf16", "weight_ptr": "*i8", "blocks_ptr": "*i32",
    "source_ptr": "*i64", "target_ptr": "*i64",
}  # fmt: skip


def argument_type(name: str, grouped: bool) -> str:
    special = GROUPED_TYPES if grouped else {"reset_ptr": "*u8", "visible_ptr": "*i64"}
    return special.get(name, "*fp32" if name.endswith("_ptr") else "i32")


def main() -> None:
    sizes = {}
    for capability in (80, 90):
        for name, (kernel, constants) in KERNELS.items():
            grouped = name.startswith("experts")
            signature = {
                argument: "constexpr" if argument in constants else argument_type(argument, grouped)
                for argument in kernel.arg_names
            }
            source = ASTSource(kernel, signature=signature, constexprs=constants)
            compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
            sizes[f"{name}, sm_{capability}"] = len(compiled.asm["cubin"])
    print(json.dumps(sizes))


if __name__ == "__main__":
    main()
