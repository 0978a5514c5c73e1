"""A steady load through redis-py: what each phase saw, told when the next one begins.

Arguments: a node's port. A line on standard input ends a phase; its figures are answered as JSON,
but not before each worker has gone through so many steps in it as the line says.
Each key holds a number that only rises, so a value that is lower than the last acknowledged one is
stale; one that is gone was forgotten, as caches may. A read is of a known key once a write of it was
acknowledged: whether it hits says what the cache has kept, however fast the machine is.
"""

import json
import sys
import threading
import time
from redis.cluster import RedisCluster, ClusterNode

WORKERS, KEYS, PATIENCE_S = 2, 300, 90

ports = [int(port) for port in sys.argv[1].split(",")]
nodes = [ClusterNode("127.0.0.1", port) for port in ports]
cluster = RedisCluster(startup_nodes=nodes, socket_timeout=1, socket_connect_timeout=1)
lock, figures = threading.Condition(), {}


def reset():
    figures.update(reads=0, known=0, hits=0, writes=0, failed=[], stale=[], slowest_ms=0)
    figures["steps"] = [0] * WORKERS


def count(begun, **by):
    with lock:
        took = (time.monotonic() - begun) * 1000
        figures["slowest_ms"] = max(figures["slowest_ms"], round(took, 1))
        for name, more in by.items():
            figures[name] += more


def work(worker):
    acknowledged, step = {}, 0
    while True:
        step += 1
        key = f"load:{worker}:{step * 7919 % KEYS}"
        begun = time.monotonic()
        try:
            value = cluster.get(key)
            low = acknowledged.get(key, 0)
            if value is not None and int(value) < low:
                count(begun, stale=[[key, int(value), low]])
            count(begun, reads=1, known=int(low > 0), hits=int(low > 0 and value is not None))
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
        with lock:
            figures["steps"][worker] += 1
            lock.notify_all()
        time.sleep(0.002)


reset()
for worker in range(WORKERS):
    threading.Thread(target=work, args=(worker,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    with lock:
        if not lock.wait_for(lambda: min(figures["steps"]) >= int(line), PATIENCE_S):
            sys.exit(f"the load stands still: {figures}")
        print(json.dumps(figures), flush=True)
        reset()
