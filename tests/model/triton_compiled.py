"""Compile our Triton kernels for two GPUs without having one, and print the sizes as JSON.

A program of its own, because Triton must not be in its interpreter's mode.
"""

import json

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from longllava_domains.model import conv_triton, scan_triton

SCAN = {"HAS_RESETS": True, "STATES": 16, "TOKENS": 32, "CHANNELS": 8}
TAPS = {"HAS_VISIBLE": True, "WIDTH": 4, "TOKENS": 32, "CHANNELS": 64}
KERNELS = {
    "scan forward": (scan_triton.scan_forward_kernel, SCAN),
    "scan backward": (scan_triton.scan_backward_kernel, SCAN),
    "convolution forward": (conv_triton.convolution_forward_kernel, {"HAS_BIAS": True, **TAPS}),
    "convolution backward": (conv_triton.convolution_backward_kernel, TAPS),
}


def argument_type(name: str) -> str:
    special = {"reset_ptr": "*u8", "visible_ptr": "*i64"}
    return special.get(name, "*fp32" if name.endswith("_ptr") else "i32")


def main() -> None:
    sizes = {}
    for capability in (80, 90):
        for name, (kernel, constants) in KERNELS.items():
            signature = {
                argument: "constexpr" if argument in constants else argument_type(argument)
                for argument in kernel.arg_names
            }
            source = ASTSource(kernel, signature=signature, constexprs=constants)
            compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
            sizes[f"{name}, sm_{capability}"] = len(compiled.asm["cubin"])
    print(json.dumps(sizes))


if __name__ == "__main__":
    main()
