"""The API as a document (OpenAPI 3.1), and that as a page that needs nothing from elsewhere."""

import html
from typing import Any

from reverse_etl import __version__
from reverse_etl.http_api.options import ApiOptions

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;"
    "color:#222;background:#fff}h2{margin-top:2.5rem;font-size:1.1rem}code,th{font-family:ui-monospace,"
    "monospace}h2 b{background:#e8f0e8;padding:.1rem .5rem;border-radius:.3rem;margin-right:.5rem}"
    "table{border-collapse:collapse;width:100%}th{text-align:left;vertical-align:top;width:4rem;"
    "font-weight:600}td,th{padding:.3rem .5rem;border-top:1px solid #ddd}"
)
_LINK = '<a href="openapi.json">openapi.json</a>'
_SYNC = {
    "name": "sync",
    "in": "path",
    "required": True,
    "description": "The sync's name.",
    "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"},
}


def build_document(*, needs_token: bool, options: ApiOptions) -> dict[str, Any]:
    """The document."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "reverse_etl",
            "version": __version__,
            "description": "Users' records, as the live version of each sync has them.",
        },
        "paths": {
            "/v1/{sync}/{key}": {"get": _describe_one(options)},
            "/v1/{sync}/batch": {"post": _describe_batch(options)},
            "/healthz": {
                "get": _describe_page("Whether the process answers.", {"200": "It does."})
            },
            "/readyz": {
                "get": _describe_page(
                    "Whether every sync can be read, and which version it is.",
                    {
                        "200": "All can; versions of the syncs that the token reaches.",
                        "503": "At least one cannot: its version is null.",
                    },
                )
            },
            "/metrics": {
                "get": _describe_page(
                    "Counts and seconds, for Prometheus.",
                    {"200": "As text.", "401": "No token, or none of this API's."},
                )
            },
        },
        "components": {
            "schemas": {
                "Record": {
                    "type": "object",
                    "description": "Columns by name. Integers beyond 2^53 and decimals are strings.",
                },
                "Problem": {
                    "type": "object",
                    "properties": {
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                },
            }
        },
    }
    if needs_token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path in ("/v1/{sync}/{key}", "/v1/{sync}/batch", "/metrics"):
            for operation in document["paths"][path].values():
                operation["security"] = [{"token": []}]
    return document


def _describe_one(options: ApiOptions) -> dict[str, Any]:
    key = {
        "name": "key",
        "in": "path",
        "required": True,
        "description": f"Percent-encoded UTF-8, {options.key_bytes} bytes at most.",
        "schema": {"type": "string"},
    }
    return {
        "summary": "One user's record",
        "parameters": [_SYNC, key],
        "responses": {
            "200": _answer("The record; its ETag is the version.", "Record"),
            "304": {"description": "The version is still that of If-None-Match."},
            "404": _problem("No such record, or no such sync for this token."),
            "405": _problem("Keys of this sync are personal: use the batch."),
            **_failures(),
        },
    }


def _describe_batch(options: ApiOptions) -> dict[str, Any]:
    keys = {
        "type": "array",
        "maxItems": options.batch_keys,
        "items": {"type": ["string", "integer"]},
    }
    body = {
        "type": "object",
        "required": ["keys"],
        "additionalProperties": False,
        "properties": {"keys": keys},
    }
    record = {"anyOf": [{"$ref": "#/components/schemas/Record"}, {"type": "null"}]}
    found = {
        "type": "object",
        "properties": {
            "version": {"type": "string"},
            "records": {"type": "array", "items": record},
        },
    }
    return {
        "summary": "Many records of one version",
        "parameters": [_SYNC],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "In order of the keys, null where there is no record.",
                "content": {"application/json": {"schema": found}},
            },
            "400": _problem("The body is not what it should be."),
            "404": _problem("No such sync for this token."),
            "413": _problem(f"More than {options.batch_keys} keys, or {options.body_bytes} bytes."),
            **_failures(),
        },
    }


def _failures() -> dict[str, Any]:
    return {
        "401": _problem("No token, or none of this API's."),
        "500": _problem("The API cannot read this sync as it is configured."),
        "502": _problem(
            "What is stored was altered or lost: nobody knows whether the user exists."
        ),
        "503": _problem("Not published yet, or Redis and the store are away; see Retry-After."),
    }


def _describe_page(summary: str, answers: dict[str, str]) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {status: {"description": text} for status, text in answers.items()},
    }


def _answer(description: str, schema: str, media: str = "application/json") -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {media: {"schema": reference}}}


def _problem(description: str) -> dict[str, Any]:
    return _answer(description, "Problem", "application/problem+json")


def render_page(document: dict[str, Any]) -> str:
    """The document for a person: every path, what it takes and what it answers."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1>",
        f"<p>{html.escape(info['description'])} The same for programs: {_LINK}.</p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _render_operation(method, path, operation)
    return "".join(parts)


def _render_operation(method: str, path: str, operation: dict[str, Any]) -> list[str]:
    told = operation["summary"] + ("; needs a bearer token" if operation.get("security") else "")
    rows = [
        f"<tr><th>{html.escape(status)}<td>{html.escape(answer['description'])}"
        for status, answer in sorted(operation["responses"].items())
    ]
    return [
        f"<h2><b>{method.upper()}</b><code>{html.escape(path)}</code></h2>",
        f"<p>{html.escape(told)}.</p><table>{''.join(rows)}</table>",
    ]
