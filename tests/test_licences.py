"""The core is free of GPL, AGPL and unknown licences; what the check makes of metadata."""

import importlib.util
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOL = ROOT / "tools/licences.py"
BUNDLED = """Copyright (c) 2003, SciPy Developers.

Redistribution and use in source and binary forms, with or without modification, are permitted.

This binary distribution bundles libgfortran, under the GNU General Public License version 3 with
the GCC Runtime Library Exception.
"""
GPL = """                    GNU GENERAL PUBLIC LICENSE
                       Version 3, 29 June 2007

 specifically for the MIT License, see the GNU Lesser General Public License.
"""


@pytest.fixture(scope="module")
def licences():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("licences", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(folder, name, *lines):
    """Write the metadata of a package."""
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    head = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n"
    (about / "METADATA").write_text(head + "".join(f"{line}\n" for line in lines))


def found_in(folder):
    """A finder of the packages whose metadata are in a folder."""

    def find(name):
        for one in metadata.distributions(name=name, path=[str(folder)]):
            return one
        raise metadata.PackageNotFoundError(name)

    return find


@pytest.mark.parametrize(
    ("licence", "kind"),
    [
        ("BSD-3-Clause", "permissive"),
        ("3-Clause BSD License", "permissive"),
        ("Apache License, Version 2.0", "permissive"),
        ("PSF-2.0", "permissive"),
        ("MIT-CMU", "permissive"),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", "permissive"),
        ("Apache-2.0 WITH LLVM-exception", "permissive"),
        ("MIT OR GPL-3.0-or-later", "permissive"),
        ("GPLv2 or MIT", "permissive"),
        ("(MIT OR GPL-2.0-only) AND BSD-2-Clause", "permissive"),
        ("LGPL-3.0-or-later", "weak copyleft"),
        ("LGPL-3.0-only OR GPL-2.0-only OR GPL-3.0-only", "weak copyleft"),
        ("GNU Lesser General Public License v3 or later (LGPLv3+)", "weak copyleft"),
        ("GNU Library General Public License", "weak copyleft"),
        ("MPL-2.0 AND MIT", "weak copyleft"),
        ("GPL-2.0-with-linking-exception", "weak copyleft"),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", "weak copyleft"),
        ("BSD-3-Clause AND (GPL-3.0-or-later WITH GCC-exception-3.1)", "weak copyleft"),
        ("GPLv2 with Classpath exception", "weak copyleft"),
        ("LicenseRef-NVIDIA-Proprietary", "proprietary"),
        ("Other/Proprietary License", "proprietary"),
        ("GPL", "copyleft"),
        ("GPLv3+", "copyleft"),
        ("gpl-2.0", "copyleft"),
        ("GNU GPL", "copyleft"),
        ("GNU General Public License v2 or later (GPLv2+)", "copyleft"),
        ("AGPL-3.0-only", "copyleft"),
        ("GNU Affero General Public License v3", "copyleft"),
        ("MIT AND GPL-3.0-only", "copyleft"),
        ("BSD-3-Clause AND (MIT AND AGPL-3.0-or-later)", "copyleft"),
        ("LGPL-2.1-only AND GPL-2.0-only", "copyleft"),
        ("LGPL, GPL", "copyleft"),
        ("MIT/GPL", "copyleft"),
        ("GPL-3.0 WITH OpenSSL-exception", "copyleft"),
        ("GPL-2.0-only OR AGPL-3.0-only", "copyleft"),
        ("MIT AND (GPL-3.0-only", "copyleft"),
        ("", "unknown"),
        ("UNKNOWN", "unknown"),
        ("see LICENSE", "unknown"),
        ("SSPL-1.0", "unknown"),
        ("BUSL-1.1", "unknown"),
        ("BSD, non-commercial use only", "unknown"),
        ("GPL-3.0-only OR SSPL-1.0", "unknown"),
        (BUNDLED, "permissive"),
        (GPL, "copyleft"),
        ("Copyright 2020\n\nAll rights reserved.", "unknown"),
        ("MIT License\n\nPermission is hereby granted, free of charge, ...", "permissive"),
    ],
)
def test_the_kind_of_a_licence(licences, licence, kind):
    assert str(licences.kind_of(licence)) == kind


@pytest.mark.parametrize(
    ("lines", "licence", "kind"),
    [
        (["License-Expression: MIT", "License: GPL"], "MIT", "permissive"),
        (["License: BSD"], "BSD", "permissive"),
        (["Classifier: License :: OSI Approved :: MIT License"], "MIT License", "permissive"),
        (
            ["License: UNKNOWN", "Classifier: License :: OSI Approved :: ISC License (ISCL)"],
            "UNKNOWN; ISC License (ISCL)",
            "permissive",
        ),
        (
            ["License: MIT", "Classifier: License :: OSI Approved :: GNU Affero General Public"],
            "MIT; GNU Affero General Public",
            "copyleft",
        ),
        (["License: " + BUNDLED.replace("\n", "\n        ").rstrip()], "a text", "permissive"),
        (["Classifier: Topic :: Scientific/Engineering"], "not stated", "unknown"),
    ],
)
def test_where_metadata_name_the_licence(licences, tmp_path, lines, licence, kind):
    install(tmp_path, "one", *lines)
    package = licences.package_of(found_in(tmp_path)("one"))
    assert package[:3] == ("one", "1.0", licence)
    assert str(package.kind) == kind


def test_a_stated_licence_counts_only_where_metadata_name_none(licences, tmp_path):
    install(tmp_path, "bioimageio.core")
    install(tmp_path, "bioimageio.spec", "License: GPL-3.0-only")
    find = found_in(tmp_path)
    assert licences.package_of(find("bioimageio.core")).licence == "MIT (stated here)"
    assert str(licences.package_of(find("bioimageio.spec")).kind) == "copyleft"


def test_requirements_are_followed_with_their_markers_and_extras(licences, tmp_path):
    """first -> second[more] -> third and back; not what other systems or extras install."""
    install(tmp_path, "first", "License: MIT", "Requires-Dist: second[more]>=1")
    install(
        tmp_path,
        "second",
        "License: MIT",
        "Requires-Dist: First",
        'Requires-Dist: third; extra == "more"',
        'Requires-Dist: gone; extra == "other"',
        'Requires-Dist: gone; sys_platform == "plan9"',
    )
    install(tmp_path, "third", "License: GPL", "Requires-Dist: lost")
    found = {
        one.name: str(one.kind) for one in licences.installed_for(["first"], found_in(tmp_path))
    }
    assert found == {
        "first": "permissive",
        "second": "permissive",
        "third": "copyleft",
        "lost": "unknown",
    }
    names = [one.name for one in licences.installed_for(["second", "first"], found_in(tmp_path))]
    assert sorted(names) == ["first", "lost", "second", "third"]


def test_the_core_depends_on_nothing_under_gpl():
    """PyMaxflow, which tests compare with, is listed as what [dev] alone adds."""
    done = subprocess.run([sys.executable, TOOL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    core, _, extras = done.stdout.partition("\n# [")
    assert "numpy" in core
    assert "PyMaxflow" not in core
    assert "\nPyMaxflow" in extras
    assert "[dev], not in the core: PyMaxflow (copyleft)\n" in done.stdout
    assert done.stdout.endswith(" packages, 0 under GPL, AGPL or an unknown licence\n")


def test_a_core_with_gpl_or_an_unknown_licence_fails(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "x"\ndependencies = ["PyMaxflow>=1", "nowhere-found"]\n')
    done = subprocess.run([sys.executable, TOOL, project], capture_output=True, text=True)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("the core depends on nowhere-found -, whose licence is unknown (not in")
    assert second.startswith("the core depends on PyMaxflow 1.")
    assert (
        "whose licence is copyleft (GPL; GNU General Public License (GPL)); use another" in second
    )
