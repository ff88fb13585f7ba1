"""The layers of the design hold, and a bare import stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import asem

SOURCE = Path(asem.__file__).parent

# Each layer imports only what stands above it; names on one line do not import each other.
LAYERS = [
    {"system"},
    {"config_errors"},
    {"config"},
    {"structures", "tables", "provenance"},
    {"volume"},
    {"blocks"},
    {"image"},
    {"annotate", "measure", "phantom"},
    {"model"},
    {"training"},
    {"report", "view"},
    {"workflows"},
    {"plugin"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TORCH_FREE = {
    "config",
    "config_errors",
    "structures",
    "system",
    "tables",
    "provenance",
    "volume",
    "blocks",
    "image",
    "measure",
    "phantom",
}


def imports_of(path: Path) -> set[str]:
    """Return the dotted names that a module imports, at the top and inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def modules():
    return [p for p in sorted(SOURCE.rglob("*.py")) if p.parent != SOURCE or p.stem != "__init__"]


def upward(package: str, imported: set[str]) -> list[str]:
    """Return what `package` imports from its own level or below."""
    targets = {name.split(".")[1] for name in imported if name.startswith("asem.")} - {package}
    layers = {target for target in targets if target in LEVEL}
    return sorted(t for t in layers if LEVEL[t] >= LEVEL[package])


def test_every_folder_has_a_layer():
    assert {package_of(path) for path in modules()} <= set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    assert upward(package_of(path), imports_of(path)) == []


def test_an_upward_and_a_sideways_import_would_be_found():
    assert upward("volume", {"asem.blocks.run_blocks"}) == ["blocks"]
    assert upward("measure", {"asem.phantom.synthetic_cell"}) == ["phantom"]
    assert upward("blocks", {"asem.volume.roi"}) == []


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph() -> dict[str, set[str]]:
    """Return the modules that each module imports, at the top, in functions or for its types."""
    paths = {module_name(path): path for path in modules()}
    graph = {}
    for name, path in paths.items():
        imported = imports_of(path)
        targets = imported | {target.rpartition(".")[0] for target in imported}
        graph[name] = (targets & paths.keys()) - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> set[str]:
    """Return the modules that import themselves through others."""

    def imported_by(name: str) -> set[str]:
        found, left = set(), [name]
        while left:
            new = graph[left.pop()] - found
            found |= new
            left += new
        return found

    return {name for name in graph if name in imported_by(name)}


def test_no_module_imports_itself_through_others():
    assert circles(import_graph()) == set()


def test_a_circle_would_be_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}
    assert circles(graph) == {"b", "c"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == set()


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_the_lower_layers_import_no_torch(path):
    if package_of(path) in TORCH_FREE:
        assert not [name for name in imports_of(path) if name.split(".")[0] == "torch"]


@pytest.mark.parametrize(
    "statement",
    [
        "import asem",
        "import asem.cli; asem.cli.main(['--help'])",
        "import asem.model.config",
        "import asem.training.config",
        "from asem.training.config import TrainConfig as t; t.model_validate({'structure': 'mito', "
        "'voxel_size': [5, 5, 5], 'train': [{'raw': 'r', 'labels': 'l'}], 'loss': 'balanced'})",
    ],
)
def test_import_and_help_load_nothing_heavy(statement):
    heavy = "{'torch', 'dask', 'napari', 'neuroglancer', 'matplotlib', 'scipy'}"
    code = f"{statement}\nimport sys\nsys.exit(str(sorted({heavy} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def has_fastmath(source: str) -> bool:
    """Return whether a decorator or call has the keyword `fastmath`."""
    return any(
        isinstance(n, ast.keyword) and n.arg == "fastmath" for n in ast.walk(ast.parse(source))
    )


def test_no_kernel_has_fastmath():
    """Its rounding depends on inlining: compiled and loaded kernels give different last bits."""
    assert has_fastmath("@njit(cache=True, fastmath=True)\ndef f(): pass")
    assert not [path for path in SOURCE.rglob("*.py") if has_fastmath(path.read_text())]
