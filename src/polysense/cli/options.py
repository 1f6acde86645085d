"""How options are read: errors in one line, versions on demand, numbers in their range."""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches
from typing import Any, NoReturn

from polysense.config.checks import LARGEST


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all of ours are."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does; what a command does not know is its own error, with its help."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self.near(unknown)}")
        return namespace, unknown

    def near(self, words: list[str]) -> str:
        """Return the option that the first of the unknown `words` nearly is, as a question."""
        close = get_close_matches(words[0].partition("=")[0], self._option_string_actions, n=1)
        return f"; did you mean {close[0]}?" if close else ""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the options are listed; exit with code 2."""
        self.exit(2, f"polysense: {message} ({self.prog} --help lists the options)\n")


class Version(argparse.Action):
    """Prints the versions that a report of a fault needs; they are looked up when asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        """Print our version, and those of what we stand on."""
        from importlib.metadata import version

        parts = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
        python = ".".join(map(str, sys.version_info[:3]))
        print(f"polysense {version('polysense')} (Python {python}, {parts})")
        parser.exit()


def count(text: str, least: int = 1) -> int:
    """Read an option that is a number of things."""
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= LARGEST:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} on, not {text!r}")
    return int(text)


def count_or_all(text: str) -> int:
    """Read an option that is a number of things, or 0 for all."""
    return count(text, least=0)
