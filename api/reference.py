"""The page at ``/schema/docs``: the OpenAPI document for reading, rendered here.

No script and no other host: the usual viewers come from a CDN and start by inline scripts,
which the content security policy refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from litestar import MediaType, Request, Response, Router, get
from litestar.openapi.plugins import OpenAPIRenderPlugin

Schema = dict[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters at most",
    "minItems": "{} items or more",
    "maxItems": "{} items at most",
    "pattern": "matching {}",
}

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { border-bottom: 1px solid; padding-top: 1rem; }
h3 code { font-size: 1rem; }
table { border-collapse: collapse; width: 100%; }
tr { border-top: 1px solid #8888; }
th, td { padding: .25rem .5rem; text-align: left; vertical-align: top; overflow-wrap: break-word; }
td:first-child { white-space: nowrap; }
pre { overflow-x: auto; border: 1px solid #8888; padding: .5rem; }
section { overflow-x: auto; }
nav ul { columns: 18rem; padding-left: 1rem; }
@media (max-width: 40rem) {
  thead { position: absolute; left: -100vw; }
  tr, td { display: block; }
  td { padding: 0; }
}
"""


class ReferencePlugin(OpenAPIRenderPlugin):
    """Renders the document as a page, and serves that page's style beside it."""

    def __init__(self, path: str = "/docs") -> None:
        super().__init__(path=path)
        self._page: bytes | None = None

    def receive_router(self, router: Router) -> None:
        """Adds the style."""

        @get("/docs.css", include_in_schema=False, sync_to_thread=False)
        def style() -> Response[str]:
            return Response(_STYLE, media_type=MediaType.CSS)

        router.register(style)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page."""
        if self._page is None:
            base = self.get_openapi_json_route(request).rpartition("/")[0]
            self._page = page(openapi_schema, base).encode()
        return self._page


def page(document: Schema, base: str) -> str:
    """An OpenAPI document as HTML.

    Args:
        document: The document.
        base: Path below which it and the page's style are served.
    """
    info, operations = document["info"], list(_operations(document))
    schemas = document.get("components", {}).get("schemas", {})
    tags = list(dict.fromkeys(tag for *_, one in operations for tag in one.get("tags", ["other"])))
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        "<link rel='icon' href='data:,'>",
        f"<title>{escape(info['title'])} API</title>",
        f"<link rel='stylesheet' href='{base}/docs.css'></head><body>",
        f"<header><h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info.get('description', ''))}</p>",
        f"<p>The document itself: <a href='{base}/openapi.json'>openapi.json</a>,"
        f" <a href='{base}/openapi.yaml'>openapi.yaml</a>.</p></header>",
        "<nav aria-label='Operations'><ul>",
        *(
            f"<li><a href='#{escape(one['operationId'])}'>{escape(one['summary'])}</a></li>"
            for *_, one in operations
        ),
        "</ul></nav><main>",
    ]
    for tag in tags:
        parts.append(f"<h2>{escape(tag)}</h2>")
        for method, path, operation in operations:
            if operation.get("tags", ["other"])[0] == tag:
                parts.append(_operation(method, path, operation))
    parts.append("<h2>Schemas</h2>")
    parts += [_component(name, schema) for name, schema in sorted(schemas.items())]
    return "".join([*parts, "</main></body></html>"])


def _operations(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def _operation(method: str, path: str, operation: Schema) -> str:
    parts = [
        f"<section><h3 id='{escape(operation['operationId'])}'>{escape(operation['summary'])}"
        f" <code>{method} {escape(path)}</code></h3>",
        _paragraphs(operation.get("description", "")),
    ]
    parameters = [
        (one["name"], one["in"], one.get("schema", {}), one.get("required"), one.get("description"))
        for one in operation.get("parameters", [])
    ]
    if parameters:
        parts.append(
            _table(
                ("parameter", "in", "type", "needed", ""),
                (
                    (
                        f"<code>{escape(name)}</code>",
                        escape(place),
                        _type(schema),
                        "yes" if required else _default(schema),
                        escape(said or ""),
                    )
                    for name, place, schema, required, said in parameters
                ),
            )
        )
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body, {escape(media_type)}: {_type(body.get('schema', {}))}</p>")
        parts += _examples(body)
    responses = operation.get("responses", {})
    parts.append(_table(("status", "", "body"), map(_response, sorted(responses.items()))))
    first: Schema = next(iter(responses.values()), {})
    for body in first.get("content", {}).values():
        parts += _examples(body)
    return "".join([*parts, "</section>"])


def _response(item: tuple[str, Schema]) -> tuple[str, str, str]:
    status, response = item
    body = " ".join(
        f"{_type(one.get('schema', {}))} ({escape(media_type)})"
        for media_type, one in response.get("content", {}).items()
    )
    return escape(status), escape(response.get("description", "")), body


def _component(name: str, schema: Schema) -> str:
    required = schema.get("required", [])
    rows = (
        (
            f"<code>{escape(field)}</code>",
            _type(one),
            "yes" if field in required else _default(one),
            escape(one.get("description", "")),
        )
        for field, one in schema.get("properties", {}).items()
    )
    return (
        f"<section><h3 id='schema-{escape(name)}'>{escape(schema.get('title', name))}</h3>"
        f"{_paragraphs(schema.get('description', ''))}"
        + (
            _table(("field", "type", "needed", ""), rows)
            if schema.get("properties")
            else f"<p>{_type(schema)}</p>"
        )
        + "</section>"
    )


def _type(schema: Schema) -> str:
    """A schema in words, with links to those that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#schema-{escape(name)}'>{escape(name.rpartition('_')[2] or name)}</a>"
    for many in ("oneOf", "anyOf", "allOf"):
        if many in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[many])))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    kind = schema.get("type", "anything")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if kind == "array":
        words = f"list of {_type(schema.get('items', {}))}"
    elif isinstance(schema.get("additionalProperties"), dict):
        words = f"object of {_type(schema['additionalProperties'])}"
    bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    return ", ".join([words, *map(escape, bounds)])


def _default(schema: Schema) -> str:
    found = schema.get("default")
    return "" if found is None else f"<code>{escape(json.dumps(found))}</code> if left out"


def _examples(body: Schema) -> Iterator[str]:
    named = [one.get("value") for one in body.get("examples", {}).values()]
    for value in [*named, body.get("example")]:
        if value is not None:
            yield f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n") if part.strip())


def _table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]] | Any) -> str:
    head = "".join(f"<th scope='col'>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
