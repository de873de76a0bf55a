"""protocol/schema for tests: what validates a message, and what validates an answer over HTTP."""

import json
import pathlib

import jsonschema

PROTOCOL = pathlib.Path(__file__).resolve().parents[2] / "protocol"
FOLDER = PROTOCOL / "schema"
SCHEMAS = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def _validator(path):
    store = {(FOLDER / name).as_uri(): schema for name, schema in SCHEMAS.items()}
    schema = json.loads(path.read_text())
    resolver = jsonschema.RefResolver(path.as_uri(), schema, store=store)
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def validator(name):
    """Of one message, or of all of a direction: "client.json", "server.json"."""
    return _validator(FOLDER / name)


def http_validator(name):
    return _validator(FOLDER / "http" / name)
