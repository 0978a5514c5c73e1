#!/usr/bin/env python3
"""The points of a ring by the specification `lr1`, written a second time with hashlib.

    python3 tests/vectors/lr1.py            checks lr1.json
    python3 tests/vectors/lr1.py generate   writes it anew

It shares nothing with the Rust code but the specification, at the head of core/src/ring/point.rs
and core/src/ring/prefer.rs. Every point of every member is kept and searched; nothing is clever.
"""

import bisect
import hashlib
import json
import pathlib
import random
import sys

FILE = pathlib.Path(__file__).with_suffix(".json")
KEYS = 1000


def points(ring, member, weight):
    """160 points for each unit of weight, a function of that member alone."""
    for k in range(80 * weight):
        text = b"lr1\0" + ring.encode() + b"\0" + member.encode() + b"\0"
        digest = hashlib.sha1(text + k.to_bytes(4, "big")).digest()
        yield int.from_bytes(digest[0:8], "big")
        yield int.from_bytes(digest[8:16], "big")


def walk(circle, position):
    """Every point from a position on, once around."""
    start = bisect.bisect_left(circle, (position, ""))
    yield from circle[start:]
    yield from circle[:start]


def preferences(circle, zones, slot, wanted):
    """The owner, then members in zones that are new to the list, then the others."""
    order = []
    for _, member in walk(circle, slot << 50):
        if member not in order:
            order.append(member)
        if len(order) == len(zones):
            break
    chosen = order[:1]
    for member in order[1:]:
        if zones[member] not in [zones[other] for other in chosen]:
            chosen.append(member)
    chosen += [member for member in order if member not in chosen]
    return chosen[:wanted]


def lists(case):
    """The lists of a case's keys, as places in its members: `0.2.1 1.0.2 …`."""
    zones = {name: zone for name, _, zone in case["members"]}
    place = {name: at for at, (name, _, _) in enumerate(case["members"])}
    circle = sorted(
        (point, name)
        for name, weight, _ in case["members"]
        for point in points(case["ring"], name, weight)
    )
    of_slot = {}
    rows = []
    for n in range(KEYS):
        digest = hashlib.sha1(f"key-{n}".encode()).digest()
        slot = int.from_bytes(digest[0:8], "big") >> 50
        if slot not in of_slot:
            chosen = preferences(circle, zones, slot, case["replicas"])
            of_slot[slot] = ".".join(str(place[name]) for name in chosen)
        rows.append(of_slot[slot])
    return " ".join(rows)


def cases():
    """Twenty rings of 1 to 24 members, of equal and of other weights, with zones and without."""
    chance = random.Random(1)
    for n in range(20):
        count = [1, 2, 3, 5, 10, 24][n % 6]
        members = [
            [
                f"node-{at}" if n % 2 else f"cache/é {at}",
                chance.choice([1, 1, 2, 3, 8]) if n % 3 else 1,
                f"zone-{chance.randrange(3)}" if n % 4 >= 2 else "",
            ]
            for at in range(count)
        ]
        yield {"ring": f"ring {n}", "replicas": 1 + n % 4, "members": members}


def main():
    if sys.argv[1:] == ["generate"]:
        made = [case | {"lists": lists(case)} for case in cases()]
        rows = ",\n".join(json.dumps(case, ensure_ascii=False) for case in made)
        FILE.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
        return
    known = json.loads(FILE.read_text(encoding="utf-8"))
    assert len(known) == 20, len(known)
    for case in known:
        assert lists(case) == case["lists"], f"{case['ring']} is not as the file has it"
    print(f"{len(known)} rings of {KEYS} keys are as the file has them")


main()
