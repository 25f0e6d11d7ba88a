"""A CT report as JSON, and the schema that it follows.

The JSON is analytic output: it names images by short hashes and holds no patient data.
"""

import json
from datetime import UTC
from importlib.resources import files
from typing import Any, Final

from longllava_domains.export.report_content import NOT_ASSESSED, AbnormalityFinding, ReportContent

SCHEMA_NAME: Final = "longllava-domains/ct-report@1"


def report_json(content: ReportContent) -> dict[str, Any]:
    """Return the report as JSON that follows `ct_report_schema`.

    Notices come first, then the text, the scored findings and how all of it was made.
    """
    return {
        "schema": SCHEMA_NAME,
        "notices": list(content.all_notices),
        "demo": content.demo,
        "created": content.created.astimezone(UTC).isoformat(timespec="seconds"),
        "model": {
            "name": content.model,
            "revision": content.model_revision or None,
            "adapter": content.adapter or None,
        },
        "text": content.text,
        "findings": content.findings or None,
        "impression": content.impression or None,
        "abnormalities": [_finding_json(finding) for finding in content.abnormalities],
        "not_assessed": NOT_ASSESSED,
        "slices_shown": [place.to_json() for place in content.slices],
        "provenance": content.provenance.to_json(),
    }


def _finding_json(finding: AbnormalityFinding) -> dict[str, Any]:
    code = finding.code
    return {
        "label": finding.label,
        "code": {"scheme": code.scheme, "value": code.value, "meaning": code.meaning},
        "yes_logit_margin": finding.yes_logit_margin,
        "probability": finding.probability,
        "present": finding.present,
        "attention_slices": [place.to_json() for place in finding.cited_slices],
    }


def ct_report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `report_json`, as shipped with the package."""
    text = files("longllava_domains.export").joinpath("schemas", "ct_report.schema.json")
    schema: dict[str, Any] = json.loads(text.read_text("utf-8"))
    return schema
