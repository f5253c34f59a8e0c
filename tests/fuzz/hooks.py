"""A check of our own beside those of schemathesis, loaded by it (`hooks` in its configuration)."""

from __future__ import annotations

import json

import schemathesis


@schemathesis.check
def valid_data_breaks_no_shape(ctx: object, response: object, case: object) -> None:
    """A request as the document describes it may be refused for what it means, never for its shape.

    Refusals for the shape have the code `invalid`; each refusal by meaning has a code of its own, so 422 alone does
    not tell them apart.
    """
    meta = case.meta  # type: ignore[attr-defined]
    if meta is None or not meta.generation.mode.is_positive or response.status_code != 422:  # type: ignore[attr-defined]
        return
    problem = json.loads(response.content)  # type: ignore[attr-defined]
    assert problem["code"] != "invalid", (
        f"the document allows what the service calls misshapen: {problem['errors']}"
    )
