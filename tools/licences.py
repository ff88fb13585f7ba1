"""List the licence of each dependency; fail where the core depends on GPL, AGPL or the unknown.

::

    python tools/licences.py [PYPROJECT]

The core is what `dependencies` in pyproject.toml installs here, with all that these packages
require in turn; what each extra adds is listed below it and fails nothing. Versions, requirements
and licences are those of the installed packages.

- permissive (BSD, MIT, Apache, PSF, ...) and weak copyleft (LGPL, MPL: asem calls such packages and
  contains no part of them) are allowed, and so is GPL with an exception for linking or run time
  libraries. Of `A OR B` the more permissive one counts, of `A AND B` the stricter one.
- proprietary (CUDA's libraries, which PyTorch requires on Linux) is allowed and listed.
- copyleft (GPL, AGPL) and unknown fail. `STATED` holds what metadata leave out.

Metadata name a licence in `License-Expression` (PEP 639), or else in `License` and classifiers, of
which the strictest counts. Where `License` is a whole text, its first licence counts: those of
libraries that a wheel bundles follow it (libgfortran's GPL with the runtime exception, in SciPy's).
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

STATED = {
    "bioimageio-core": "MIT",  # its LICENSE file
    "bioimageio-spec": "MIT",  # its LICENSE file
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",  # no files; requires CUDA's libraries
}
"""Licences that the metadata of packages do not name, and where they are stated instead."""


class Kind(IntEnum):
    """What a licence demands, the strictest last."""

    PERMISSIVE = 0
    WEAK = 1
    PROPRIETARY = 2
    UNKNOWN = 3
    COPYLEFT = 4

    @property
    def fails(self) -> bool:
        """Whether the core may not depend on it."""
        return self >= Kind.UNKNOWN

    def __str__(self) -> str:
        return {Kind.WEAK: "weak copyleft"}.get(self, self.name.lower())


NAMES = {
    Kind.WEAK: r"(?<![a-z])lgpl|(lesser|library) general public"
    r"|(?<![a-z])mpl(?![a-z])|mozilla public",
    Kind.COPYLEFT: r"(?<![a-z])a?gpl|general public licen[cs]e|affero",
    Kind.PROPRIETARY: r"proprietary|nvidia",
    Kind.PERMISSIVE: r"\b0?bsd\b|\bmit\b|\bapache\b|\bisc\b|\bpsf\b|python software foundation"
    r"|\bpython-2|\bzlib\b|\bcc0\b|\bunlicense\b|\bhpnd\b|\bbsl-1\.0|boost software|public domain"
    r"|redistribution and use in source and binary forms|permission is hereby granted"
    r"|permission to use, copy, modify",
}
"""How licences are recognized, in lower case."""
NOT_OPEN = r"non-?commercial|\bnc\b"
EXCEPTIONS = r"gcc|classpath|linking|runtime|bootloader"
"""Exceptions of the GPL for programs that use what is under it."""
LONGEST_NAME = 200
"""Characters; what is longer, or has several lines, is a licence's text."""


def is_name(licence: str) -> bool:
    """Return whether metadata give the name of a licence rather than its text."""
    return len(licence.strip()) <= LONGEST_NAME and "\n" not in licence.strip()


def kind_of_name(name: str) -> Kind:
    """Return the strictest kind of licence that a name contains.

    Examples
    --------
    >>> str(kind_of_name("GNU Lesser General Public License v3 (LGPLv3)"))
    'weak copyleft'
    """
    text = name.lower()
    if re.search(NOT_OPEN, text):
        return Kind.UNKNOWN
    weak = re.subn(NAMES[Kind.WEAK], " ", text)
    kinds = [kind for kind, names in NAMES.items() if re.search(names, weak[0])]
    return max(kinds + [Kind.WEAK] * bool(weak[1]), default=Kind.UNKNOWN)


def kind_of_text(text: str) -> Kind:
    """Return the kind of the first licence that a text names."""
    found = [
        (match.start(), kind)
        for kind, names in NAMES.items()
        if (match := re.search(names, " ".join(text.lower().split())))
    ]
    return min(found)[1] if found else Kind.UNKNOWN


def kind_of(licence: str) -> Kind:
    """Return the kind of a licence given as an SPDX expression, a name or a whole text.

    Examples
    --------
    >>> str(kind_of("MIT OR GPL-3.0-only")), str(kind_of("MIT AND GPL-3.0-only"))
    ('permissive', 'copyleft')
    """
    if not is_name(licence):
        return kind_of_text(licence)
    plain = re.sub(r"[ -](or[ -](any[ -])?later|only)\b", "+", licence, flags=re.IGNORECASE)
    plain = re.sub("-with-", " with ", plain, flags=re.IGNORECASE)
    words = re.split(r"(\(|\)|(?<!\S)(?:and|or|with)(?!\S))", plain, flags=re.IGNORECASE)
    tokens = [word.strip().lower() for word in words if word.strip()]
    try:
        kind = _any_of(tokens)
    except IndexError:
        return kind_of_name(licence)
    return kind_of_name(licence) if tokens else kind


def _any_of(tokens: list[str]) -> Kind:
    """Read `A OR B ...`, taking tokens from the front."""
    kinds = [_all_of(tokens)]
    while tokens and tokens[0] == "or":
        tokens.pop(0)
        kinds.append(_all_of(tokens))
    return min(kinds)


def _all_of(tokens: list[str]) -> Kind:
    """Read `A AND B ...`."""
    kinds = [_one(tokens)]
    while tokens and tokens[0] == "and":
        tokens.pop(0)
        kinds.append(_one(tokens))
    return max(kinds)


def _one(tokens: list[str]) -> Kind:
    """Read a name, `NAME WITH EXCEPTION` or `(...)`."""
    name = tokens.pop(0)
    if name == "(":
        kind = _any_of(tokens)
        if tokens.pop(0) != ")":
            raise IndexError
        return kind
    kind = kind_of_name(name)
    if tokens and tokens[0] == "with":
        tokens.pop(0)
        if re.search(EXCEPTIONS, tokens.pop(0)):
            kind = min(kind, Kind.WEAK)
    return kind


class Package(NamedTuple):
    """An installed package."""

    name: str
    version: str
    licence: str
    kind: Kind


def package_of(found: metadata.Distribution) -> Package:
    """Return what the metadata of an installed package state about its licence."""
    about = found.metadata
    if "License-Expression" in about:
        licence = about["License-Expression"]
        return Package(found.name, found.version, licence, kind_of(licence))
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    text = "".join(about.get_all("License") or [])
    kinds = [kind_of(text), *map(kind_of_name, classifiers)]
    known = [kind for kind in kinds if kind != Kind.UNKNOWN]
    if not known and (stated := STATED.get(canonicalize_name(found.name))):
        return Package(found.name, found.version, f"{stated} (stated here)", kind_of(stated))
    names = [text.strip() if is_name(text) else "a text", *classifiers]
    named = "; ".join(dict.fromkeys(filter(None, names))) or "not stated"
    return Package(found.name, found.version, named, max(known, default=Kind.UNKNOWN))


Find = Callable[[str], metadata.Distribution]


def installed_for(
    requirements: Iterable[str], find: Find = metadata.distribution
) -> Iterator[Package]:
    """Yield the packages that requirements install here, with what these require in turn.

    A package that is required here but not installed is yielded as unknown.
    """
    todo = [(Requirement(line), frozenset({""})) for line in requirements]
    seen: set[tuple[str, str]] = set()
    while todo:
        needed, extras = todo.pop()
        if needed.marker and not any(needed.marker.evaluate({"extra": e}) for e in extras):
            continue
        name = canonicalize_name(needed.name)
        wanted = frozenset({"", *needed.extras})
        if seen >= {(name, extra) for extra in wanted}:
            continue
        first = (name, "") not in seen
        seen |= {(name, extra) for extra in wanted}
        try:
            found = find(needed.name)
        except metadata.PackageNotFoundError:
            yield Package(needed.name, "-", "not installed", Kind.UNKNOWN)
            continue
        if first:
            yield package_of(found)
        todo += [(Requirement(line), wanted) for line in found.requires or []]


def groups_of(pyproject: Path) -> dict[str, list[str]]:
    """Return the requirements of the core and of each extra, with those of the extras it names."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = project.get("optional-dependencies", {})
    groups = {"core": project.get("dependencies", [])}
    for extra, lines in extras.items():
        own = [Requirement(line) for line in lines]
        others = [one.extras for one in own if one.name == project["name"]]
        groups[extra] = [str(one) for one in own if one.name != project["name"]]
        groups[extra] += [
            line for names in others for name in sorted(names) for line in extras[name]
        ]
    return groups


def table(packages: Iterable[Package]) -> str:
    """Return a line for each package."""
    rows = sorted(packages, key=lambda one: (-one.kind, one.name.lower()))
    return "\n".join(
        f"{f'{one.name} {one.version}':<40} {one.kind!s:<14} {one.licence}" for one in rows
    )


def main(words: list[str]) -> int:
    """Print the licences; return 1 if the core may not have one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    here = Path(__file__).parent.parent / "pyproject.toml"
    parser.add_argument("pyproject", type=Path, nargs="?", default=here)
    groups = groups_of(parser.parse_args(words).pyproject)
    core = set(installed_for(groups.pop("core")))
    print(f"# core: {len(core)} packages\n{table(core)}")
    summary = []
    for extra, lines in groups.items():
        added = set(installed_for(lines)) - core
        print(f"\n# [{extra}] adds {len(added)} packages\n{table(added)}")
        strict = sorted(f"{one.name} ({one.kind})" for one in added if one.kind.fails)
        summary += [f"[{extra}], not in the core: {', '.join(strict)}"] * bool(strict)
    failing = sorted((one for one in core if one.kind.fails), key=lambda one: one.name.lower())
    print("", *summary, sep="\n")
    for one in failing:
        about = f"{one.name} {one.version}, whose licence is {one.kind} ({one.licence})"
        advice = "use another package or, if its metadata do not name the licence, state it in"
        print(f"the core depends on {about}; {advice} tools/licences.py", file=sys.stderr)
    print(f"core: {len(core)} packages, {len(failing)} under GPL, AGPL or an unknown licence")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
