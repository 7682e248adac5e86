"""Request bodies made from the API's description, with a text or number of its own in each field that takes one."""

import base64
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

CANARY = re.compile(rb"canary[0-9a-f]{10}", re.IGNORECASE)
BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
PHONES = "+917"  # no phone number of Kerala begins so; ten digits that are drawn follow

GOOD: Mapping[str, Any] = {  # for fields that refuse a canary
    "as_of": None,
    "at": "2026-11-22T05:00:00Z",
    "deferred_until": None,
    "blood_group": "O+",
    "component": "red_cells",
    "cron": "0 1 * * *",
    "district": "Ernakulam",
    "donor_id": 1,
    "event": "notified",
    "kind": "blood.match",
    "kinds": ["blood.match"],
    "latitude": 9.98,
    "longitude": 76.28,
    "model": "donor_seeker_match",
    "models": None,
    "request_id": 1,
    "shows": None,
    "states": None,
    "timezone": "Asia/Kolkata",
    "url": "http://127.0.0.1:9/hook",
}


class Planter:
    """Makes bodies, and knows every text that it planted."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._schemas = description["components"]["schemas"]
        self.planted: set[str] = set()

    def canary(self) -> str:
        """A text that is nowhere else."""
        canary = f"canary{secrets.token_hex(5)}"
        self.planted.add(canary)
        return canary

    def wrong(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        """A value of a schema's shape with a text in every place, numbers' and moments' too."""
        schema = self._resolved(schema)
        if depth < 8 and schema.get("type") == "array":
            return [self.wrong(schema.get("items", {}), depth + 1)]
        if depth < 8 and "properties" in schema:
            fields = {name: self.wrong(field, depth + 1) for name, field in schema["properties"].items()}
            return fields | {"surprise": self.canary()}
        return self.canary()

    def right(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        """A value that fits a schema, with a text wherever it takes any."""
        schema = self._resolved(schema)
        match schema.get("type"):
            case _ if "const" in schema or "enum" in schema:
                made = schema.get("const", schema.get("enum", [None])[0])
            case "object":
                fields = schema.get("properties", {})
                made = {name: self.right(field, depth + 1) for name, field in fields.items() if depth < 8}
                made = made or {"anything": self.canary()}
            case "array":
                made = [self.right(schema.get("items", {}), depth + 1)]
            case "integer":
                made = max(1, schema.get("minimum", 1))
            case "number":
                made = self._number(low=max(1.0, schema.get("minimum", 1.0)))
            case "boolean":
                made = True
            case _:
                made = self._text(schema)
        return made

    def _number(self, *, low: float) -> float:
        number = low + (secrets.randbelow(10**9) + 10**8) / 10**10
        self.planted.add(str(number))
        return number

    def _text(self, schema: Mapping[str, Any]) -> str:
        formats = {
            "date-time": "2026-11-23T08:00:00Z",
            "date": "1990-05-17",
            "duration": "PT1H",
            "uuid": "00000000-0000-4000-8000-000000000000",
        }
        if schema.get("format") in formats:
            return formats[schema["format"]]
        pattern, canary = schema.get("pattern"), self.canary()
        if pattern is None or re.search(pattern, canary):
            return canary[: schema.get("maxLength", 100)]
        phone = f"{PHONES}{secrets.randbelow(10**9):09}"
        if re.search(pattern, phone):
            self.planted.add(phone)
            return phone
        return str(schema.get("examples", ["x"])[0])

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow references; of alternatives take the first that is not null."""
        while True:
            if "$ref" in schema:
                schema = self._schemas[schema["$ref"].rpartition("/")[2]]
            elif choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
                schema = next(choice for choice in choices if choice.get("type") != "null")
            else:
                return schema

    def found_in(self, content: bytes) -> set[str]:
        """What of it is in a content, as it is or in base64."""
        decoded = b"\n".join(_decoded(content))
        known = {text for text in self.planted if text.encode() in content or text.encode() in decoded}
        return known | {one.decode() for part in (content, decoded) for one in CANARY.findall(part)}


def _decoded(content: bytes) -> Iterator[bytes]:
    for found in BASE64.findall(content):
        try:
            yield base64.b64decode(found + b"=" * (-len(found) % 4))
        except ValueError:
            continue


def mended(body: Any, errors: list[dict[str, str]]) -> Any:
    """The body with fields that were refused replaced by what is known to be good, or left out."""
    for error in errors:
        place, path = body, error["field"].split(".")
        while len(path) > 1 and isinstance(place, (dict, list)):
            step = path.pop(0)
            if isinstance(place, dict) and step in place:
                place = place[step]
            elif isinstance(place, list) and step.isdigit():
                place = place[int(step)]
        if isinstance(place, dict) and path[-1] in place:
            name = path[-1]
            if name in GOOD and place[name] != GOOD[name]:
                place[name] = GOOD[name]
            else:
                del place[name]
    return body
