"""The command `asem`: its subcommands, exit codes and logging."""

import logging
import sys
from collections.abc import Callable, Sequence
from functools import cache

from cyclopts import App, CycloptsError, Group, UnusedCliTokensError
from rich.console import Console
from rich.logging import RichHandler

from asem import __version__
from asem.cli.annotate import annotate, graphcut, labels
from asem.cli.data import clahe, export, import_image, mask
from asem.cli.demo import demo
from asem.cli.error_reports import (
    error_line,
    find_comma_advice,
    find_library_memory_error,
    format_input_error,
    format_traceback,
)
from asem.cli.info import info
from asem.cli.measure import instances, measure, mesh
from asem.cli.migrate import migrate
from asem.cli.models import build_models_app
from asem.cli.phantom import phantom
from asem.cli.pits import pits
from asem.cli.pores import pores
from asem.cli.predict import evaluate, predict, segment
from asem.cli.report import report
from asem.cli.streams import PrintableFormatter, escape_control_characters, tolerate_stream_errors
from asem.cli.train import finetune, train
from asem.cli.view import view
from asem.config import shorten_words
from asem.system.files import check_utf8_text
from asem.system.malloc_settings import use_single_heap
from asem.system.signals import exit_code, raise_on_signals

EXIT_ERROR = 2
GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Data": {
        "demo": demo,
        "import": import_image,
        "info": info,
        "export": export,
        "clahe": clahe,
        "mask": mask,
        "phantom": phantom,
        "migrate": migrate,
    },
    "Annotate": {
        "annotate": annotate,
        "graphcut": graphcut,
        "labels": labels,
    },
    "Train": {"train": train, "finetune": finetune},
    "Predict": {
        "predict": predict,
        "segment": segment,
        "evaluate": evaluate,
    },
    "Measure": {
        "instances": instances,
        "measure": measure,
        "mesh": mesh,
        "pores": pores,
        "pits": pits,
    },
    "View": {"view": view, "report": report},
}
"""The groups of ``asem --help``, and their subcommands."""


@cache
def build_app() -> App:
    """Return the command with its subcommands, in groups in the order of the work."""
    app = App(
        name="asem",
        help="From a FIB-SEM stack to segmented, measured organelles.",
        version=__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for title, commands in GROUPS.items():
        group = Group.create_ordered(title)
        for number, (name, function) in enumerate(commands.items()):
            app.command(function, name=name, group=group, sort_key=number)
    app.command(build_models_app(Group.create_ordered("Models")))
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The words after ``asem``; None: those of the process.

    Returns
    -------
    int
        0; 2 for an error, with one line on stderr; when interrupted 130 (Ctrl-C), 143 (SIGTERM) or
        129 (SIGHUP). Streams that cannot be written change none of these.
    """
    with tolerate_stream_errors():
        return _run_command(list(sys.argv[1:] if arguments is None else arguments))


def _run_command(arguments: list[str]) -> int:
    use_single_heap()
    _configure_logging("-v" in arguments or "--verbose" in arguments)
    try:
        with raise_on_signals():
            for word in arguments:
                check_utf8_text(word)
            build_app()(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _print_error(
            find_comma_advice(arguments)
            or " ".join(
                part.strip(" │╭╮╰╯─") for part in shorten_words(_describe(error)).splitlines()
            )
        )
    except (ValueError, OSError) as error:
        return _print_error(
            error_line(error, arguments)
            if find_library_memory_error(error)
            else format_input_error(error)
        )
    except KeyboardInterrupt as error:
        without = " without --overwrite" if "--overwrite" in arguments else ""
        _print_stderr(
            f"asem: interrupted; run the same command again{without} to resume (demo, export, and "
            "evaluate without --out restart)"
        )
        return exit_code(error)
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback for any input
        if "-v" in arguments or "--verbose" in arguments:
            _print_stderr(format_traceback(error))
        return _print_error(error_line(error, arguments))
    return 0


def _describe(error: CycloptsError) -> str:
    """Return the message of an error in the arguments."""
    if not isinstance(error, UnusedCliTokensError):
        return str(error)
    command = " ".join(["asem", *(error.command_chain or [])])
    return (
        f"{' '.join(error.unused_tokens or [])}: too many arguments; `{command} --help` lists them"
    )


def _print_error(message: str) -> int:
    one_line = " ".join(part.strip() for part in message.split("\n"))
    _print_stderr(f"asem: {one_line.strip()}")
    return EXIT_ERROR


def _print_stderr(line: str) -> None:
    sys.stderr.write(f"{escape_control_characters(line)}\n")


def _configure_logging(verbose: bool) -> None:
    """Log to stderr; only the command line configures logging."""
    console = Console(stderr=True)
    handler = RichHandler(console=console, show_path=False, markup=False, log_time_format="%X")
    handler.setFormatter(PrintableFormatter("%(message)s"))
    root = logging.getLogger("asem")
    root.handlers = [handler]
    # A handler that a library adds later, as neuroglancer does, would print each message again.
    root.propagate = bool(logging.root.handlers)
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    # Lightning sets the level of its own logger at import, but not of this child logger.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
