"""Writes the schemas of new and grown event types: `python -m tests.contracts.golden`. Refuses a breaking change."""

from __future__ import annotations

import json
import sys

from shared.bus.asyncapi import load_contracts
from tests.contracts.golden import DIRECTORY, breaks, schema_of


def main() -> None:
    for kind, model in load_contracts().items():
        file = DIRECTORY / f"{kind}.json"
        schema = schema_of(model)
        if file.is_file() and (broken := breaks(json.loads(file.read_text()), schema)):
            sys.exit(f"{kind}: {'; '.join(broken)}. Make a new major version instead.")
        file.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
