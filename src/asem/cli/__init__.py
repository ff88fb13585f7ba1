"""The command line: parse, call one workflow, print."""

from asem.cli.app import main

__all__ = ["main"]
