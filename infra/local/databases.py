"""Databases and roles of the services on the stack's cluster, and their migrations.

Each service has a database `sc_<service>` and three login roles: `<service>_owner` migrates, `<service>_app` serves
requests under row-level security, `<service>_worker` does background work. None is a superuser.
"""

from __future__ import annotations

import secrets

import asyncpg

SERVICES = ("auth", "vault", "provisioner", "dns", "reputation")
KINDS = ("owner", "app", "worker")


def passwords(known: dict[str, str]) -> dict[str, str]:
    """A password for each role: those in `known` stay, missing ones are made."""
    roles = [f"{service}_{kind}" for service in SERVICES for kind in KINDS]
    return {role: known.get(role) or secrets.token_urlsafe(24) for role in roles}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def ensure(superuser_url: str, role_passwords: dict[str, str]) -> None:
    """Makes roles and databases that are missing and sets each role's password; safe to repeat."""
    connection = await asyncpg.connect(superuser_url.replace("+asyncpg", ""))
    try:
        roles = {row["rolname"] for row in await connection.fetch("select rolname from pg_roles")}
        for role, password in role_passwords.items():
            verb = "alter" if role in roles else "create"
            await connection.execute(
                f"{verb} role {role} login nosuperuser nobypassrls nocreatedb nocreaterole "
                f"password {_literal(password)}"
            )
        databases = {row["datname"] for row in await connection.fetch("select datname from pg_database")}
        for service in SERVICES:
            if f"sc_{service}" in databases:
                continue
            await connection.execute(f"create database sc_{service} owner {service}_owner")
            await connection.execute(f"revoke all on database sc_{service} from public")
            await connection.execute(
                f"grant connect, temporary on database sc_{service} to {service}_app, {service}_worker"
            )
    finally:
        await connection.close()
