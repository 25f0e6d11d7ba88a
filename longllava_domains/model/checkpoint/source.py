"""Find the folder of a model by its name: the demonstration model, a folder, or a hub repository."""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from longllava_domains.errors import CheckpointError, NetworkError
from longllava_domains.model.checkpoint.files import has_weights
from longllava_domains.units import did_you_mean

DEMO: Final = "demo"

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*\Z")
_HUB_SCHEME: Final = "hf://"
# What people call the folders of their models: a slip of the pen must not ask the hub for one.
_FOLDERS: Final = frozenset(
    {
        "adapter", "adapters", "checkpoint", "checkpoints", "ckpt", "data", "experiments", "models",
        "model", "out", "output", "outputs", "results", "runs", "tmp", "weights", "work",
    }
)  # fmt: skip
# What the hub answers, in words; the first that fits.
_HUB_ANSWERS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (GatedRepoError, "its owner has to grant you access first"),
    (RepositoryNotFoundError, "the hub knows no such repository, or it is private"),
    (RevisionNotFoundError, "the repository has no such revision"),
    (HFValidationError, "the hub allows no such name"),
    (OfflineModeIsEnabled, "this process is set to stay offline"),
    (LocalEntryNotFoundError, "the hub could not be reached"),
)
# Data only: nothing executable is ever fetched.
_PATTERNS: Final = ("*.json", "*.safetensors", "README.md")
_PICKLED: Final = ("*.bin",)
_ADAPTER: Final = (
    "adapter_config.json", "adapter_model.*", "non_lora_trainables.bin", "README.md",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A model's files on this machine, and what to call it.

    Attributes:
        folder: Where config.json and the weights are.
        hub_id: The repository they came from, None for a local folder.
        revision: The commit of that repository.
        demo: True for the packaged demonstration model.
    """

    folder: Path
    hub_id: str | None = None
    revision: str | None = None
    demo: bool = False


def locate(model: str | Path) -> Source:
    """Find a model's files; only a hub id that is no folder here reaches the network.

    Args:
        model: ``"demo"``, a folder, or a hub id such as ``"FreedomIntelligence/LongLLaVA-9B"``
            (``hf://`` before it says so where a folder here is called like its owner).

    Raises:
        CheckpointError: No such folder and no hub id, a folder without config.json, or the package
            holds no demonstration model.
        NetworkError: The hub refused, does not know the repository, or could not be reached.
    """
    if not isinstance(model, (str, Path)):
        raise _absent()
    if str(model) == DEMO:
        return _demo()
    folder = _folder(model)
    if folder is not None:
        _require_config(folder)
        return Source(folder)
    name = _hub_name(model)
    if name is None:
        raise _absent(model)
    return _from_hub(name)


def require_name(model: str) -> None:
    """Refuse what names no model, as far as that shows without asking the hub.

    Args:
        model: As in `locate`.

    Raises:
        CheckpointError: As `locate`.
    """
    if model == DEMO or _folder(model) is not None or _hub_name(model) is None:
        locate(model)


def _hub_name(model: str | Path) -> str | None:
    """Return the hub repository that a name stands for; None for what is no hub id."""
    if not isinstance(model, str):
        return None
    name = model.removeprefix(_HUB_SCHEME)
    is_asked = is_hub_id(name) and (name != model or not _looks_local(name))
    return name if is_asked else None


def _absent(model: object = "") -> CheckpointError:
    return CheckpointError(
        "There is no model of that name: neither a folder nor a hub id.",
        remedy=f'{did_you_mean(model, [DEMO])}Use "demo", a folder with config.json and weights, or a hub id like owner/name '
        "(hf://owner/name where a folder here is called like the owner).",
        code="checkpoint.absent",
    )


def _require_config(folder: Path) -> None:
    """Refuse a folder that holds no model.

    Raises:
        CheckpointError: It has no config.json.
    """
    if (folder / "config.json").exists():
        return
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            "The folder holds an adapter, and no model: it has no config.json.",
            remedy="Name the model that it was trained on, and give the folder as the adapter.",
            code="checkpoint.no_config",
        )
    raise CheckpointError(
        "The folder has no config.json, so it holds no model.",
        remedy="Name a folder that holds config.json, tokenizer.json and the weights "
        "(.safetensors, with their index where they are in parts), as a checkpoint is published.",
        code="checkpoint.no_config",
    )


def _folder(model: str | Path) -> Path | None:
    try:
        folder = Path(model).expanduser()
        return folder if str(model) and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, or the home of nobody
        return None


def _looks_local(name: str) -> bool:
    """Return whether a name is more likely a folder misspelled than a repository of the hub."""
    owner = name.partition("/")[0]
    return owner.lower() in _FOLDERS or Path(owner).exists()


def is_hub_id(name: str) -> bool:
    """Return True for a name that is spelled like a hub repository: owner/name."""
    return _HUB_ID.match(name) is not None


def download(hub_id: str, **where: Any) -> Path:
    """Fetch the configuration and weights of a hub repository; return its folder in the cache.

    Args:
        hub_id: The repository.
        **where: ``revision``, ``token`` and the like, as `snapshot_download` takes them.

    Raises:
        NetworkError: The hub refused, does not know the repository, or could not be reached.
    """
    folder = _snapshot(hub_id, _PATTERNS, **where)
    return folder if has_weights(folder) else _snapshot(hub_id, (*_PATTERNS, *_PICKLED), **where)


def download_adapter(hub_id: str) -> Path:
    """Fetch a PEFT adapter from the hub; return its folder in the cache.

    Raises:
        NetworkError: The hub refused, does not know the repository, or could not be reached.
    """
    return _snapshot(hub_id, _ADAPTER)


def _demo() -> Source:
    folder = Path(str(files("longllava_domains.model") / "demo"))
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            "This installation holds no demonstration model.",
            remedy="Install a released wheel, or make it with scripts/train_demo.py.",
            code="checkpoint.demo",
        )
    return Source(folder, demo=True)


def _from_hub(hub_id: str) -> Source:
    folder = download(hub_id)
    # The cache names a snapshot's folder after its commit.
    return Source(folder, hub_id=hub_id, revision=folder.name)


def _snapshot(hub_id: str, patterns: tuple[str, ...], **where: Any) -> Path:
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns), **where))
    except (OSError, HFValidationError) as error:  # every refusal of the hub is an OSError
        answers = (told for kind, told in _HUB_ANSWERS if isinstance(error, kind))
        raise NetworkError(
            f"The name is no folder here and could not be fetched from the hub: "
            f"{next(answers, 'the connection failed')}.",
            remedy="Check the name and the connection, or download it elsewhere and name the folder.",
            code="model.hub",
        ) from None  # it may quote the cache's path
