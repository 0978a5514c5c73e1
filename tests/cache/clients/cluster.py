"""redis-py against the cluster, as its users use it. Arguments: a node's port."""

import sys
from redis.cluster import RedisCluster

port = int(sys.argv[1])
for protocol in (2, 3):
    cluster = RedisCluster(host="127.0.0.1", port=port, protocol=protocol)
    keys = [f"py:{protocol}:{n}" for n in range(200)]
    for n, key in enumerate(keys):
        assert cluster.set(key, n, ex=600)
    assert [int(cluster.get(key)) for key in keys] == list(range(200))
    assert cluster.mget_nonatomic(keys) == [str(n).encode() for n in range(200)]
    assert cluster.mset({"{t}a": 1, "{t}b": 2}) and cluster.mget("{t}a", "{t}b") == [b"1", b"2"]
    pipeline = cluster.pipeline()
    for n in range(50):
        pipeline.delete(f"count:{n}")
        pipeline.incr(f"count:{n}")
        pipeline.ttl(keys[n])
    replies = pipeline.execute()
    assert replies[1::3] == [1] * 50 and all(0 < ttl <= 600 for ttl in replies[2::3])
    assert len(set(cluster.scan_iter(match=f"py:{protocol}:*", count=20))) == 200
    assert cluster.keyslot("{t}a") == cluster.cluster_keyslot("{t}a")
    assert cluster.set("py:lock", "x", nx=True, px=60000) and not cluster.set("py:lock", "y", nx=True)
    assert cluster.delete(*keys) == 200 and cluster.exists(*keys) == 0
    assert cluster.delete("py:lock", "{t}a", "{t}b") == 3
print("ok")
