"""CEL: the rules that the API server itself holds our objects to, and the texts they are made of.

Only text is made here. A rule says what must hold; its message says what is wrong and what would
be right. Every rule holds by itself for a value that another rule refuses (CEL errors would bury
the message that helps), so address functions are asked only about what `isIP`/`isCIDR` accepted.

Needs Kubernetes 1.32: before, the API server counts comparing two CIDRs as infinitely dear and
refuses the CRD. For the same reason every text in a rule has a bound that it can work out.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

Family = Literal[4, 6]


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`.

    holds: CEL, true for a good value, which is `self`.
    message: static text; the API server falls back to it if `says` fails.
    says: CEL for a message that names the value at fault; empty for the static text alone.
    field: path of the field to blame below `self`, such as `.ipv4`; empty for `self`.
    """

    holds: str
    message: str
    says: str = ""
    field: str = ""

    def rendered(self) -> dict[str, str]:
        """The entry, without the keys that are not set."""
        entry = {
            "rule": self.holds,
            "message": self.message,
            "messageExpression": self.says,
            "fieldPath": self.field,
        }
        return {key: text for key, text in entry.items() if text}


def checked(*rules: Rule) -> dict[str, Any]:
    """`extra_json_schema` of a field that is held to `rules`."""
    return {"x-kubernetes-validations": [rule.rendered() for rule in rules]}


def say(template: str, *, at: str = "") -> str:
    """CEL for a message; what stands in braces is CEL and becomes a part of it.

    at: CEL for what replaces the one `@` in the template. For texts whose length the API server
    can't bound beforehand: it counts a concatenation of such a text as infinitely dear, and
    `replace` not.
    """
    pieces = enumerate(re.split(r"\{(.*?)\}", template))  # text and CEL by turns
    message = " + ".join(
        piece if index % 2 else json.dumps(piece)  # a JSON string is a CEL string
        for index, piece in pieces
        if piece
    )
    return f"({message}).replace('@', {at})" if at else message


def choose(*cases: tuple[str, str], otherwise: str) -> str:
    """CEL for the message of the first case (condition, template) that holds."""
    return "".join(f"{when} ? {say(what)} : " for when, what in cases) + say(otherwise)


def is_address(text: str, family: Family) -> str:
    """CEL: whether `text` is an address of the family."""
    return f"(isIP({text}) && ip({text}).family() == {family})"


def is_range(text: str) -> str:
    """CEL: whether `text` is `a-b`, two addresses of one family, in whatever order."""
    low, high = ends(text)
    return (
        f"({text}.contains('-') && isIP({low}) && isIP({high})"
        f" && ip({low}).family() == ip({high}).family())"
    )


def is_entry(text: str) -> str:
    """CEL: whether `text` is an address, a range or a CIDR, of whatever family."""
    return f"(isIP({text}) || isCIDR({text}) || {is_range(text)})"


def ends(text: str) -> tuple[str, str]:
    """CEL: the two ends of a text with a dash (not by `split`: the result has no bound)."""
    return f"{text}.substring(0, {text}.indexOf('-'))", f"{text}.substring({text}.indexOf('-') + 1)"


def first(entry: str) -> str:
    """CEL: the first address, an `ip`, of a text that `is_entry` accepts."""
    low, _ = ends(entry)
    return f"(isIP({entry}) ? ip({entry}) : isCIDR({entry}) ? cidr({entry}).ip() : ip({low}))"


def at_most(low: str, high: str, family: Family) -> str:
    """CEL: whether one address is not above the other; both are texts of the family.

    CEL can't compare addresses, but can ask whether a network holds one. The first n for which
    `low/n` does not hold `high` is where the two part, and there `low` must be in the lower half:
    `low/n` and `low/(n-1)` begin with the same address. Sought in blocks of 16 bits, then in bits.
    """
    blocks = ", ".join(str(block) for block in range(0, 32 if family == 4 else 128, 16))
    bits = ", ".join(str(bit) for bit in range(1, 17))

    def parted(length: str) -> str:
        return f"!{_prefix(low, length)}.containsIP({high})"

    def start(length: str) -> str:
        return f"{_prefix(low, length)}.masked().ip()"

    parting = f"[{blocks}].filter(p, {parted('(p + 16)')})"
    return (
        f"({parting}.size() == 0 || [{parting}[0]].all(p,"
        f" [[{bits}].filter(n, {parted('(p + n)')})[0]].all(n,"
        f" {start('(p + n)')} == {start('(p + n - 1)')})))"
    )


def covers(entry: str, address: str, family: Family) -> str:
    """CEL: whether a pool entry, well-formed or not, holds `address`, which is of the family."""
    low, high = ends(entry)
    return (
        f"(isIP({entry}) ? ip({entry}) == ip({address})"
        f" : isCIDR({entry}) ? cidr({entry}).containsIP({address})"
        f" : {is_range(entry)} && ip({low}).family() == {family}"
        f" && {at_most(low, address, family)} && {at_most(address, high, family)})"
    )


def no_duplicates(entry: str) -> Rule:
    """No string of a list is there twice; `entry` says what an entry is."""
    return Rule(
        "self.all(x, self.exists_one(y, y == x))",
        f"an entry is here twice: list each {entry} once",
        say(
            f"@ is here twice: list each {entry} once",
            at="self.filter(x, !self.exists_one(y, y == x))[0]",
        ),
    )


def _prefix(address: str, length: str) -> str:
    """CEL: the network `address/length`. Not by `string(length)`, whose result has no bound."""
    tens = (
        f"'  1 2 3 4 5 6 7 8 9 101112'.substring({length} / 10 * 2, {length} / 10 * 2 + 2).trim()"
    )
    units = f"'0123456789'.substring({length} % 10, {length} % 10 + 1)"
    return f"cidr({address} + ('/' + {tens} + {units}))"
