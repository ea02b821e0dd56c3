"""What is drawn from an API's document, and what every answer is checked for.

Imported by a test and not by its file: each worker collects all files, and to read schemathesis in takes it a second.
"""

from typing import Any

import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
WITHIN, BESIDE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE


def read(document: dict[str, Any]) -> Any:
    return schemathesis.openapi.from_dict(document)
