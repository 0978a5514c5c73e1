"""A job as people write them: takes a lock of lockring and writes to Redis while it has it.

host_job.py PORT check|blind

With `check` Redis is asked to compare fences in the same step as it writes, as lockring's own guard
for Redis does; with `blind` the job just writes. It is run by `jepsen-lite host`, and says what it
does in lines of JSON.
"""

import http.client
import json
import os
import socket
import sys
import time

GUARDED = """
if tonumber(redis.call('GET', KEYS[1] .. ':fence') or '0') > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1] .. ':fence', ARGV[1])
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class Redis:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        words = [str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.socket.sendall(b"".join(parts))
        return self.file.readline().decode().strip()


def say(**line):
    print(json.dumps(line), flush=True)


def call(endpoint, method, path, body):
    host = endpoint.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=3)
    try:
        headers = {"content-type": "application/json"}
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return json.loads(text) if answer.status == 200 else None
    finally:
        connection.close()


def write(redis, guarded, fence, value):
    """Whether Redis took it."""
    if guarded:
        return redis.ask("EVAL", GUARDED, 1, "ledger", fence, value) == ":1"
    return redis.ask("SET", "ledger", value) == "+OK"


def main():
    redis, guarded = Redis(int(sys.argv[1])), sys.argv[2] == "check"
    endpoints = os.environ["LOCKRING_ENDPOINTS"].split(",")
    copy, nth = os.environ["LOCKRING_COPY"], 0
    while True:
        endpoint = endpoints[nth % len(endpoints)]
        nth += 1
        try:
            ask = {"ttl_ms": 1000, "wait_ms": 1000, "owner": f"job {copy}"}
            granted = call(endpoint, "POST", "/v1/locks/ledger/acquire", ask)
        except OSError:
            granted = None
        if granted is None:
            time.sleep(0.05)
            continue
        fence = granted["fence"]
        say(enter={"lock": "ledger", "fence": fence})
        # Half of the time that the lease lasts: a job that is not stopped is done in time.
        for row in range(25):
            value = f"{copy}-{nth}-{row}"
            if write(redis, guarded, fence, value):
                say(effect={"resource": "ledger", "fence": fence, "id": value})
            time.sleep(0.02)
        say(exit={"lock": "ledger", "fence": fence})
        try:
            ended = {"session": granted["session"], "fence": fence}
            call(endpoint, "POST", "/v1/locks/ledger/release", ended)
        except OSError:
            pass


main()
