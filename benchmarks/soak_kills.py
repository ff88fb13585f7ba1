"""Kill commands at random moments, run them again, and compare with a run that was left alone.

::

    make soak-kills                                                     the whole matrix
    python benchmarks/soak_kills.py --commands export clahe --kills 2
    python benchmarks/soak_kills.py --commands demo --kills 1           minutes a kill

Each command runs twice undisturbed first. Then it is killed ``--kills`` times with SIGKILL and as
often with SIGTERM, at moments that are uniform over its run time (``--seed``), and run again until
it ends. Five things must hold:

- all files are those of the undisturbed run, bit for bit. Of JSON files, tables and packages,
  values that differ between the two undisturbed runs do not count (dates, seconds, UUIDs);
  TensorBoard's events and pictures only have to be there;
- there is no other file or folder in the place of the outputs than the undisturbed run leaves, but
  the checkpoint that a training writes when SIGTERM stops it;
- all processes that it had started end, too;
- after SIGTERM, the process ends within 10 s with code 143, nothing temporary is left before the
  second run, and nothing in the folder of temporary files;
- the second run ends with code 0 (or is refused, as the first one had just finished).

It prints a table for benchmarks/README.md, then a line for each fault; with faults it returns 1.
"""

import argparse
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import funlib

LARGE, SMALL = (400, 512, 512), (300, 300, 300)
"""Voxels; shards have 256^3."""
END_SECONDS = 10
"""Within which SIGTERM must end a process."""
TERMINATED = 128 + signal.SIGTERM, -signal.SIGTERM
"""Exit codes; the second one before Python could take the signal, which shells call 143, too."""
TIMES = re.compile("/facts/(seconds|stages|bottleneck)")
"""In documents: what a run took, which two undisturbed runs may share by chance."""
TRIES = 3
"""For each kill, where the command ends before."""
UNCOMPARED = ("events.out.tfevents", ".png", ".html")
"""Parts of names of files that only have to be there."""
SETTINGS = {
    "mask.toml": "above = 60\nbelow = 200\nopening_nm = 10\nclosing_nm = 10\n"
    "largest_hole_nm3 = 5e3\nsmallest_nm3 = 5e3\n",
    "train.toml": """
structure = "mito"
voxel_size = [5, 5, 5]
iterations = {iterations}
validate_every = 20
batch = 1
patch = 28
precision = "32"
device = "cpu"
loss = "cross_entropy+dice"

[model]
features = 2
levels = 2
norm = "batch"

[optimizer]
name = "adamw"
learning_rate = 1e-2

[[train]]
raw = "small"
labels = "objects"
roi = ":64,:64,:64"

[[validation]]
raw = "small"
labels = "objects"
roi = ":64,:64,64:112"
""",
}


@dataclass(frozen=True)
class Command:
    """What is run in a folder beside the inputs, ``../in``.

    Parameters
    ----------
    words
        The command.
    copied
        Inputs that are copied into the folder, since something is kept beside them.
    again
        Words that the second run has in addition.
    extra
        Matches paths that the second run may leave in addition.
    """

    words: str
    copied: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    extra: str = "(?!)"


CHECKPOINT = r"out/checkpoints/\d{8}(/.*)?"
COMMANDS = {
    "import": Command("import ../in/planes out --voxel-size 5"),
    "clahe": Command("clahe ../in/large out"),
    "clahe --workers": Command("clahe ../in/large out --workers 2"),
    "mask": Command("mask ../in/small out --config ../in/mask.toml"),
    "labels": Command("labels ../in/objects out --structure mito --exclusion-zone zone"),
    "predict": Command(
        "predict ../in/run ../in/small out --roi :16,:64,: --device cpu --precision 32 --tile 32"
    ),
    "segment": Command("segment ../in/small out --min-size 50 --threshold 0.6"),
    "instances": Command("instances ../in/objects out --min-size 5 --sizes sizes.csv"),
    "instances --split": Command("instances ../in/objects out --split --min-size 50"),
    "measure": Command("measure ../in/instances --out out --raw ../in/small --within 30"),
    "phantom": Command("phantom out --shape 120 --voxel-size 10", extra=r"out/.*zarr\.json"),
    "graphcut": Command("graphcut raw ../in/strokes out", copied=("raw",)),
    "train": Command("train ../in/train.toml --out out", extra=CHECKPOINT),
    "finetune": Command("finetune ../in/run ../in/finetune.toml --out out", extra=CHECKPOINT),
    "export": Command("export ../in/large out"),
    "models convert": Command(
        "models convert ../in/published.pt out --structure mito --voxel-size 5"
    ),
    "models export": Command("models export ../in/run out.onnx --format onnx"),
    "models package": Command(
        "models export ../in/run out.zip --format bioimageio --author me --license CC-BY-4.0"
    ),
    "demo": Command("demo out", again=("--overwrite",)),
}
MINUTES = {"demo"}
"""Commands that run only if they are named."""


def asem(*words: str, cwd: Path) -> "subprocess.Popen[str]":
    """Start a command; what it writes to stderr can be read when it has ended."""
    environment = {**os.environ, "TMPDIR": str(cwd.parent / "tmp"), "OMP_NUM_THREADS": "2"}
    return subprocess.Popen(
        [sys.executable, "-m", "asem", *words],
        cwd=cwd,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=(cwd.parent / "stderr").open("w"),
        text=True,
    )


def finish(process: "subprocess.Popen[str]", folder: Path) -> tuple[int, str]:
    """Wait for a command; return its exit code, and its message or the last line on stderr."""
    code = process.wait()
    lines = (folder / "stderr").read_text(errors="replace").splitlines()
    messages = [line for line in lines if line.startswith("asem:")]
    return code, (messages or lines or [""])[-1]


def make_inputs(folder: Path) -> None:
    """Write all inputs: smooth blobs in noise, a training, a published checkpoint."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random((128, 128, 128)).astype(np.float32), 3, mode="wrap")
    noise = (noise - noise.mean()) / noise.std()

    def voxels(shape: tuple[int, int, int]) -> np.ndarray:
        repeats = [-(-length // 128) for length in shape]
        return np.tile(noise, repeats)[tuple(map(slice, shape))]

    (folder / "planes").mkdir(parents=True)
    for z, plane in enumerate(grey(voxels(LARGE))):
        tifffile.imwrite(folder / f"planes/p{z:04d}.tif", np.roll(plane, z, axis=1))
    small = voxels(SMALL)
    tifffile.imwrite(folder / "small.tif", grey(small), photometric="minisblack")
    tifffile.imwrite(folder / "objects.tif", (small > 1).astype(np.uint8))
    part = (slice(0, 96),) * 3
    strokes = np.zeros((96, 96, 96), np.uint8)
    strokes[48][small[part][48] > 1.2] = 1
    strokes[48][small[part][48] < 0.5] = 2
    tifffile.imwrite(folder / "strokes.tif", strokes)
    tifffile.imwrite(folder / "raw.tif", grey(small[part]), photometric="minisblack")
    for name, iterations in (("train", 40), ("finetune", 30)):
        text = SETTINGS["train.toml"].format(iterations=iterations)
        (folder / f"{name}.toml").write_text(text)
    (folder / "mask.toml").write_text(SETTINGS["mask.toml"])
    funlib.save(folder / "published.pt", funlib.random_state(features=6, growth=3, levels=4))
    kinds = {"planes": "image", "small.tif": "image", "raw.tif": "image"}
    kinds |= {"objects.tif": "labels", "strokes.tif": "labels"}
    for source, kind in kinds.items():
        name = {"planes": "large"}.get(source, source.removesuffix(".tif"))
        run(f"import {source} {name} --voxel-size 5 --kind {kind}", folder)
    run("instances objects instances --min-size 50", folder)
    run("train train.toml --out run", folder)


def grey(noise: np.ndarray) -> np.ndarray:
    """Return 8-bit grey values."""
    return np.clip(130 + 30 * noise, 0, 255).astype(np.uint8)


def run(words: str, cwd: Path) -> None:
    """Run a command that must succeed."""
    code, line = finish(asem(*words.split(), cwd=cwd), cwd.parent)
    if code:
        raise SystemExit(f"asem {words}: code {code}: {line}")


def clean_place(folder: Path, command: Command) -> Path:
    """Return the empty folder in which a command runs, of the same name each time."""
    for name in ("work", "tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    for name in command.copied:
        shutil.copytree(folder / "in" / name, folder / "work" / name)
    return folder / "work"


Contents = dict[str, Any]
"""Of each path in a place: what it holds, comparable; None: a folder, or what is not compared."""


def contents(place: Path) -> Contents:
    """Read all files of a place."""
    return {
        str(path.relative_to(place)).partition("events.out.tfevents")[0]: content(path)
        for path in sorted(place.rglob("*"))
    }


def content(path: Path) -> Any:
    """Return what a file holds: a value for each place of a document, else its bytes."""
    if path.is_symlink() or path.is_dir() or any(part in path.name for part in UNCOMPARED):
        return None
    if path.suffix == ".json":
        found = flat(json.loads(path.read_text()))
        return {place: value for place, value in found if not TIMES.search(place)}
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return dict(flat(list(csv.DictReader(file))))
    if path.suffix == ".zip":  # which holds dates
        with zipfile.ZipFile(path) as archive:
            return {f"/{name}": archive.read(name) for name in archive.namelist()}
    return path.read_bytes()


def flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the place of each number and text of a document, and the value there."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from flat(inner, f"{place}/{key}")
    else:
        yield place, value


def differences(first: Contents, second: Contents) -> Iterator[str]:
    """Yield the paths that differ; ``path:place`` in documents."""
    for path in sorted(first.keys() | second.keys()):
        one, other = first.get(path, "-"), second.get(path, "-")
        if isinstance(one, dict) and isinstance(other, dict):
            places = one.keys() | other.keys()
            yield from (f"{path}:{p}" for p in sorted(places) if one.get(p) != other.get(p))
        elif one != other:
            yield path


@dataclass
class Row:
    """What became of the kills of one command."""

    seconds: float = float("inf")
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_end: float = 0.0
    temporary: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)


def undisturbed(command: Command, folder: Path, row: Row) -> tuple[Contents, set[str]]:
    """Run a command twice; return what it leaves, and which values of documents may differ."""
    found = []
    for _ in range(2):
        place = clean_place(folder, command)
        began = time.monotonic()
        run(command.words, place)
        row.seconds = min(row.seconds, time.monotonic() - began)
        row.temporary |= temporary(folder)
        found.append(contents(place))
    volatile = set(differences(*found))
    for path in sorted(volatile):
        if ":" not in path:
            row.faults.append(f"two undisturbed runs differ in {path}")
    return found[0], volatile


def kill(
    command: Command, number: signal.Signals, after: float, folder: Path, row: Row
) -> list[psutil.Process] | None:
    """Run a command and kill it; return its children, or None where it had ended before."""
    process = asem(*command.words.split(), cwd=clean_place(folder, command))
    try:
        process.wait(after)
        return None
    except subprocess.TimeoutExpired:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
    began = time.monotonic()
    code, line = finish(process, folder)
    if code == 0:
        return None
    row.counts[number.name] += 1
    if number == signal.SIGTERM:
        check_end(code, line, time.monotonic() - began, folder, row)
    return children


def check_end(code: int, line: str, seconds: float, folder: Path, row: Row) -> None:
    """Record what is wrong with the end of a process that got SIGTERM."""
    row.slowest_end = max(row.slowest_end, seconds)
    if code not in TERMINATED:
        row.faults.append(f"SIGTERM: code {code}: {line}")
    if seconds > END_SECONDS:
        row.faults.append(f"SIGTERM: it took {seconds:.0f} s to end")
    left = [path.name for path in (folder / "work").rglob(".asem-*")]
    left += [f"TMPDIR/{name}" for name in temporary(folder) - row.temporary]
    if left:
        row.counts["left"] += 1
        row.faults.append(f"SIGTERM: left behind before the second run: {', '.join(left)}")


def temporary(folder: Path) -> set[str]:
    """Return the names in the folder of temporary files."""
    return {path.name for path in (folder / "tmp").iterdir()}


def resume(command: Command, label: str, folder: Path, row: Row) -> None:
    """Run a killed command again, which may be refused because the first one had finished."""
    outputs = [path for path in (folder / "work").iterdir() if path.name not in command.copied]
    visible = any(not path.name.startswith(".asem-") for path in outputs)
    words = [*command.words.split(), *(command.again if visible else ())]
    code, line = finish(asem(*words, cwd=folder / "work"), folder)
    if code == 2 and re.search("exist|is a finished run", line):
        row.counts["finished"] += 1
    elif code:
        row.faults.append(f"{label}: the second run ended with code {code}: {line}")
    else:
        row.counts["resumed" if visible else "restarted"] += 1


def compare(
    command: Command, label: str, place: Path, expected: Contents, volatile: set[str], row: Row
) -> None:
    """Record what a killed command left that the undisturbed one does not, and what differs."""
    found = contents(place)
    added = sorted(found.keys() - expected.keys())
    left = [path for path in added if not re.fullmatch(command.extra, path)]
    if left:
        row.counts["left"] += 1
        row.faults.append(f"{label}: left behind: {', '.join(left[:3])}")
    changed = [p for p in differences(expected, found) if p not in volatile and p not in added]
    if changed:
        row.counts["differ"] += 1
        row.faults.append(f"{label}: {len(changed)} differences: {', '.join(changed[:3])}")


def soak(name: str, kills: int, rng: random.Random, folder: Path) -> Row:
    """Kill a command again and again."""
    command, row = COMMANDS[name], Row()
    expected, volatile = undisturbed(command, folder, row)
    for number in (signal.SIGKILL, signal.SIGTERM):
        for _ in range(TRIES * kills):
            if row.counts[number.name] == kills:
                break
            after = rng.uniform(0, row.seconds)
            children = kill(command, number, after, folder, row)
            if children is None:
                continue
            label = f"{number.name} after {after:.2f} s"
            resume(command, label, folder, row)
            _, alive = psutil.wait_procs(children, END_SECONDS)
            row.faults += [f"{label}: its process {one.pid} did not end" for one in alive]
            compare(command, label, folder / "work", expected, volatile, row)
    return row


TITLES = (
    "command", "undisturbed, s", "SIGKILL", "SIGTERM", "resumed", "restarted", "had finished",
    "differences", "left behind", "slowest end, s", "all, s",
)  # fmt: skip


def cells(name: str, row: Row) -> list[str]:
    """Return a line of the table."""
    keys = ("SIGKILL", "SIGTERM", "resumed", "restarted", "finished", "differ", "left")
    counts = [str(row.counts[key]) for key in keys]
    ends = [f"{row.slowest_end:.1f}", f"{time.monotonic() - row.began:.0f}"]
    return [name, f"{row.seconds:.1f}", *counts, *ends]


def main(print_line: Callable[[str], None] = print) -> int:
    """Soak the commands that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = [name for name in COMMANDS if name not in MINUTES]
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=default)
    parser.add_argument("--kills", type=int, default=10, help="of each signal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary one")
    given = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory(prefix="asem-soak-", dir=given.folder) as temporary_folder:
        folder = Path(temporary_folder)
        (folder / "tmp").mkdir()
        make_inputs(folder / "in")
        print_line(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}")
        for name in given.commands:
            row = soak(name, given.kills, random.Random(f"{given.seed} {name}"), folder)
            print_line(f"| {' | '.join(cells(name, row))} |")
            sys.stdout.flush()
            faults += [f"{name}: {fault}" for fault in row.faults]
    for fault in faults:
        print_line(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
