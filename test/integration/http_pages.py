"""What a member says over HTTP/1.1: one request; its metrics, after a look at the format."""

import http.client
import re

from kvtest import check

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)$')


def ask(port, path, method="GET"):
    """Status, content type and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.getheader("Content-Type"), reply.read().decode()
    finally:
        connection.close()


def scrape(port):
    """The metrics as {name{labels}: value}, after a look at the format of every line."""
    status, kind, body = ask(port, "/metrics")
    check(status == 200 and kind.startswith("text/plain; version=0.0.4"), "%d %s", status, kind)
    samples, types, buckets = {}, {}, {}
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            check(name not in types, "two families: %s", name)
            types[name] = kind
        if line.startswith("#"):
            continue
        found = SAMPLE.match(line)
        check(found, "not a sample: %s", line)
        name, labels, value = found.groups()
        key = name + ("{%s}" % labels if labels else "")
        check(key not in samples, "twice: %s", key)
        samples[key] = float(value)
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        check(name in types or types.get(base) in ("histogram", "summary"), "no type before: %s", line)
        if name.endswith("_bucket"):
            rest = re.sub(r',?le="[^"]*"', "", labels)
            check(float(value) >= buckets.get((base, rest), 0), "a bucket is smaller than the one before: %s", line)
            buckets[base, rest] = float(value)
    for (base, rest), count in buckets.items():
        check(samples[base + "_count" + ("{%s}" % rest if rest else "")] == count, "the count of %s{%s}", base, rest)
    return samples


def value(samples, name, /, **labels):
    """The one sample with these labels among others, in whatever order."""
    found = [v for key, v in samples.items() if key.split("{")[0] == name and all('%s="%s"' % pair in key for pair in labels.items())]
    check(len(found) == 1, "%s %s: %s", name, labels, found)
    return found[0]
