"""`longllava doctor`: versions, devices, what was proved to work, what is missing and how to get it."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "longllava-domains", "torch", "transformers", "accelerate", "peft", "pydicom", "imagecodecs",
    "nibabel", "highdicom",
)  # fmt: skip
_REMOTE_SENSING = 'pip install "longllava-domains[remote-sensing]"'
_OPTIONAL = {
    "kernels": 'pip install "longllava-domains[gpu]" (prebuilt CUDA kernels)',
    "mamba-ssm": 'pip install --no-build-isolation "longllava-domains[gpu-src]" (needs nvcc)',
    "causal-conv1d": 'pip install --no-build-isolation "longllava-domains[gpu-src]" (needs nvcc)',
    "flash-attn": "pip install --no-build-isolation flash-attn (CUDA only)",
    "triton": "comes with CUDA builds of torch",
    "rasterio": _REMOTE_SENSING,
    "geopandas": _REMOTE_SENSING,
    "openslide-python": 'pip install "longllava-domains[pathology]"',
}
# A kernel's name in the reports -> as a person reads it.
_IN_WORDS = {"blocked": "our own, block by block"}


@dataclass(frozen=True)
class Diagnostic:
    """One line of the examination.

    Attributes:
        name: What was looked at.
        status: ``"ok"``, ``"absent"`` (optional) or ``"failed"``.
        detail: A version, a proof, or how to install what is missing.
    """

    name: str
    status: str
    detail: str


def examine() -> list[Diagnostic]:
    """Look at the environment and run the network once at a tiny size on every device present."""
    diagnostics = [
        Diagnostic("python", "ok", f"{platform.python_version()} on {platform.machine()}")
    ]
    diagnostics += [_required(name) for name in _PACKAGES]
    diagnostics += [_optional(name, remedy) for name, remedy in _OPTIONAL.items()]
    diagnostics.append(_processor())
    diagnostics += [_device(device) for device in _devices()]
    diagnostics.append(_proved("image codecs", _decode_a_codestream))
    if _version("rasterio") is not None:
        diagnostics.append(_proved("GDAL", _open_a_raster))
    return diagnostics


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _required(name: str) -> Diagnostic:
    found = _version(name)
    return Diagnostic(name, "ok" if found else "failed", found or f"pip install {name}")


def _optional(name: str, remedy: str) -> Diagnostic:
    found = _version(name)
    return Diagnostic(name, "ok" if found else "absent", found or remedy)


def _devices() -> list[str]:
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu", *cuda]


def _processor() -> Diagnostic:
    """Say which precision this processor multiplies fast."""
    import torch

    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return Diagnostic("processor", "ok", "has bfloat16 instructions")
    return Diagnostic("processor", "ok", "no bfloat16 instructions: --dtype float32 is faster here")


def _device(device: str) -> Diagnostic:
    """Prove a device by a forward of the packaged model, not by an import."""

    def forward() -> str:
        """Run one forward and check that its logits are finite."""
        import torch

        from longllava_domains.model import load_model

        network = load_model("demo", device=device, dtype="float32").network
        with torch.inference_mode():
            logits = network(input_ids=torch.arange(4, 12, device=device)[None]).logits
        if not bool(torch.isfinite(logits).all()):
            raise ArithmeticError("the logits are not finite")
        return f"a forward of the demonstration model is finite; {_kernels(device)}"

    return _proved(f"device {device}", forward)


def _kernels(device: str) -> str:
    import torch

    from longllava_domains.model.kernels.report import kernel_report

    report = kernel_report(torch.device(device))
    chosen = {what: str(found["chosen"]) for what, found in report.items()}
    return ", ".join(f"{what}: {_IN_WORDS.get(name, name)}" for what, name in chosen.items())


def _decode_a_codestream() -> str:
    import imagecodecs
    import numpy as np

    plane = np.arange(256, dtype=np.uint16).reshape(16, 16)
    if not np.array_equal(imagecodecs.jpegls_decode(imagecodecs.jpegls_encode(plane)), plane):
        raise ArithmeticError("JPEG-LS is not lossless here")
    return "JPEG-LS round trip is exact"


def _open_a_raster() -> str:
    import rasterio.transform
    from rasterio.io import MemoryFile

    place = rasterio.transform.from_origin(10, 50, 1, 1)
    with (
        MemoryFile() as memory,
        memory.open(
            driver="GTiff", width=2, height=2, count=1, dtype="uint8", transform=place
        ) as raster,
    ):
        return f"GDAL {rasterio.__gdal_version__}, driver {raster.driver}"


def _proved(name: str, proof: Callable[[], str]) -> Diagnostic:
    # The examination reports whatever goes wrong, so that a broken install can be described.
    try:
        return Diagnostic(name, "ok", proof())
    except Exception as error:
        return Diagnostic(name, "failed", str(error) or type(error).__name__)
