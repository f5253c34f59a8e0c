"""Refusals in Vault's own shape: `{"errors": ["…"]}`, the list empty for a 404."""

from __future__ import annotations

from starlette.responses import JSONResponse


class VaultError(Exception):
    def __init__(self, status: int, *messages: str) -> None:
        super().__init__(f"{status} {messages}")
        self.status = status
        self.messages = messages

    def response(self) -> JSONResponse:
        return JSONResponse({"errors": list(self.messages)}, status_code=self.status)


def invalid(message: str) -> VaultError:
    return VaultError(400, message)
