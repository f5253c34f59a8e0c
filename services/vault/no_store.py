"""The header of every answer that holds a secret."""

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
