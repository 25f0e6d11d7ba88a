"""The names of `longllava_domains.files`, where exporters have always imported them."""

from longllava_domains.files import new_file, require_place, write_private, write_text

__all__ = ["new_file", "require_place", "write_private", "write_text"]
