/* seeds: see seeds.h. */
#include "fuzz/seeds.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "fuzz/pb_program.h"
#include "lib/kv_text.h"
#include "lib/snapshot_rig.h"
#include "raft/raft.h"
#include "rpc/peer_hello.h"
#include "rpc/raft_codec.h"
#include "storage/cluster.h"
#include "storage/command.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- raft_frame, peer_hello --------------------------------------------------------------------------------------------------- */

static const char *raft_frame(size_t place, struct buf *out)
{
    struct blob *data = blob_copy(slice_from_string("the bytes of an entry"));
    struct raft_entry entries[] = {{.index = 8, .term = 2, .kind = RAFT_ENTRY_COMMAND, .data = data},
                                   {.index = 9, .term = 3, .kind = RAFT_ENTRY_EMPTY},
                                   {.index = 10, .term = 3, .kind = RAFT_ENTRY_CONF, .data = data}};
    struct raft_entry forwarded = {.kind = RAFT_ENTRY_COMMAND, .data = data};
    const struct raft_msg messages[] = {
        {.kind = RAFT_MSG_APPEND, .from = 1, .to = 2, .term = 3, .index = 7, .log_term = 2, .commit = 6, .entries = entries, .entry_count = 3},
        {.kind = RAFT_MSG_FORWARD, .from = 1, .to = 2, .term = 3, .round = 9, .entries = &forwarded, .entry_count = 1},
        {.kind = RAFT_MSG_VOTE, .from = 1, .to = 2, .term = 4, .index = 10, .log_term = 3, .transfer = true},
        {.kind = RAFT_MSG_APPEND_ANSWER, .from = 2, .to = 1, .term = 3, .index = 7, .reject = true, .hint_index = 5, .hint_term = 1},
        {.kind = RAFT_MSG_READ_INDEX, .from = 2, .to = 1, .term = 3, .round = UINT64_MAX},
        {.kind = RAFT_MSG_SNAPSHOT, .from = 1, .to = 2, .term = 3, .index = 9, .log_term = 3},
        {.kind = RAFT_MSG_CHUNK_GET, .from = 2, .to = 1, .term = 3, .index = 9, .log_term = 3, .hint_index = 262144},
        {.kind = RAFT_MSG_CHUNK, .from = 1, .to = 2, .term = 3, .index = 9, .log_term = 3, .hint_index = 262144, .commit = 300000,
         .entries = &forwarded, .entry_count = 1},
    };
    static const char *const names[] = {"append", "forward", "vote", "append-answer", "read-index", "snapshot", "chunk-get", "chunk", "all"};
    bool is_made = place < COUNT(names);
    for (size_t i = 0; is_made && i < COUNT(messages); i++)
        if (i == place || place == COUNT(messages)) raft_codec_put(out, &messages[i]);
    blob_unref(data);
    return is_made ? names[place] : NULL;
}

static const char *peer_hello(size_t place, struct buf *out)
{
    struct peer_hello hello = {.protocol_min = 1, .protocol_max = 2, .features = 5, .cluster_id = 5, .member_id = 7, .target_id = 1,
                               .directory_uuid = {1, 2, 3}, .boot_id = 77, .level = 1};
    if (place > 0) return NULL;
    peer_hello_encode(&hello, out);
    return "hello";
}

/* --- kv_request --------------------------------------------------------------------------------------------------------------- */

struct request {
    uint8_t number; /* of the method, as the target reads it */
    struct buf (*make)(const char *text);
    const char *text;
};

static struct buf lease(const char *text)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)(text[0] - '0'));
    if (text[1] != '\0') buf_put_pb_varint(&request, 2, (uint64_t)(text[1] - '0'));
    return request;
}

static struct buf compaction(const char *text)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)(text[0] - '0'));
    buf_put_pb_varint(&request, 2, text[1] == 'p');
    return request;
}

static struct buf name(const char *text)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_from_string(text));
    return request;
}

/* "nLvalue": name, lease, of a candidate the value. */
static struct buf place(const char *text)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_make(text, 1));
    buf_put_pb_varint(&request, 2, (uint64_t)(text[1] - '0'));
    if (text[2] != '\0') buf_put_pb_bytes(&request, 3, slice_from_string(text + 2));
    return request;
}

/* "Lkey": the place of that create revision, and its value. */
static struct buf leader(const char *text)
{
    struct buf request, key;
    buf_init(&request);
    buf_init(&key);
    buf_put_pb_bytes(&key, 2, slice_from_string(text + 1));
    buf_put_pb_varint(&key, 3, (uint64_t)(text[0] - '0'));
    buf_put_pb_varint(&key, 4, 7);
    buf_put_pb_bytes(&request, 1, buf_slice(&key));
    buf_put_pb_bytes(&request, 2, slice_from_string("w"));
    buf_deinit(&key);
    return request;
}

/* Numbers that are no multiple of four name the methods of KV in the order of the table, those that are all that are built. */
enum { RANGE = 1, STREAM = 5, PUT = 9, DELETE = 13, TXN = 17, COMPACT = 21, GRANT = 24, REVOKE = 28 };
enum { LOCK = 76, UNLOCK = 80, CAMPAIGN = 84, PROCLAIM = 88, LEADER = 92, OBSERVE = 96, RESIGN = 100 };

static const struct {
    const char *name;
    struct request requests[6];
} stories[] = {
    {"leases", {{GRANT, lease, "57"}, {GRANT, lease, "1"}, {PUT, kv_text_put, "a=1,lease=7"}, {REVOKE, lease, "7"}, {REVOKE, lease, "7"}}},
    {"ttl", {{PUT, kv_text_put, "a=9,ttl=60,prev"}, {PUT, kv_text_put, "b=,keepvalue,ttl=1"}, {PUT, kv_text_put, "a=1,ttl=5,lease=7"},
             {TXN, kv_text_txn, "if lease(a)>0 then put(a=1,ttl=5) txn{if ver(z)=0 then put(z=1,ttl=2) else put(y=2)} else put(x=3,ttl=9)"}}},
    {"locks", {{GRANT, lease, "97"}, {LOCK, place, "m7"}, {GRANT, lease, "98"}, {LOCK, place, "m8"}, {CAMPAIGN, place, "m7v"}, {LOCK, place, "n0"}}},
    {"elections", {{GRANT, lease, "97"}, {CAMPAIGN, place, "m7v"}, {OBSERVE, name, "m"}, {PROCLAIM, leader, "8m/7"}, {LEADER, name, "m"}, {RESIGN, leader, "8m/7"}}},
    {"unlocks", {{UNLOCK, name, "a"}, {LEADER, name, ""}, {PROCLAIM, leader, "0m/7"}}},
    {"puts", {{PUT, kv_text_put, "a=9,prev"}, {PUT, kv_text_put, "b=,keepvalue,lease=3"}, {PUT, kv_text_put, "n=,keeplease"}}},
    {"ranges", {{RANGE, kv_text_range, "a..c,limit=2"}, {RANGE, kv_text_range, "*..*,order=2,target=1,local"},
                {RANGE, kv_text_range, "a,rev=3"}, {RANGE, kv_text_range, "a..*,count"}, {RANGE, kv_text_range, "*..*,minmod=3,keys"},
                {RANGE, kv_text_range, "a..*,order=1,target=4,maxcreate=5"}}},
    {"stream", {{STREAM, kv_text_range, "*..*"}, {STREAM, kv_text_range, "a..c,limit=1,rev=4"}}},
    {"deletes", {{DELETE, kv_text_delete, "a..b,prev"}, {RANGE, kv_text_range, "*..*"}, {DELETE, kv_text_delete, "*..*"}}},
    {"compactions", {{COMPACT, compaction, "4"}, {RANGE, kv_text_range, "a,rev=3"}, {COMPACT, compaction, "7p"},
                     {PUT, kv_text_put, "a=1"}, {COMPACT, compaction, "3"}}},
    {"txn", {{TXN, kv_text_txn, "if mod(a)=5 val(a..c)>1 then put(a=1) del(b) get(c,rev=2) else txn{then get(a)} none"},
             {TXN, kv_text_txn, "then get(a) get(b..c)"},
             {TXN, kv_text_txn, "if lease(b)=7 then txn{if ver(z)=0 then put(z=1) else put(y=2)} put(x=3)"}}},
};

/* Requests as programs. */
#define SMALL(field, value) PB_PROGRAM_OP(PB_PROGRAM_SMALL, field), (value)
#define WORD(field, number) PB_PROGRAM_OP(PB_PROGRAM_WORD, field), (number)
#define OPEN(field) PB_PROGRAM_OP(PB_PROGRAM_OPEN, field)
#define CLOSE PB_PROGRAM_OP(PB_PROGRAM_CLOSE, 1)
#define AGAIN PB_PROGRAM_OP(PB_PROGRAM_AGAIN, 1)
enum { A, B, C, AB, EMPTY, Z, B_FF, NUL };

static const uint8_t program_put[] = {WORD(1, A), WORD(2, Z), SMALL(3, 7), SMALL(4, 1), SMALL(5, 0), AGAIN};
static const uint8_t program_ttl[] = {OPEN(2), OPEN(2), WORD(1, A), SMALL(31, 60), CLOSE, CLOSE, OPEN(2), OPEN(2), WORD(1, B), SMALL(31, 1), CLOSE};
static const uint8_t program_range[] = {WORD(1, A), WORD(2, NUL), SMALL(3, 2), SMALL(4, 5), SMALL(5, 2), SMALL(6, 3), SMALL(9, 0)};
static const uint8_t program_delete[] = {WORD(1, AB), WORD(2, NUL), SMALL(3, 1)};
static const uint8_t program_txn[] = {
    OPEN(1), SMALL(1, 1), SMALL(2, 3), WORD(3, A), WORD(7, EMPTY), WORD(32, C), CLOSE,        /* value of a..c > "" */
    OPEN(2), OPEN(2), WORD(1, A), WORD(2, B), CLOSE, OPEN(3), WORD(1, B), SMALL(3, 1), CLOSE, CLOSE, /* a put, and instead a delete */
    OPEN(2), OPEN(1), WORD(1, A), WORD(2, NUL), CLOSE, CLOSE,                                 /* a range */
    OPEN(3), OPEN(4), OPEN(2), OPEN(2), WORD(1, Z), CLOSE, CLOSE, CLOSE, CLOSE, AGAIN};       /* a nested put, twice */
static const uint8_t program_union[] = { /* an operation with two members: the last one counts */
    OPEN(2), OPEN(1), WORD(1, A), SMALL(3, 1), CLOSE, OPEN(2), WORD(1, B), CLOSE, CLOSE,
    OPEN(2), OPEN(4), OPEN(2), CLOSE, CLOSE, OPEN(3), WORD(1, C), CLOSE, CLOSE};
static const struct {
    const char *name;
    uint8_t number;
    struct slice bytes;
} programs[] = {
    {"program-put", 128 + PUT, {program_put, sizeof program_put}},
    {"program-range", 128 + RANGE, {program_range, sizeof program_range}},
    {"program-delete", 128 + DELETE, {program_delete, sizeof program_delete}},
    {"program-txn", 128 + TXN, {program_txn, sizeof program_txn}},
    {"program-union", 128 + TXN, {program_union, sizeof program_union}},
    {"program-ttl", 128 + TXN, {program_ttl, sizeof program_ttl}},
};

static const char *kv_program(size_t place, struct buf *out)
{
    if (place >= COUNT(programs)) return NULL;
    buf_put_u8(out, programs[place].number);
    buf_put_u16(out, (uint16_t)programs[place].bytes.size);
    buf_put_slice(out, programs[place].bytes);
    return programs[place].name;
}

static const char *kv_request(size_t place, struct buf *out)
{
    if (place >= COUNT(stories)) return kv_program(place - COUNT(stories), out);
    const struct request *requests = stories[place].requests;
    for (size_t i = 0; i < COUNT(stories[place].requests) && requests[i].make != NULL; i++) {
        struct buf request = requests[i].make(requests[i].text);
        ASSERT(request.size <= UINT16_MAX);
        buf_put_u8(out, requests[i].number);
        buf_put_u16(out, (uint16_t)request.size);
        buf_put_slice(out, buf_slice(&request));
        buf_deinit(&request);
    }
    return stories[place].name;
}

/* --- entry -------------------------------------------------------------------------------------------------------------------- */

static const char *entry(size_t place, struct buf *out)
{
    static const char *const names[] = {"command", "conf", "members", "strings"};
    char message[256];
    if (place >= COUNT(names)) return NULL;
    buf_put_u8(out, (uint8_t)place);
    struct cluster *cluster = cluster_from_initial("a=http://a:1,b=http://b:2,b=http://c:3", "t", message, sizeof message);
    struct blob *members = cluster_encode_members(cluster);
    struct raft_conf conf = {.voters = {1, 2, 3}, .voter_count = 3, .outgoing = {1, 2}, .outgoing_count = 2, .members = members};
    struct command command = {.level = COMMAND_LEVEL, .kind = COMMAND_PUT, .id = {1, 2, 3}, .user = slice_from_string("u"),
                              .auth_revision = 4, .body = slice_from_string("body")};
    struct blob *bytes = place == 0 ? command_encode(&command) : place == 1 ? raft_conf_encode(&conf) : blob_ref(members);
    if (place == 3) buf_put_pb_bytes(out, 1, slice_from_string("gr\xc3\xbc\xc3\x9f"));
    else buf_put_slice(out, blob_slice(bytes));
    blob_unref(bytes);
    blob_unref(members);
    cluster_unref(cluster);
    return names[place];
}

/* --- texts and edits ------------------------------------------------------------------------------------------------------------ */

struct text {
    const char *name;
    struct slice bytes;
};
#define TEXT(name, text) {(name), {(const uint8_t *)(text), sizeof(text) - 1}}

static const struct text start_flags[] = {
    TEXT("member", "--name=a\n--data-dir\nd\n--listen-client-urls=http://127.0.0.1:1\n--advertise-client-urls=http://a:1\n"
                   "--listen-peer-urls=unix://s\n--initial-advertise-peer-urls=http://a:2\n--initial-cluster=a=http://a:2,b=http://b:2"),
    TEXT("urls", "http://a:1,http://[::1]:2, https://b:65535 ,unix:///run/s,unixs://t"),
    TEXT("numbers", "--heartbeat-interval=100\n--election-timeout\n1000\n-max-txn-ops=9\n--quota-backend-bytes=-1\n"
                    "--grpc-keepalive-min-time=1h30m\n--pre-vote=false\n--auto-compaction-retention=5m"),
    TEXT("ignored", "--enable-v2=false\n--snapshot\n--max-wals\n7\n--force-new-cluster=false\n--config-file=\n--version"),
};
static const struct text config[] = {
    TEXT("env", "e# a cluster\nSERVER_NODE_COUNT=5\nSERVER_HOST=::1\nSERVER_CLIENT_PORT_BASE=4001 # more\nSERVER_PRE_VOTE=false\n"
                "SERVER_DATA_BASE_PATH=\"a \\\"b\\\"\"\nSERVER_WAL_SUBDIR='log'\r\nSERVER_LEASE_CHECKPOINT_INTERVAL=1h30m\nCLIENT_SERVERS=\"\"\n"),
    TEXT("env-mistakes", "eSERVER_COUNT=3\nSERVER_NODE_COUNT=2\nSERVER_HOST=\"x\nSERVER_LOG_LEVEL=inof\nSERVER_LOG_LEVEL=info x\n"
                         "SERVER_NAME=a\n=\nSERVER_WAL_SUBDIR=$x\nSERVER_HEARTBEAT_INTERVAL=900"),
    TEXT("yaml", "y# etcd's\nname: 'a'\ndata-dir:\nwal-dir: ~\nheartbeat-interval: 100\ngrpc-keepalive-min-time: 5000000000\n"
                 "listen-peer-urls: http://127.0.0.1:1\nlisten-client-urls: [\"http://127.0.0.1:2\", \"unix://s\"]\n"
                 "advertise-client-urls: http://a:2\npre-vote: on\nclient-transport-security:\n  cert-file:\n  auto-tls: false\n"
                 "log-outputs: [stderr]\ncipher-suites: [\n  A,\n  B\n]\nauto-compaction-retention: \"1\"\n"),
    TEXT("json", "y{\"name\": \"a\", \"election-timeout\": 1000, \"peer-transport-security\": {\"auto-tls\": false}}"),
    TEXT("yaml-mistakes", "yname: a\nname: b\nnmae: c\nx: &a [1, {b: 2}]\nwal-dir: *a\nmax-txn-ops: {a: 1}\nclient-transport-security: 1\n"
                          "peer-transport-security:\n  a: [b]\nlisten-peer-urls: \"a\\nb\"\n---\nname: d\n"),
    TEXT("yaml-broken", "ya: [1, {b: 2]\n"),
};
/* A ClientHello with ALPN: of gRPC, of others, in two records, cut off. */
#define HELLO_HEAD "\x03\x03" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "\x00\x00\x02\x13\x01\x01\x00"
static const struct text door_hello[] = {
    TEXT("grpc", "\x16\x03\x01\x00\x38\x01\x00\x00\x34" HELLO_HEAD "\x00\x09\x00\x10\x00\x05\x00\x03\x02h2"),
    TEXT("both", "\x16\x03\x01\x00\x41\x01\x00\x00\x3d" HELLO_HEAD "\x00\x12\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1"),
    TEXT("none", "\x16\x03\x01\x00\x2d\x01\x00\x00\x29" HELLO_HEAD),
    TEXT("pieces", "\x16\x03\x01\x00\x02\x01\x00\x16\x03\x01\x00\x36\x00\x34" HELLO_HEAD "\x00\x09\x00\x10\x00\x05\x00\x03\x02h2\x14\x03\x03"),
    TEXT("cut", "\x16\x03\x01\x00\x38\x01\x00\x00\x34" HELLO_HEAD "\x00\x09\x00\x10"),
};
static const struct text kvctl[] = {
    TEXT("compare", "mod(\"k\\x41\\u00e9\") != \"17\""),
    TEXT("value", "value(\"a\")=\"\\101\\n\""),
    TEXT("words", "put \"a b\\\"\" 'c d' --lease=12"),
};
/* {kind, block, other block, argument}: fuzz_wal and fuzz_wal_reuse read them. */
static const struct text wal[] = {
    TEXT("untouched", ""),
    TEXT("flip-first", "\x00\x00\x00\x00\x00\x07"),
    TEXT("zero-middle", "\x01\x14\x00\x00\x00\x00"),
    TEXT("noise-last", "\x02\xff\x00\x00\x00\x01"),
    TEXT("flip-newest", "\x00\x05\x80\x00\x00\x03"),
    TEXT("zero-newest", "\x01\x02\x80\x00\x00\x00"),
    TEXT("tail-newest", "\x06\x08\x80\x00\x00\x00"),
    TEXT("copy", "\x03\x20\x00\x08\x00\x00"),
    TEXT("cut", "\x04\x30\x00\x00\x00\x40"),
    TEXT("remove", "\x05\x00\x00\x00\x00\x00"),
    TEXT("tail", "\x06\x40\x00\x00\x00\x00"),
    TEXT("poke", "\x07\x10\x00\x20\x00\x04kvd!"),
    TEXT("forge-head", "\x08\x00\x00\x00\x00\x08kvd-wal\n"),
    TEXT("forge-records", "\x08\x06\x00\x00\x00\x08\xff\xff\xff\x7f\xff\xff\xff\xff"),
    TEXT("snapshot", "\x8a"),
    TEXT("snapshot-zero-middle", "\x01\x14\x00\x00\x00\x00\x8f"),
    TEXT("snapshot-remove", "\x05\x00\x00\x00\x00\x00\x90"),
    TEXT("snapshot-beyond", "\x00\x05\x80\x00\x00\x03\x99"),
};

/* --- the offline tools ---------------------------------------------------------------------------------------------------------- */

/* Flags before the edits of a log. */
static const char *readwal(size_t place, struct buf *out)
{
    static const uint8_t flags[] = {1, 0, 3, 5, 13, 17};
    if (place >= COUNT(wal)) return NULL;
    buf_put_u8(out, flags[place % COUNT(flags)]);
    buf_put_slice(out, wal[place].bytes);
    return wal[place].name;
}

/* {flags, size of an identity file, the file, edits}. */
static const char *readstate(size_t place, struct buf *out)
{
    if (place >= COUNT(wal)) return NULL;
    struct buf identity;
    buf_init(&identity);
    buf_put(&identity, "kvd-id\n", 8);
    buf_put_u16(&identity, 1);
    buf_put_u16(&identity, 0);
    buf_put_u32(&identity, 1);
    for (size_t i = 0; i < 8; i++) buf_put_u64(&identity, i == 1 ? 0xc1 : i == 2 ? 0x11 : 0);
    buf_put_u32(&identity, 0);
    buf_put_u32(&identity, crc32c(0, buf_slice(&identity).data, identity.size));
    buf_put_u8(out, (uint8_t)(place % 4));
    buf_put_u8(out, (uint8_t)identity.size);
    buf_put_slice(out, buf_slice(&identity));
    buf_put_slice(out, wal[place].bytes);
    buf_deinit(&identity);
    return wal[place].name;
}

/* {flags, file}: of small stores, with and without a mark. */
struct snapshot_seed {
    const char *name;
    uint8_t flags;
    int changes;
    int64_t mark;
};
static const char *put_snapshot(const struct snapshot_seed *seed, uint64_t chance, struct buf *out)
{
    struct fs_sim_disk *disk = fs_sim_disk_new();
    struct fs *fs = fs_sim_new(disk, true);
    struct rng rng = snapshot_rig_rng(chance);
    struct snapshot_rig_store store;
    char *path = snapshot_rig_path(9);
    snapshot_rig_make_dir(fs);
    snapshot_rig_store_init(&store, NULL);
    for (int i = 0; i < seed->changes; i++) snapshot_rig_change(store.mvcc, &rng, 8, false);
    mvcc_publish(store.mvcc);
    if (seed->mark > 0) snapshot_rig_compact(store.mvcc, seed->mark);
    enum err err = snapshot_rig_write(fs, snapshot_rig_image(store.mvcc, 9), NULL, NULL);
    ASSERT(err == ERR_OK);
    struct blob *bytes = snapshot_rig_bytes(fs, path);
    buf_put_u8(out, seed->flags);
    buf_put_slice(out, blob_slice(bytes));
    blob_unref(bytes);
    alloc_free(path);
    snapshot_rig_store_deinit(&store);
    fs_free(fs);
    fs_sim_disk_free(disk);
    return seed->name;
}

static const char *readsnapshot(size_t place, struct buf *out)
{
    static const struct snapshot_seed files[] = {{"head", 3, 0, 0}, {"keys", 2 + 4, 5, 0}, {"values", 1 + 2 + 4 + 8, 20, 7},
                                                 {"all", 1 + 2 + 4 + 8 + 16, 30, 12}, {"old", 1 + 4 + 32, 10, 2}, {"whole", 1, 40, 20}};
    return place >= COUNT(files) ? NULL : put_snapshot(&files[place], place + 1, out);
}

static const char *snapshot(size_t place, struct buf *out)
{
    static const struct snapshot_seed files[] = {{"empty", 0, 0, 0}, {"small", 1, 6, 0}, {"marked", 1, 20, 8}, {"steps", 2, 30, 12},
                                                 {"forged", 1 + 2, 40, 20}, {"verify", 4, 10, 2}, {"saved", 1 + 8, 9, 0},
                                                 {"restored", 1 + 8 + 16, 20, 8}, {"bumped", 1 + 16 + 32, 30, 12}};
    return place >= COUNT(files) ? NULL : put_snapshot(&files[place], place + 1, out);
}

/* {flags, message, bytes}: programs of requests, a command of the log, and texts. */
static const char *readpb(size_t place, struct buf *out)
{
    static const char *const names[] = {"command", "hexadecimal", "base64"};
    if (place >= COUNT(names) + COUNT(programs)) return NULL;
    bool is_program = place >= COUNT(names);
    buf_put_u8(out, is_program ? 1 + 8 + 16 : (uint8_t[]){1 + 8, 4 + 8, 6 + 8}[place]);
    buf_put_u8(out, 0);
    if (is_program) {
        buf_put_u8(out, PB_PROGRAM_OP(PB_PROGRAM_OPEN, place % 2 == 0 ? 4 : 6)); /* put or txn of an envelope */
        buf_put_slice(out, programs[place - COUNT(names)].bytes);
        return programs[place - COUNT(names)].name;
    }
    struct command command = {.level = COMMAND_LEVEL, .kind = COMMAND_PUT, .id = {1, 2, 3}, .user = slice_from_string("u"),
                              .body = slice_from_string("\x0a\x01k\x12\x01v")};
    struct blob *bytes = command_encode(&command);
    if (place == 0) buf_put_slice(out, blob_slice(bytes));
    else buf_put_slice(out, slice_from_string(place == 1 ? "22 06 0a016b 120176" : "IgYKAWsSAXY="));
    blob_unref(bytes);
    return names[place];
}

static const char *text_of(const struct text *texts, size_t count, size_t place, struct buf *out)
{
    if (place >= count) return NULL;
    buf_put_slice(out, texts[place].bytes);
    return texts[place].name;
}

const char *seeds_make(const char *target, size_t place, struct buf *out)
{
    if (strcmp(target, "raft_frame") == 0) return raft_frame(place, out);
    if (strcmp(target, "peer_hello") == 0) return peer_hello(place, out);
    if (strcmp(target, "door_hello") == 0) return text_of(door_hello, COUNT(door_hello), place, out);
    if (strcmp(target, "kv_request") == 0) return kv_request(place, out);
    if (strcmp(target, "entry") == 0) return entry(place, out);
    if (strcmp(target, "wal") == 0 || strcmp(target, "wal_reuse") == 0) return text_of(wal, COUNT(wal), place, out);
    if (strcmp(target, "start_flags") == 0) return text_of(start_flags, COUNT(start_flags), place, out);
    if (strcmp(target, "config") == 0) return text_of(config, COUNT(config), place, out);
    if (strcmp(target, "readwal") == 0) return readwal(place, out);
    if (strcmp(target, "readstate") == 0) return readstate(place, out);
    if (strcmp(target, "readsnapshot") == 0) return readsnapshot(place, out);
    if (strcmp(target, "snapshot") == 0) return snapshot(place, out);
    if (strcmp(target, "readpb") == 0) return readpb(place, out);
    ASSERT(strcmp(target, "kvctl") == 0);
    return text_of(kvctl, COUNT(kvctl), place, out);
}
