"""Data types of HL7 FHIR R4 as the dictionaries that its JSON format writes."""

import base64
import uuid
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from longllava_domains.export.codes import PRIVATE_SCHEME, PRIVATE_SCHEME_UID, Code
from longllava_domains.export.report_content import printable

Resource = dict[str, Any]

TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_SYSTEMS: Final = {
    "SCT": "http://snomed.info/sct",
    PRIVATE_SCHEME: f"urn:oid:{PRIVATE_SCHEME_UID}",
}


def resource(kind: str) -> Resource:
    """Start a resource of this kind with a new id."""
    return {"resourceType": kind, "id": str(uuid.uuid4())}


def url(resource: Resource) -> str:
    """Return the full URL of a resource inside its Bundle."""
    return f"urn:uuid:{resource['id']}"


def reference(resource: Resource) -> Resource:
    """Refer to another resource of the same Bundle."""
    return {"reference": url(resource), "type": resource["resourceType"]}


def uid_identifier(uid: str) -> Resource:
    """Return a DICOM UID as an Identifier."""
    return {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}


def concept(system: str, code: str, display: str) -> Resource:
    """Return a CodeableConcept with one coding."""
    return {"coding": [{"system": system, "code": code, "display": display}]}


def coded(code: Code) -> Resource:
    """Return one of our coded concepts as a CodeableConcept."""
    return concept(_SYSTEMS[code.scheme], code.value, code.meaning)


def number(value: float) -> Resource:
    """Return a Quantity without unit (UCUM ``1``)."""
    return {"value": round(value, 6), "system": "http://unitsofmeasure.org", "code": "1"}


def attachment(content_type: str, text: str, created: str) -> Resource:
    """Return text as an Attachment; `created` is an instant."""
    data = base64.b64encode(text.encode("utf-8")).decode("ascii")
    title = "Draft report, research use only"
    return {"contentType": content_type, "data": data, "title": title, "creation": created}


def narrative(lines: Iterable[str]) -> Resource:
    """Return lines as a generated Narrative, one paragraph each, markup escaped."""
    body = "".join(f"<p>{escape(printable(line))}</p>" for line in lines if line.strip())
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>',
    }
