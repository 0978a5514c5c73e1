"""redis-py against the proxy port, which it takes for one server. Arguments: its port."""

import sys
import redis

for protocol in (2, 3):
    server = redis.Redis(port=int(sys.argv[1]), protocol=protocol)
    assert server.ping() and server.flushall()
    values = {f"plain:{n}": str(n).encode() for n in range(100)}
    assert server.mset(values)
    assert server.mget(list(values)) == list(values.values())
    assert server.dbsize() == 100 and server.info()["redis_mode"] == "standalone"
    assert len(set(server.scan_iter(match="plain:*", count=7))) == 100
    with server.pipeline(transaction=False) as pipeline:
        replies = pipeline.incr("n").incrby("n", 41).get("n").expire("n", 100).ttl("n").execute()
    assert replies == [1, 42, b"42", True, 100], replies
    assert server.delete(*values) == 100
    try:
        server.pipeline(transaction=True).set("a", 1).execute()
        raise SystemExit("a transaction must be refused")
    except redis.ResponseError as error:
        assert "transactions" in str(error), error
print("ok")
