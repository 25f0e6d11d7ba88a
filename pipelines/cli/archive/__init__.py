"""Commands over whole archives."""

from longllava_domains.pipelines.cli.archive.commands import register

__all__ = ["register"]
