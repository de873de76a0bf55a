"""The JSON Schemas say the same as the C decoders: both judge the same vectors.

A vector's "schema" says what its schema can make of it: "passes" (the default
of accepted ones), "fails", "json" (no JSON parser takes it) or "cannot say",
where the protocol asks for more than JSON Schema can express.
"""

import base64
import json
import re

import jsonschema
import pytest
import yaml
from schemas import PROTOCOL, SCHEMAS, http_validator, validator

VECTORS = [
    vector
    for path in sorted((PROTOCOL / "vectors").glob("*.json"))
    for vector in json.loads(path.read_text())
]
LIMITS = {
    name: int(value)
    for name, value in re.findall(r"#define (SB_\w+)\s+(\d+)\b", (PROTOCOL / "limits.h").read_text())
}


VALIDATORS = {name: validator(name) for name in SCHEMAS}


def parse(vector):
    data = base64.b64decode(vector["bytes_base64"]) if "bytes_base64" in vector else vector["bytes"].encode()
    return json.loads(data.decode())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"].replace(" ", "_"))
def test_vector(vector):
    says = vector.get("schema", "passes" if vector["accepted"] else None)
    if says == "json":
        with pytest.raises(ValueError):
            parse(vector)
        return
    errors = list(VALIDATORS[vector["direction"] + ".json"].iter_errors(parse(vector)))
    if says == "fails":
        assert errors
    else:
        assert says in ("passes", "cannot say")
        assert not errors


def test_there_are_vectors_of_each_kind():
    for direction in ("client", "server"):
        for accepted in (True, False):
            count = sum(v["direction"] == direction and v["accepted"] is accepted for v in VECTORS)
            assert count >= 25, (direction, accepted)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_one_and_its_examples_pass(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    for example in SCHEMAS[name].get("examples", []):
        VALIDATORS[name].validate(example)


def test_every_message_has_an_example_and_an_accepted_vector():
    for name in SCHEMAS.keys() - {"common.json", "client.json", "server.json"}:
        assert SCHEMAS[name]["examples"], name
        word = name.removesuffix(".json")
        assert any(v["accepted"] and parse(v).get("type") == word for v in VECTORS), name


def test_asyncapi_refers_to_every_message_and_to_nothing_else():
    text = (PROTOCOL / "schema" / "asyncapi.yaml").read_text()
    files = set(re.findall(r"\$ref: (\w+\.json)$", text, re.MULTILINE))
    assert files == SCHEMAS.keys() - {"common.json", "client.json", "server.json"}


HTTP = {path.name: json.loads(path.read_text()) for path in sorted((PROTOCOL / "schema/http").glob("*.json"))}


@pytest.mark.parametrize("name", HTTP)
def test_schema_of_http_is_one_and_its_examples_pass(name):
    jsonschema.Draft202012Validator.check_schema(HTTP[name])
    for example in HTTP[name]["examples"]:
        http_validator(name).validate(example)


def test_openapi_refers_to_files_that_are_there_and_tells_of_every_status():
    openapi = yaml.safe_load((PROTOCOL / "schema/openapi.yaml").read_text())
    text = json.dumps(openapi)
    for file in re.findall(r'"\$ref": "([\w/]+\.json)', text):
        assert (PROTOCOL / "schema" / file).exists(), file
    docs = (PROTOCOL.parent / "docs/http.md").read_text()
    for path in openapi["paths"]:
        assert f" {path}" in docs
    table = docs[docs.index("| status | reason |") :]
    told = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in row.split(", ")}
    assert told == set(HTTP["problem.json"]["properties"]["status"]["enum"])


def test_documented_http_bodies_are_as_their_schemas_say():
    docs = (PROTOCOL.parent / "docs/http.md").read_text()
    bodies = [json.loads(line) for line in re.findall(r"^(?:data: )?(\{.*\})$", docs, re.MULTILINE)]
    assert len(bodies) >= 8
    for body in bodies:
        if "state" in body:
            http_validator("reconnect.json").validate(body)
        elif "messages" in body:
            http_validator("bookings.json").validate(body)
        elif body["type"] == "about:blank":
            http_validator("problem.json").validate(body)
        else:
            VALIDATORS["client.json" if body["type"] == "ack" else "server.json"].validate(body)


def at(schema, path):
    """What a path of property names leads to, through $ref and lists."""
    for step in path.split("."):
        if "$ref" in schema:
            file, _, pointer = schema["$ref"].partition("#/$defs/")
            schema = SCHEMAS[file]["$defs"][pointer]
        schema = schema["items"] if step == "[]" else schema["properties"][step]
    if "$ref" in schema:
        file, _, pointer = schema["$ref"].partition("#/$defs/")
        schema = SCHEMAS[file]["$defs"][pointer]
    return schema


@pytest.mark.parametrize(
    "limit, file, path, keyword",
    [
        ("SB_UID_MAX", "booking", "booking.uid", "maxLength"),
        ("SB_SUBJECT_MAX", "booking", "booking.subject", "maxLength"),
        ("SB_TIME_ZONE_MAX", "booking", "booking.time_zone", "maxLength"),
        ("SB_NAME_MAX", "booking", "booking.attendees.[].name", "maxLength"),
        ("SB_EMAIL_MAX", "booking", "booking.attendees.[].email", "maxLength"),
        ("SB_LOCATION_MAX", "booking", "booking.location", "maxLength"),
        ("SB_JOIN_URL_MAX", "booking", "booking.join_url", "maxLength"),
        ("SB_DESCRIPTION_MAX", "booking", "booking.description", "maxLength"),
        ("SB_ATTENDEES_MAX", "booking", "booking.attendees", "maxItems"),
        ("SB_DURATION_MINUTES_MIN", "booking", "booking.duration_minutes", "minimum"),
        ("SB_DURATION_MINUTES_MAX", "booking", "booking.duration_minutes", "maximum"),
        ("SB_EMAIL_MAX", "welcome", "mailbox", "maxLength"),
        ("SB_SESSION_NAME_MAX", "welcome", "session", "maxLength"),
        ("SB_WINDOW_MAX", "welcome", "window", "maximum"),
        ("SB_CLIENT_NAME_MAX", "hello", "client.name", "maxLength"),
        ("SB_CLIENT_VERSION_MAX", "hello", "client.version", "maxLength"),
        ("SB_FEATURES_MAX", "hello", "features", "maxItems"),
        ("SB_FEATURE_MAX", "hello", "features.[]", "maxLength"),
        ("SB_FAILED_MAX", "ack", "failed", "maxItems"),
        ("SB_DETAIL_MAX", "error", "detail", "maxLength"),
    ],
)
def test_schema_and_header_have_the_same_limit(limit, file, path, keyword):
    assert at(SCHEMAS[file + ".json"], path)[keyword] == LIMITS[limit]


def documented():
    """The messages of docs/protocol.md: whole lines, in the session with C or S before them."""
    text = (PROTOCOL.parent / "docs" / "protocol.md").read_text()
    return [(match[1], match[2]) for match in re.finditer(r"^([CS] )?(\{\"type\".*\})$", text, re.MULTILINE)]


@pytest.mark.parametrize("who, line", documented())
def test_a_documented_message_is_one(who, line):
    message = json.loads(line)
    direction = {"C ": "client", "S ": "server"}.get(
        who, "client" if message["type"] in ("hello", "ack", "ping") else "server")
    VALIDATORS[direction + ".json"].validate(message)


def test_every_message_is_documented():
    types = {json.loads(line)["type"] for _, line in documented()}
    assert types == {name.removesuffix(".json") for name in SCHEMAS} - {"common", "client", "server"}
    assert sum(bool(who) for who, _ in documented()) >= 10
