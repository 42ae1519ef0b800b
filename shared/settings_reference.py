"""The reference of all settings, rendered from their types: ``.env.example`` and the README."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.settings import Settings, allowed, describe, fields_of, is_secret


def environment_example(types: Mapping[str, type[Settings]]) -> str:
    """The text of ``.env.example``: every variable of these types (by prefix) with its default."""
    blocks: list[str] = []
    for prefix, kind in types.items():
        blocks.append(f"# {(kind.__doc__ or '').splitlines()[0]}\n")
        for field in fields_of(kind):
            blocks.append(f"# {describe(field.type)} ({allowed(field.type)})")
            blocks.append(f"# {prefix}{field.name.upper()}={_default(field)}\n")
    return "\n".join(blocks).rstrip() + "\n"


def settings_table(types: Mapping[str, type[Settings]]) -> str:
    """The same as a Markdown table, for the README."""
    rows = ["| variable | default | allowed | what it is |", "|---|---|---|---|"]
    for prefix, kind in types.items():
        for field in fields_of(kind):
            name, default = prefix + field.name.upper(), _default(field)
            shown = f"`{default}`" if default else ("must be set" if field.required else "")
            rows.append(f"| `{name}` | {shown} | {allowed(field.type)} | {describe(field.type)} |")
    return "\n".join(rows) + "\n"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required or is_secret(field.type):
        return ""
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
