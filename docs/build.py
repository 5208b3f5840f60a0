"""Writes ``docs/reference`` from the code: ``python docs/build.py``; ``--check`` only compares.

Four pages: the command line, HTTP, Python, settings.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

REFERENCE = Path(__file__).parent / "reference"
sys.path.insert(0, str(Path(__file__).parents[1]))

HEADER = "<!-- Written by docs/build.py; edit the code instead. -->\n\n"


def pages() -> dict[str, str]:
    """The content of every page by its name."""
    return {
        "cli.md": HEADER + cli(),
        "http.md": HEADER + http(),
        "python.md": HEADER + python(),
        "settings.md": HEADER + settings(),
    }


# --- the command line ---


def cli() -> str:
    """Every command with its options."""
    import typer

    from api.cli.main import app

    group: Any = typer.main.get_command(app)
    lines = ["# Command line", "", _said(group.help), "", group.epilog, ""]
    for path, command in _commands(group, ()):
        lines += [f"## speechplan {' '.join(path)}", "", *_help(command.help), ""]
        rows = [_parameter(one) for one in command.params if not getattr(one, "hidden", False)]
        lines += [_table(("", "takes", "default", ""), rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _help(text: str) -> list[str]:
    lines = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            lines += ["```console", *_prompted(paragraph.lstrip("\b\n")), "```"]
        else:
            lines += [_said(paragraph), ""]
    return lines


def _prompted(text: str) -> list[str]:
    return [line if line.startswith(" ") else f"$ {line}" for line in text.splitlines()]


def _parameter(one: Any) -> tuple[str, ...]:
    option = one.param_type_name == "option"
    name = " / ".join([*one.opts, *one.secondary_opts]) if option else one.name.upper()
    takes, default = _takes(one.type_descriptor.annotation), one.default
    if getattr(one, "is_flag", False):
        takes = ""
        default = None if not one.secondary_opts else one.opts[0] if default else None
    shown = "" if default is None or callable(default) or default == () else f"`{default}`"
    if one.required:
        shown = "required"
    elif one.multiple if option else one.nargs == -1:
        takes += ", repeated"
    return f"`{name}`", takes, shown, _said(getattr(one, "help", "") or "")


_CALLED = {"str": "text", "int": "whole number", "float": "number", "Path": "path"}


def _takes(kind: Any) -> str:
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
    if choices := get_args(kind):
        return " or ".join(f"`{choice}`" for choice in choices)
    if issubclass(kind, Enum):
        return " or ".join(f"`{choice.value}`" for choice in kind)
    return _CALLED.get(kind.__name__, kind.__name__)


# --- HTTP ---


def http() -> str:
    """Every operation of the OpenAPI document, and the shapes of bodies."""
    from tempfile import TemporaryDirectory

    from litestar.testing import TestClient

    from api.app import create_app
    from measurements.settings import Settings

    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/reference.db"
        with TestClient(create_app(Settings(database_url=url, api_key=None))) as client:
            document = client.get("/schema/openapi.json").json()
    lines = [
        "# HTTP",
        "",
        document["info"]["description"],
        "",
        "The OpenAPI document itself is at `/schema/openapi.json`, and to be tried at"
        " `/schema/docs`. Errors are problem details (RFC 9457).",
        "",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            lines += _operation(method, path, operation)
    lines += ["## Shapes", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _shape(name, schema)
    return "\n".join(lines).rstrip() + "\n"


def _operation(method: str, path: str, operation: dict[str, Any]) -> list[str]:
    lines = [f"## {operation['operationId']}", "", f"`{method.upper()} {path}`", ""]
    lines += [operation["summary"] + ".", ""]
    if said := operation.get("description"):
        lines += [said, ""]
    parameters = [
        (
            f"`{one['name']}`",
            one["in"] + (", required" if one.get("required") else ""),
            _type(one["schema"]),
            _default(one["schema"]),
            _said(one.get("description", "")),
        )
        for one in operation.get("parameters", ())
    ]
    if parameters:
        lines += [_table(("parameter", "in", "type", "default", ""), parameters), ""]
    if body := operation.get("requestBody"):
        lines += [f"Body: {_content(body['content'])}.", ""]
    answers = [
        (status, _content(response.get("content", {})), _said(response.get("description", "")))
        for status, response in sorted(operation["responses"].items())
    ]
    return [*lines, _table(("status", "body", ""), answers), ""]


def _content(content: dict[str, Any]) -> str:
    """What a body is, and its media type where there is a choice."""
    kinds = {name: _type(one["schema"]) for name, one in content.items() if one["schema"]}
    if len(kinds) == 1:
        return next(iter(kinds.values()))
    return ", ".join(f"{kind} (`{name}`)" for name, kind in kinds.items())


def _shape(name: str, schema: dict[str, Any]) -> list[str]:
    said, attributes = _docstring(_documentation(name))
    lines = [f"### {name}", ""]
    if said:
        lines += [said, ""]
    required = schema.get("required", ())
    rows = [
        (
            f"`{field}`" + (", required" if field in required else ""),
            _type(one),
            _default(one),
            attributes.get(field, ""),
        )
        for field, one in schema.get("properties", {}).items()
    ]
    return [*lines, _table(("field", "type", "default", ""), rows), ""] if rows else lines


def _documentation(name: str) -> str:
    """Docstring of the model behind a shape; its module is in its name where others share it."""
    below = [BaseModel]
    for model in below:
        below += model.__subclasses__()
        whole = f"{model.__module__}.{model.__name__}".replace(".", "_")
        ours = whole.startswith(("api_", "measurements_", "planner_", "models_registry_"))
        if ours and (model.__name__ == name or whole.endswith(f"_{name}")):
            return inspect.cleandoc(model.__doc__ or "")
    return ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(one) for one in options))
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [
        f"{sign} {schema[name]:g}"
        for name, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if name in schema
    ]
    return f"{kind} {' '.join(bounds)}".strip()


def _default(schema: dict[str, Any]) -> str:
    return f"`{json.dumps(schema['default'])}`" if schema.get("default") is not None else ""


# --- Python ---


def python() -> str:
    """The parts that are usable alone, with their signatures and docstrings."""
    from api.client import AsyncClient, Client, errors
    from api.client.operations import Download, Ending, Events, Listing, Operation, Upload
    from api.client.routes import Routes
    from api.client.transport import Transport
    from models_registry import Configuration, Plan, load, plans, read_plan, write_plan
    from planner.cost import memory_bytes, pass_flops
    from planner.curves import ScalingModel, fit
    from planner.question import Budget, FrontQuestion, Question, Setting
    from planner.workload import Workload

    lines = ["# Python", "", "Parts that are usable alone.", ""]
    for module, objects in {
        "models_registry": (Configuration, load, Plan, read_plan, write_plan, plans.plan_schema),
        "planner.cost": (pass_flops, memory_bytes),
        "planner.curves": (fit, ScalingModel),
        "planner.question": (Question, FrontQuestion, Setting, Budget, Workload),
        "api.client": (Client, AsyncClient, Transport),
    }.items():
        lines += [f"## {module}", ""]
        for one in objects:
            lines += _described(one)
    lines += [
        "### Methods of both clients",
        "",
        "Those of `AsyncClient` are awaited; those that yield are iterated with `async for`.",
        "",
    ]
    for name, found in vars(Routes).items():
        if isinstance(found, Operation | Events | Listing | Ending | Download | Upload):
            signature = _folded(name, found.__signature__)
            lines += [f"#### {name}", "", "```python", signature, "```", ""]
            lines += [_prose(inspect.cleandoc(found.__doc__ or "")), ""]
    lines += ["### Errors", ""]
    rows = [
        (f"`{kind.__name__}`", f"`{getattr(kind, 'code', '')}`".strip("`") or "", _first(kind))
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ClientError)
    ]
    lines += [_table(("exception", "type of problem", ""), rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def _described(one: Any) -> list[str]:
    lines = [f"### {one.__name__}", ""]
    if not isinstance(one, type):
        lines += ["```python", _folded(one.__name__, inspect.signature(one)), "```", ""]
    lines += [_prose(inspect.getdoc(one) or ""), ""]
    own = vars(one).items() if isinstance(one, type) else ()
    for name, method in own:
        if name.startswith("_") or name in _INHERITED or not inspect.isfunction(method):
            continue
        signature = _folded(name, inspect.signature(method))
        lines += [f"#### {one.__name__}.{name}", "", "```python", signature, "```"]
        lines += ["", _prose(inspect.getdoc(method) or ""), ""]
    return lines


_INHERITED = frozenset({"model_post_init"})


def _folded(name: str, signature: inspect.Signature) -> str:
    """A signature as Ruff would lay it out."""
    parts, kind = [], None
    for one in signature.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and kind not in (one.KEYWORD_ONLY, one.VAR_POSITIONAL):
            parts.append("*")
        kind = one.kind
        parts.append(_annotated(one))
    result = f" -> {_kind(signature.return_annotation)}"
    text = f"{name}({', '.join(parts)}){result}"
    if len(text) <= 88:
        return text
    body = "".join(f"    {part},\n" for part in parts)
    return f"{name}(\n{body}){result}"


def _annotated(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    text = f"{stars}{one.name}: {_kind(one.annotation)}"
    return text if one.default is one.empty else f"{text} = {one.default!r}"


def _kind(annotation: Any) -> str:
    """A type as it is written, without its modules."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"Annotated\[(.*), Header\(.*\)\]", r"\1", text)
    return re.sub(r"\b(?:[a-z_]+\.)+([A-Za-z]\w*)", r"\1", text)


def _first(one: Any) -> str:
    return _said((inspect.getdoc(one) or "").split("\n\n")[0])


# --- settings ---


def settings() -> str:
    """Every environment variable."""
    from measurements.settings import table

    tracing = (
        "OpenTelemetry's own variables turn tracing on: `OTEL_EXPORTER_OTLP_ENDPOINT`, with the"
        " extra `otel`."
    )
    return (
        "# Settings\n\nAll come from the environment; `speechplan settings` shows them as they are,"
        f" secrets hidden.\n\n{table().strip()}\n\n{tracing}\n"
    )


# --- text ---


_ITEM = re.compile(r"^(\w+): (.+(?:\n +.+)*)", re.M)
"""An argument or attribute of a Google-style docstring, its section's indent removed."""


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """What a Google-style docstring says, and of each attribute."""
    said, _, attributes = text.partition("Attributes:\n")
    found = _ITEM.findall(inspect.cleandoc("\n" + attributes))
    return _said(said), {name: _said(meaning) for name, meaning in found}


def _prose(doc: str) -> str:
    """A Google-style docstring as Markdown: its sections as lists."""
    blocks = []
    for block in doc.split("\n\n"):
        head, _, rest = block.partition("\n")
        if re.fullmatch(r"(Args|Attributes|Raises|Returns|Yields):", head):
            items = _ITEM.findall(inspect.cleandoc("\n" + rest))
            listed = "\n".join(f"- `{name}`: {_said(text)}" for name, text in items)
            blocks.append(f"{head[:-1]}:\n\n{listed}")
        elif block.startswith("    "):
            blocks.append(f"```python\n{inspect.cleandoc(block)}\n```")
        elif block.strip() != "::":
            blocks.append(_said(block))
    return "\n\n".join(blocks)


def _said(text: str) -> str:
    """One line of Markdown of reStructuredText."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`").removesuffix("::").rstrip()


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(c.replace('|', chr(92) + '|') for c in row)} |" for row in rows]
    return "\n".join(lines)


def main(check: bool) -> int:
    """Writes the pages, or says which are out of date."""
    stale = []
    for name, content in pages().items():
        file = REFERENCE / name
        if not file.exists() or file.read_text(encoding="utf-8") != content:
            stale.append(name)
            if not check:
                file.parent.mkdir(exist_ok=True)
                file.write_text(content, encoding="utf-8")
    if stale:
        print(f"{'out of date' if check else 'written'}: {', '.join(stale)}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
