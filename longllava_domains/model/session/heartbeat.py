"""A heartbeat between layers: on a processor one chunk of a large network takes a minute."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident

from torch import nn

from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration


@contextmanager
def heartbeat(
    network: LongLlavaForConditionalGeneration, beat: Callable[[float], None] | None
) -> Iterator[None]:
    """Call `beat` before each layer of the tower and of the language model.

    It is called with the share of the language model that is done, and may raise to stop. On a
    GPU, where layers are only queued, it is never called.

    Args:
        network: The model.
        beat: What to call; None for nothing.
    """
    if beat is None or network.input_device.type != "cpu":
        yield
        return
    layers: list[nn.Module] = [*network.model.language_model.layers]  # type: ignore[misc]
    shares = {id(layer): index / len(layers) for index, layer in enumerate(layers)}
    layers += network.model.vision_tower.encoder.layers

    owner = get_ident()

    def before(layer: nn.Module, _: object) -> None:
        if get_ident() == owner:  # another thread's work is none of this one's
            beat(shares.get(id(layer), 0.0))

    hooks = [layer.register_forward_pre_hook(before) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
