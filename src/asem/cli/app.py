"""The command `asem`: its verbs, and how it ends."""

import logging
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.logging import RichHandler

from asem import __version__
from asem.blocks.memory import one_heap
from asem.cli import learn, models, predict, prepare, volumes
from asem.cli.faults import line_of, traceback_of, unmapped_library
from asem.cli.streams import PrintableFormatter, printable, tolerant_streams
from asem.config import excerpts
from asem.system.files import refuse_undecodable_text
from asem.system.signals import exit_code, raised_signals

FAILED = 2


def build() -> App:
    """Return the command with all its verbs."""
    app = App(
        name="asem",
        help="From a FIB-SEM stack to segmented, measured organelles.",
        version=__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app.command(learn.demo, name="demo")
    app.command(volumes.import_, name="import")
    app.command(volumes.info, name="info")
    app.command(prepare.clahe, name="clahe")
    app.command(prepare.mask, name="mask")
    app.command(prepare.graphcut, name="graphcut")
    app.command(prepare.annotate, name="annotate")
    app.command(prepare.labels, name="labels")
    app.command(learn.train, name="train")
    app.command(learn.finetune, name="finetune")
    app.command(predict.predict, name="predict")
    app.command(predict.segment, name="segment")
    app.command(prepare.instances, name="instances")
    app.command(learn.evaluate, name="evaluate")
    app.command(volumes.export, name="export")
    app.command(models.build())
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
        0; 2 for a fault, with one line on stderr; when interrupted 130 (Ctrl-C), 143 (SIGTERM) or
        129 (SIGHUP). Streams that cannot be written change none of these.
    """
    with tolerant_streams():
        return _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(words: list[str]) -> int:
    one_heap()
    _log("-v" in words or "--verbose" in words)
    try:
        with raised_signals():
            for word in words:
                refuse_undecodable_text(word)
            build()(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _fail(" ".join(part.strip(" │╭╮╰╯─") for part in excerpts(str(error)).splitlines()))
    except (ValueError, OSError) as error:
        return _fail(line_of(error, words) if unmapped_library(error) else str(error))
    except KeyboardInterrupt as error:
        without = " without --overwrite" if "--overwrite" in words else ""
        _say(
            f"asem: interrupted; give the same command again{without}, and it goes on (demo, "
            "evaluate and export begin anew)"
        )
        return exit_code(error)
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback for any input
        if "-v" in words or "--verbose" in words:
            _say(traceback_of(error))
        return _fail(line_of(error, words))
    return 0


def _fail(message: str) -> int:
    one_line = " ".join(part.strip() for part in message.split("\n"))
    _say(f"asem: {one_line.strip()}")
    return FAILED


def _say(line: str) -> None:
    sys.stderr.write(f"{printable(line)}\n")


def _log(verbose: bool) -> None:
    """Log to stderr; only the command line configures logging."""
    console = Console(stderr=True)
    handler = RichHandler(console=console, show_path=False, markup=False, log_time_format="%X")
    handler.setFormatter(PrintableFormatter("%(message)s"))
    root = logging.getLogger("asem")
    root.handlers = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    # It sets the level of its own logger at import, but not of this one, which is below that.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
