"""The JSON report follows its published schema, and the schema refuses what it should."""

import copy
import json
import math
import re
from typing import Any

import pytest

from longllava_domains.export.codes import CT_RATE_CODES
from longllava_domains.export.report_json import ct_report_schema, report_json
from longllava_domains.provenance import RESEARCH_NOTICE

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
KNOWN = {
    *("$schema", "$id", "$defs", "$ref", "title", "description", "type", "const", "enum"),
    *("required", "properties", "additionalProperties", "items", "minItems", "maxItems"),
    *("pattern", "minimum", "maximum"),
}


def is_of(value, name) -> Any:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


def problems(value, schema, root, at="$") -> Any:
    """Yield what violates the schema; a slow, readable reading of the draft's keywords."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    names = schema.get("type", [])
    names = [names] if isinstance(names, str) else names
    if names and not any(is_of(value, name) for name in names):
        yield f"{at}: type"
        return
    yield from scalar_problems(value, schema, at)
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{at}: length"
        for index, item in enumerate(value):
            yield from problems(item, schema.get("items", {}), root, f"{at}[{index}]")
    if isinstance(value, dict):
        yield from object_problems(value, schema, root, at)


def scalar_problems(value, schema, at) -> Any:
    if "const" in schema and value != schema["const"]:
        yield f"{at}: const"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: enum"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{at}: pattern"
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if is_of(value, "number") and not low <= value <= high:
        yield f"{at}: range"


def object_problems(value, schema, root, at) -> Any:
    properties = schema.get("properties", {})
    for name in set(schema.get("required", ())) - set(value):
        yield f"{at}.{name}: missing"
    for name, item in value.items():
        if name in properties:
            yield from problems(item, properties[name], root, f"{at}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{at}.{name}: not expected"


def check(document) -> Any:
    schema = ct_report_schema()
    return list(problems(document, schema, schema))


def test_a_full_report_follows_the_schema_through_a_json_round_trip(report) -> None:
    document = json.loads(json.dumps(report_json(report), allow_nan=False))
    assert check(document) == []
    assert document["notices"][0] == RESEARCH_NOTICE
    assert document["text"] == report.text
    assert document["abnormalities"][0]["attention_slices"][0]["z_mm"] == -5.0


def test_a_bare_demonstration_report_follows_the_schema(report_factory, headers) -> None:
    bare = report_factory(headers, findings="", impression="", adapter="", abnormalities=())
    document = report_json(bare)
    assert check(document) == []
    assert document["model"]["adapter"] is None


def test_the_schema_knows_exactly_the_18_labels() -> None:
    enum = ct_report_schema()["$defs"]["finding"]["properties"]["label"]["enum"]
    assert enum == list(CT_RATE_CODES)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("schema",), "other", "const"),
        (("notices",), [], "length"),
        (("demo",), "no", "type"),
        (("created",), "yesterday", "pattern"),
        (("patient",), "x", "not expected"),
        (("model", "name"), None, "type"),
        (("abnormalities", 0, "label"), "Broken heart", "enum"),
        (("abnormalities", 0, "probability"), 1.01, "range"),
        (("abnormalities", 0, "present"), 1, "type"),
        (("slices_shown", 0, "index"), -1, "range"),
        (("slices_shown", 0, "instances"), ["1.2.840.10008"], "pattern"),
    ],
)
def test_the_schema_refuses(report, path, value, problem) -> None:
    document = copy.deepcopy(report_json(report))
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    (found,) = check(document)
    assert found.endswith(problem)


def test_nothing_of_the_source_headers_is_in_the_json(report, headers, planted) -> None:
    text = json.dumps(report_json(report), ensure_ascii=False)
    uids = [str(header.get(name)) for header in headers for name in ("SOPInstanceUID",)]
    hidden = [*uids, str(headers[0].StudyInstanceUID), *planted.values()]
    assert not [value for value in hidden if len(value) > 1 and value in text]
