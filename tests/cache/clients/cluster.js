// ioredis against the cluster and against a proxy. Arguments: a node's port, a proxy's port.
const assert = require("assert");
const path = require("path");
const { Cluster, Redis } = require(path.resolve("target/cache-clients/node_modules/ioredis"));

async function main(port, proxyPort) {
  const cluster = new Cluster([{ host: "127.0.0.1", port }]);
  for (let n = 0; n < 200; n++) await cluster.set(`js:${n}`, n, "EX", 600);
  for (let n = 0; n < 200; n++) assert.equal(await cluster.get(`js:${n}`), String(n));
  const replies = await cluster.pipeline().set("{j}a", 1).incr("{j}a").get("{j}a").exec();
  assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"]]);
  assert.equal(await cluster.exists("{j}a", "{j}b"), 1);
  assert.equal(cluster.nodes("master").length, 3);
  await cluster.quit();

  const plain = new Redis(proxyPort, "127.0.0.1");
  assert.deepEqual(await plain.mget("js:1", "js:2", "js:none"), ["1", "2", null]);
  assert.equal(await plain.del("js:1", "js:2", "js:3"), 3);
  await plain.quit();
  console.log("ok");
}

main(Number(process.argv[2]), Number(process.argv[3])).catch((error) => {
  console.error(error);
  process.exit(1);
});
