"""The shape of the code: no circle of imports of any kind, small folders, short files."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("longllava_domains", "adapters", "pipelines")
NAME = "longllava_domains"
MOST_FILES = 14
MOST_LINES = 330
MOST_LINES_OF_A_FUNCTION = 60


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == NAME else (NAME, *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: set[str]) -> set[str]:
    """Return every module of ours that a file imports: at the top, in functions, for types."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in modules}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found |= {whole if whole in modules else node.module} & modules
    return found


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other (Tarjan, 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    waiting: list[str] = []
    found = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        waiting.append(node)
        for following in graph.get(node, ()):
            if following not in order:
                visit(following)
                low[node] = min(low[node], low[following])
            elif following in waiting:
                low[node] = min(low[node], order[following])
        if low[node] == order[node]:
            group = waiting[waiting.index(node) :]
            del waiting[waiting.index(node) :]
            if len(group) > 1 or node in graph.get(node, ()):
                found.append(sorted(group))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def module_graph() -> dict[str, set[str]]:
    paths = {dotted(path): path for path in sources()}
    return {name: imported(path, set(paths)) for name, path in paths.items()}


def test_circles_are_found_where_there_are_some() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_in_functions_and_for_types_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nimport m.a\nif TYPE_CHECKING:\n    from m.b import B\n"
        "def f():\n    from m import c\n"
    )
    assert imported(file, {"m", "m.a", "m.b", "m.c"}) == {"m.a", "m.b", "m.c"}


def test_no_module_imports_itself_by_a_detour() -> None:
    assert circles(module_graph()) == []


def test_no_package_imports_itself_by_a_detour() -> None:
    """Between the children of each package, whatever their depth: what import-linter holds too."""
    graph = module_graph()
    for package in {name.rpartition(".")[0] for name in graph if "." in name}:
        depth = package.count(".") + 2
        children: dict[str, set[str]] = {}
        for name, targets in graph.items():
            if not name.startswith(f"{package}."):
                continue
            child = ".".join(name.split(".")[:depth])
            inside = {
                ".".join(target.split(".")[:depth])
                for target in targets
                if target.startswith(f"{package}.")
            }
            children.setdefault(child, set()).update(inside - {child})
        assert circles(children) == [], package


def test_no_folder_holds_more_files_than_a_reader_keeps_in_mind() -> None:
    crowded = {}
    for folder in {path.parent for path in sources()}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        if len(files) > MOST_FILES:
            crowded[str(folder.relative_to(ROOT))] = len(files)
    assert crowded == {}


def test_no_file_of_the_code_is_longer_than_a_reader_bears() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_each_function_fits_a_screen() -> None:
    long = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    long[f"{path.relative_to(ROOT)}: {node.name}"] = lines
    assert long == {}


def test_a_class_name_means_one_thing() -> None:
    """One word, one meaning (docs/glossary.md); a rectangle is a `Box` wherever it lies."""
    homes: dict[str, list[str]] = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name for name, paths in homes.items() if len(paths) > 1} == {"Box"}
