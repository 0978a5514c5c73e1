"""A steady load through redis-py: what each phase saw, told when the next one begins.

Arguments: a node's port. A line on standard input ends a phase; its figures are answered as JSON.
Each key holds a number that only rises, so a value that is lower than the last acknowledged one is
stale; one that is gone was forgotten, as caches may.
"""

import json
import sys
import threading
import time
from redis.cluster import RedisCluster, ClusterNode

ports = [int(port) for port in sys.argv[1].split(",")]
nodes = [ClusterNode("127.0.0.1", port) for port in ports]
cluster = RedisCluster(startup_nodes=nodes, socket_timeout=1, socket_connect_timeout=1)
lock, figures = threading.Lock(), {}


def reset():
    figures.update(reads=0, hits=0, writes=0, failed=[], stale=[], slowest_ms=0)


def count(begun, **by):
    with lock:
        took = (time.monotonic() - begun) * 1000
        figures["slowest_ms"] = max(figures["slowest_ms"], took)
        for name, more in by.items():
            figures[name] += more


def work(worker):
    acknowledged, step = {}, 0
    while True:
        step += 1
        key = f"load:{worker}:{step * 7919 % 300}"
        begun = time.monotonic()
        try:
            value = cluster.get(key)
            low = acknowledged.get(key, 0)
            if value is not None and int(value) < low:
                count(begun, stale=[[key, int(value), low]])
            count(begun, reads=1, hits=int(value is not None))
            # Half of the keys are only read once they are there.
            if value is None or step % 2:
                begun = time.monotonic()
                cluster.set(key, low + 1)
                acknowledged[key] = low + 1
                count(begun, writes=1)
        except Exception as error:
            # Whether a write that failed happened is not known: the next number is above it.
            acknowledged[key] = acknowledged.get(key, 0)
            count(begun, failed=[repr(error)[:200]])
        time.sleep(0.002)


reset()
for worker in range(2):
    threading.Thread(target=work, args=(worker,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    with lock:
        print(json.dumps(figures), flush=True)
        reset()
