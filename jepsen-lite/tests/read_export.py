"""Reads an exported history and holds it against the JSON lines that it was made from.

It shares nothing with the tool that wrote either: `read_export.py edn|porcupine EXPORT HISTORY`.
"""

import json
import sys


class Edn:
    """As much of EDN as a history may use: maps, vectors, strings, numbers, keywords, symbols."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def blank(self):
        while self.at < len(self.text) and self.text[self.at] in " ,\n\t\r":
            self.at += 1
        return self.at == len(self.text)

    def value(self):
        self.blank()
        start = self.text[self.at]
        if start == "{":
            items = self.items("}")
            assert len(items) % 2 == 0, "a map has a value for each key"
            return dict(zip(items[::2], items[1::2]))
        if start == "[":
            return self.items("]")
        if start == '"':
            return self.string()
        end = self.at
        while end < len(self.text) and self.text[end] not in " ,\n\t\r{}[]\"":
            end += 1
        word, self.at = self.text[self.at : end], end
        if word.startswith(":"):
            assert len(word) > 1 and "/" not in word, f"keyword {word}"
            return word
        if word in ("nil", "true", "false"):
            return {"nil": None, "true": True, "false": False}[word]
        return int(word) if word.lstrip("-").isdigit() else float(word)

    def items(self, close):
        self.at += 1
        items = []
        while True:
            self.blank()
            if self.text[self.at] == close:
                self.at += 1
                return items
            items.append(self.value())

    def string(self):
        out, self.at = [], self.at + 1
        while self.text[self.at] != '"':
            c = self.text[self.at]
            if c == "\\":
                self.at += 1
                c = self.text[self.at]
                if c == "u":
                    c = chr(int(self.text[self.at + 1 : self.at + 5], 16))
                    self.at += 4
                else:
                    c = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}[c]
            out.append(c)
            self.at += 1
        self.at += 1
        return "".join(out)


def edn(text, events):
    reader, maps = Edn(text), []
    while not reader.blank():
        maps.append(reader.value())
    assert len(maps) == len(events), f"{len(maps)} maps for {len(events)} events"
    asked = {}
    for index, (seen, event) in enumerate(zip(maps, events)):
        assert seen[":index"] == index and seen[":time"] == event["t"], seen
        process = ":nemesis" if event["process"] == -1 else event["process"]
        assert seen[":process"] == process and seen[":type"] == ":" + event["type"], seen
        assert seen[":f"] == ":" + event["f"] and seen.get(":error") == event.get("error"), seen
        for name in ("key", "session", "fence", "revision", "node"):
            assert seen[":value"].get(":" + name) == event.get(name), (name, seen, event)
        value = event.get("value")
        if event["type"] == "invoke":
            asked[process] = value
        elif value is None:
            value = asked.pop(process, None)
        assert seen[":value"].get(":value") == value, (seen, event)


def porcupine(text, events):
    operations = json.loads(text)
    begun, calls = {}, 0
    for event in events:
        if event["process"] == -1:
            continue
        if event["type"] == "invoke":
            calls += event["process"] in begun
            begun[event["process"]] = event
        elif begun.pop(event["process"], None):
            calls += event["type"] != "fail"
    assert len(operations) == calls + len(begun), f"{len(operations)} for {calls + len(begun)}"
    for operation in operations:
        assert set(operation) == {"ClientId", "Input", "Call", "Output", "Return"}, operation
        assert 0 <= operation["Call"] <= operation["Return"] < 2**63, operation
        if operation["Output"] is None:
            assert operation["Return"] == 2**63 - 1, operation


if __name__ == "__main__":
    form, exported, history = sys.argv[1:]
    with open(history, encoding="utf-8") as lines:
        written = [json.loads(line) for line in lines]
    with open(exported, encoding="utf-8") as file:
        {"edn": edn, "porcupine": porcupine}[form](file.read(), written)
