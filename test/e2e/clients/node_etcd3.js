// npm's etcd3 against a cluster whose members are killed one after the other; see ../test_clients.sh.
//
//     node node_etcd3.js PREFIX DIRECTORY HOST:PORT...
//
// The library knows all endpoints: watches and leases go on by themselves. It says `ready` as a file of the directory, works until the file
// `go` is there, and then judges.
'use strict';
const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { Etcd3 } = require('etcd3');

const [prefix, directory, ...hosts] = process.argv.slice(2);
const GIVE_UP_MS = 30000;
const TTL_S = 2;
// A host that failed three times is left alone for five seconds by the library; all of them may be at once. What is to be kept must live longer.
const KEPT_TTL_S = 8;
const client = new Etcd3({ hosts, dialTimeout: 2000 });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// What `call` answers; it may be asked again.
async function surely(call) {
    const giveUp = Date.now() + GIVE_UP_MS;
    for (;;) {
        try {
            return await call();
        } catch (error) {
            if (Date.now() > giveUp) throw error;
            console.error('again after', error.constructor.name);
            await sleep(100);
        }
    }
}

async function waitUntil(condition, what) {
    const giveUp = Date.now() + GIVE_UP_MS;
    while (!(await condition())) {
        assert(Date.now() < giveUp, what);
        await sleep(50);
    }
}

async function requests() {
    const key = prefix + 'kv/a';
    assert.strictEqual(await client.get(key).string(), null);
    await client.put(key).value('one');
    await client.put(key).value('two');
    await client.put(prefix + 'kv/b').value('other');
    assert.strictEqual(await client.get(key).string(), 'two');
    assert.deepStrictEqual(await client.getAll().prefix(prefix + 'kv/').strings(), { [key]: 'two', [prefix + 'kv/b']: 'other' });
    const good = await client.if(key, 'Value', '==', 'two').and(key, 'Version', '==', 2)
        .then(client.put(key).value('three'), client.get(prefix + 'kv/b')).else(client.delete().key(key)).commit();
    assert(good.succeeded);
    assert.strictEqual(good.responses[1].response_range.kvs[0].value.toString(), 'other');
    const bad = await client.if(key, 'Value', '==', 'two').then(client.delete().key(key)).else(client.put(key).value('four')).commit();
    assert(!bad.succeeded);
    assert.strictEqual(await client.get(key).string(), 'four');
    assert.strictEqual((await client.delete().key(key)).deleted, '1');
    assert.strictEqual((await client.delete().key(key)).deleted, '0');
    await assert.rejects(client.put('').value('x'), /key is not provided/);
}

// Does nothing the second time; so it may be asked again.
const putOnce = (key) => client.if(key, 'Create', '==', 0).then(client.put(key).value('x')).commit();

async function main() {
    await requests();
    const kept = client.lease(KEPT_TTL_S);
    let isLost = false;
    kept.on('lost', () => { isLost = true; });
    await kept.put(prefix + 'kept').value('x');
    const left = client.lease(TTL_S, { autoKeepAlive: false });
    await left.put(prefix + 'left').value('x');
    const lock = client.lock(prefix + 'lock').ttl(KEPT_TTL_S);
    await lock.acquire();

    const seen = [];
    let disconnects = 0;
    const watcher = await client.watch().prefix(prefix + 'watched/').create();
    watcher.on('put', (kv) => seen.push(kv.key.toString()));
    watcher.on('disconnected', () => { disconnects++; });
    fs.writeFileSync(path.join(directory, prefix.replace('/', '') + '.ready'), '');

    const expected = [];
    while (!fs.existsSync(path.join(directory, 'go'))) {
        const key = `${prefix}watched/${expected.length}`;
        expected.push(key);
        await surely(() => putOnce(key));
        await sleep(20);
    }
    await waitUntil(() => seen.length >= expected.length, 'the watch misses events');
    await sleep(200);
    assert.deepStrictEqual(seen, expected);
    assert(disconnects > 0, 'no stream was broken');

    assert(!isLost, 'the lease was lost');
    assert.strictEqual(await surely(() => client.get(prefix + 'kept').string()), 'x');
    await waitUntil(async () => (await surely(() => client.get(prefix + 'left').string())) === null, 'what is not kept alive expires');
    const other = client.lock(prefix + 'lock').ttl(TTL_S);
    await assert.rejects(other.acquire(), /lock/i);
    await surely(() => lock.release());
    await surely(() => other.acquire());
    await other.release();
    kept.release(); // it is renewed no more
    await waitUntil(async () => (await surely(() => client.get(prefix + 'kept').string())) === null, 'a lease that nobody renews expires');
    console.log(`${expected.length} events over ${disconnects + 1} streams`);
    await watcher.cancel();
    client.close();
}

main().then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
});
