/* Do the offline tools' parts do what they say: trees, messages from bytes, bytes from text, a file system that only reads? */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fs_sim.h"
#include "tool.h"
#include "tool_entry.h"
#include "tool_message.h"
#include "tool_tree.h"
#include "storage/command.h"
#include "storage/wal_format.h"

static char *text_of(struct tool_tree *tree)
{
    static char text[4096];
    struct slice bytes = buf_slice(&tree->text);
    ck_assert_uint_lt(bytes.size, sizeof text);
    if (bytes.size > 0) memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    return text;
}

static void fill(struct tool_tree *tree)
{
    tool_tree_open(tree, NULL, '{');
    tool_tree_u64(tree, "most", UINT64_MAX);
    tool_tree_i64(tree, "least", INT64_MIN);
    tool_tree_bytes(tree, "key", slice_make("a\0\"\n", 4));
    tool_tree_string(tree, "name", slice_from_string("\xc3\xbc\xff"));
    tool_tree_open(tree, "ids", '[');
    tool_tree_id(tree, NULL, 10);
    tool_tree_id(tree, NULL, 11);
    tool_tree_close(tree);
    tool_tree_open(tree, "members", '[');
    for (int i = 0; i < 2; i++) {
        tool_tree_open(tree, NULL, '{');
        tool_tree_bool(tree, "learner", i == 1);
        tool_tree_open(tree, "urls", '[');
        tool_tree_word(tree, NULL, "u");
        tool_tree_close(tree);
        tool_tree_close(tree);
    }
    tool_tree_open(tree, NULL, '{');
    tool_tree_close(tree);
    tool_tree_close(tree);
    tool_tree_open(tree, "inner", '{');
    tool_tree_word(tree, "kind", "put");
    tool_tree_close(tree);
    tool_tree_close(tree);
}

START_TEST(test_tool_tree_is_json)
{
    struct tool_tree tree;
    tool_tree_init(&tree, TOOL_TREE_JSON);
    fill(&tree);
    ck_assert_str_eq(text_of(&tree), "{\"most\":18446744073709551615,\"least\":-9223372036854775808,\"key\":\"YQAiCg==\","
                                     "\"name\":\"\xc3\xbc\\ufffd\",\"ids\":[\"000000000000000a\",\"000000000000000b\"],"
                                     "\"members\":[{\"learner\":false,\"urls\":[\"u\"]},{\"learner\":true,\"urls\":[\"u\"]},{}],"
                                     "\"inner\":{\"kind\":\"put\"}}");
    tool_tree_deinit(&tree);
}
END_TEST

START_TEST(test_tool_tree_is_a_line)
{
    struct tool_tree tree;
    tool_tree_init(&tree, TOOL_TREE_LINE);
    fill(&tree);
    ck_assert_str_eq(text_of(&tree), "most: 18446744073709551615 least: -9223372036854775808 key: \"a\\x00\\\"\\n\" "
                                     "name: \"\\xc3\\xbc\\xff\" ids [000000000000000a, 000000000000000b] "
                                     "members [{learner: false urls [u]}, {learner: true urls [u]}, {}] inner {kind: put}");
    tool_tree_deinit(&tree);
}
END_TEST

START_TEST(test_tool_tree_is_a_block)
{
    struct tool_tree tree;
    tool_tree_init(&tree, TOOL_TREE_BLOCK);
    fill(&tree);
    ck_assert_str_eq(text_of(&tree), "most: 18446744073709551615\nleast: -9223372036854775808\nkey: \"a\\x00\\\"\\n\"\n"
                                     "name: \"\\xc3\\xbc\\xff\"\nids:\n  - 000000000000000a\n  - 000000000000000b\nmembers:\n"
                                     "  - learner: false\n    urls:\n      - u\n  - learner: true\n    urls:\n      - u\n  - \n"
                                     "inner:\n  kind: put\n");
    tool_tree_deinit(&tree);
}
END_TEST

/* --- messages --------------------------------------------------------------------------------------------------------------- */

static const char *show(const char *message, const char *bytes, size_t size)
{
    static char kept[4096];
    struct tool_tree tree;
    struct tool_message_error error;
    const ProtobufCMessageDescriptor *descriptor = tool_message_find(message);
    ck_assert_ptr_nonnull(descriptor);
    if (!tool_message_check(descriptor, slice_make(bytes, size), &error)) {
        snprintf(kept, sizeof kept, "%zu %s %s", error.offset, error.message, error.reason);
        return kept;
    }
    tool_tree_init(&tree, TOOL_TREE_LINE);
    tool_tree_open(&tree, NULL, '{');
    tool_message_put(&tree, descriptor, slice_make(bytes, size));
    tool_tree_close(&tree);
    snprintf(kept, sizeof kept, "%s", text_of(&tree));
    tool_tree_deinit(&tree);
    return kept;
}
#define SHOW(message, bytes) show("etcdserverpb." message, bytes, sizeof(bytes) - 1)

START_TEST(test_tool_message_merges_as_protobuf_says)
{
    ck_assert_str_eq(SHOW("PutRequest", "\x12\x01v\x0a\x01" "a\x0a\x01" "b\x18\x7f"), "key: \"b\" value: \"v\" lease: 127");
    ck_assert_str_eq(SHOW("DeleteRangeResponse", "\x0a\x02\x18\x07\x1a\x00\x0a\x02\x20\x09\x1a\x03\x0a\x01k"),
                     "header {revision: 7 raft_term: 9} prev_kvs [{}, {key: \"k\"}]");
    ck_assert_str_eq(SHOW("RequestOp", "\x0a\x03\x0a\x01" "a\x12\x03\x0a\x01" "b\x0a\x03\x0a\x01" "c"), "request_range {key: \"c\"}");
    ck_assert_str_eq(SHOW("Compare", "\x08\x01\x10\x09\x30\x05\x20\x07"), "result: GREATER target: 9 version: 7");
}
END_TEST

START_TEST(test_tool_message_reads_packed_and_single_values)
{
    ck_assert_str_eq(SHOW("WatchCreateRequest", "\x2a\x02\x00\x01\x28\x01"), "filters [NOPUT, NODELETE, NODELETE]");
    ck_assert_str_eq(SHOW("WatchCreateRequest", "\x2a\x02\x00\x80"), "2 etcdserverpb.WatchCreateRequest packed values that do not fill their field");
}
END_TEST

START_TEST(test_tool_message_shows_what_is_not_known)
{
    ck_assert_str_eq(SHOW("PutRequest", "\x78\x05\x0a\x01k\x08\x07"),
                     "key: \"k\" unknown_fields [{number: 15 wire: 0 value: 5}, {number: 1 wire: 0 value: 7}]");
}
END_TEST

START_TEST(test_tool_message_says_where_bytes_are_wrong)
{
    ck_assert_str_eq(SHOW("TxnRequest", "\x12\x05\x12\x03\x0a\x05k"), "4 etcdserverpb.PutRequest no whole field begins here");
    ck_assert_str_eq(SHOW("PutRequest", "\x0a\x01k\x00"), "3 etcdserverpb.PutRequest no whole field begins here");
    ck_assert_str_eq(SHOW("PutRequest", ""), "");
}
END_TEST

START_TEST(test_tool_message_has_a_limit_of_depth)
{
    struct buf bytes, outer;
    struct tool_message_error error;
    buf_init(&bytes);
    for (size_t depth = 1; depth <= TOOL_MESSAGE_DEPTH_MAX + 1; depth++) {
        const char *name = depth % 2 == 1 ? "etcdserverpb.RequestOp" : "etcdserverpb.TxnRequest";
        bool is_good = tool_message_check(tool_message_find(name), buf_slice(&bytes), &error);
        ck_assert_int_eq(is_good, depth <= TOOL_MESSAGE_DEPTH_MAX);
        buf_init(&outer);
        buf_put_pb_bytes(&outer, depth % 2 == 1 ? 2 : 4, buf_slice(&bytes));
        buf_deinit(&bytes);
        bytes = outer;
    }
    buf_deinit(&bytes);
}
END_TEST

START_TEST(test_tool_message_names_every_message_of_the_api)
{
    static const char *const names[] = {"etcdserverpb.InternalRaftRequest", "mvccpb.Event", "authpb.Role", "kvd.Envelope", "kvd.Frame",
                                        "membershippb.Member", "grpc.health.v1.HealthCheckResponse", "v3lockpb.LockRequest"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) ck_assert_msg(tool_message_find(names[i]) != NULL, "%s", names[i]);
    ck_assert_ptr_null(tool_message_find("etcdserverpb.putRequest"));
    for (size_t i = 0; i < tool_message_count(); i++) ck_assert_ptr_eq(tool_message_find(tool_message_at(i)->name), tool_message_at(i));
}
END_TEST

/* --- entries ------------------------------------------------------------------------------------------------------------------ */

START_TEST(test_tool_entry_shows_the_body_of_a_command_that_is_not_known_as_far_as_it_goes)
{
    struct tool_tree tree;
    struct buf bytes;
    buf_init(&bytes);
    buf_put_pb_varint(&bytes, 10000, 99); /* a level of a newer version */
    tool_tree_init(&tree, TOOL_TREE_LINE);
    tool_tree_open(&tree, NULL, '{');
    tool_entry_put(&tree, RAFT_ENTRY_COMMAND, buf_slice(&bytes));
    tool_entry_put(&tree, RAFT_ENTRY_COMMAND, slice_from_string("\x0f"));
    tool_entry_put(&tree, RAFT_ENTRY_CONF, slice_from_string("no configuration"));
    tool_tree_close(&tree);
    ck_assert_str_eq(text_of(&tree), "damaged: true envelope {level: 99} damaged: true damaged: true");
    tool_tree_deinit(&tree);
    buf_deinit(&bytes);
}
END_TEST

static const char *text_of_command(const struct command *command, struct tool_tree *tree)
{
    struct blob *data = command_encode(command);
    tool_tree_init(tree, TOOL_TREE_LINE);
    tool_tree_open(tree, NULL, '{');
    tool_entry_put(tree, RAFT_ENTRY_COMMAND, blob_slice(data));
    tool_tree_close(tree);
    blob_unref(data);
    return text_of(tree);
}

START_TEST(test_tool_entry_shows_the_leases_that_were_chosen)
{
    struct command put = {.level = COMMAND_LEVEL, .kind = COMMAND_PUT, .id = {1, 2, 3}, .chosen_ttl = 2};
    struct command grant = {.level = 1, .kind = COMMAND_LEASE_GRANT, .id = {1, 2, 3}, .chosen_lease_id = 5};
    struct tool_tree tree;
    put.chosen_lease_ids = slice_make("\xac\x02\x11\x80", 4); /* the last one is cut short */
    ck_assert_str_eq(text_of_command(&put, &tree), "command {kind: put level: 2 id: 0000000000000001.2.3 "
                                                   "chosen_lease_ids [000000000000012c, 0000000000000011] chosen_ttl: 2 body {}}");
    tool_tree_deinit(&tree);
    ck_assert_str_eq(text_of_command(&grant, &tree),
                     "command {kind: lease_grant level: 1 id: 0000000000000001.2.3 chosen_lease_ids [0000000000000005] body {}}");
    tool_tree_deinit(&tree);
}
END_TEST

START_TEST(test_tool_entry_knows_the_message_of_every_kind_of_command)
{
    const ProtobufCMessageDescriptor *envelope = tool_message_find("kvd.Envelope");
    size_t count = 0;
    for (uint32_t number = 1; number < 20000; number++) {
        const char *name = command_kind_name((enum command_kind)number);
        if (strcmp(name, "unknown") == 0) continue;
        ck_assert_ptr_nonnull(tool_message_of_field(envelope, number));
        ck_assert_str_eq(protobuf_c_message_descriptor_get_field(envelope, number)->name, name);
        count++;
    }
    ck_assert_uint_ge(count, 6);
}
END_TEST

/* --- bytes from text ------------------------------------------------------------------------------------------------------------ */

static bool decodes(bool (*decode)(struct slice text, struct buf *out), const char *text, const char *expected)
{
    struct buf out;
    buf_init(&out);
    bool is_good = decode(slice_from_string(text), &out) && slice_equal(buf_slice(&out), slice_from_string(expected));
    buf_deinit(&out);
    return is_good;
}

START_TEST(test_tool_reads_hexadecimal_and_base64)
{
    ck_assert(decodes(tool_from_hex, "61 6263\n7E", "abc~"));
    ck_assert(!decodes(tool_from_hex, "616", "a"));
    ck_assert(!decodes(tool_from_hex, "6 1", "a"));
    ck_assert(decodes(tool_from_base64, "YWJj\nfg==\n", "abc~"));
    ck_assert(decodes(tool_from_base64, "YWJjfg", "abc~"));
    ck_assert(decodes(tool_from_base64, "-_-_", "\xfb\xff\xbf"));
    ck_assert(!decodes(tool_from_base64, "YWJjf", "abc"));
    ck_assert(!decodes(tool_from_base64, "YQ=a", "a"));
    ck_assert(!decodes(tool_from_base64, "YQ=", "a"));
    ck_assert(!decodes(tool_from_base64, "Y*Q=", "a"));
}
END_TEST

START_TEST(test_tool_nearest_finds_mistyped_names)
{
    static const char *const names[] = {"a.PutRequest", "a.PutResponse", "b.PutRequest", "b.User"};
    ck_assert_str_eq(tool_nearest("putrequest", names, 4), "a.PutRequest");
    ck_assert_str_eq(tool_nearest("b.PutReqest", names, 4), "b.PutRequest");
    ck_assert_str_eq(tool_nearest("Usr", names, 4), "b.User");
    ck_assert_ptr_null(tool_nearest("nothing like it", names, 4));
    ck_assert_ptr_null(tool_nearest("", names, 4));
}
END_TEST

/* --- files ------------------------------------------------------------------------------------------------------------------------ */

static void count_names(void *owner, const char *name)
{
    ck_assert_str_ne(name, "");
    ++*(size_t *)owner;
}

START_TEST(test_tool_fs_reads_and_changes_nothing)
{
    struct fs_sim_disk *disk = fs_sim_disk_new();
    struct fs *writer = fs_sim_new(disk, true), *fs = tool_fs_new(fs_sim_new(disk, true));
    struct fs_op make = {.kind = FS_MKDIR, .path = "d"};
    char name[WAL_FORMAT_NAME_SIZE];
    ck_assert_int_eq(fs_run(writer, &make), 0);
    ck_assert_int_eq(fs_replace_file(writer, "d", "file", slice_from_string("abc")), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        wal_format_name(i, i, name);
        ck_assert_int_eq(fs_replace_file(writer, "d", name, slice_from_string("abc")), 0);
    }
    size_t unsynced = fs_sim_unsynced(disk);
    uint64_t used = fs_sim_used(disk);
    struct blob *bytes = NULL;
    struct fs_file *file = NULL;
    ck_assert_int_eq(fs_read_file(fs, "d/file", 10, &bytes), 0);
    ck_assert(slice_equal(blob_slice(bytes), slice_from_string("abc")));
    ck_assert_int_eq(fs_replace_file(fs, "d", "file", slice_from_string("x")), EROFS);
    ck_assert_int_eq(fs_open(fs, "d/file", FS_READ | FS_WRITE, &file), EROFS);
    ck_assert_int_eq(fs_open(fs, "d/new", FS_READ | FS_CREATE, &file), EROFS);
    ck_assert_int_eq(fs_open(fs, "d/file", FS_READ, &file), 0);
    const enum fs_kind kinds[] = {FS_PWRITE, FS_FDATASYNC, FS_ALLOCATE, FS_TRUNCATE, FS_RENAME, FS_UNLINK, FS_MKDIR, FS_FSYNC_DIR, FS_LOCK};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct fs_op op = {.kind = kinds[i], .file = file, .path = "d/file", .path2 = "d/other", .data = "x", .size = 1};
        ck_assert_int_eq(fs_run(fs, &op), EROFS);
    }
    size_t count = 0;
    struct fs_op list = {.kind = FS_LIST, .path = "d", .list_fn = count_names, .owner = &count};
    ck_assert_int_eq(fs_run(fs, &list), 0);
    ck_assert_uint_eq(count, 4);
    tool_fs_hide_below(fs, 3);
    count = 0;
    ck_assert_int_eq(fs_run(fs, &list), 0);
    ck_assert_uint_eq(count, 2);
    fs_close(fs, file);
    blob_unref(bytes);
    ck_assert_uint_eq(fs_sim_unsynced(disk), unsynced);
    ck_assert_uint_eq(fs_sim_used(disk), used);
    ck_assert(!fs_sim_exists(disk, "d/new") && fs_sim_size(disk, "d/file") == 3);
    fs_free(fs);
    fs_free(writer);
    fs_sim_disk_free(disk);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("tool");
    tcase_add_test(tests, test_tool_tree_is_json);
    tcase_add_test(tests, test_tool_tree_is_a_line);
    tcase_add_test(tests, test_tool_tree_is_a_block);
    tcase_add_test(tests, test_tool_message_merges_as_protobuf_says);
    tcase_add_test(tests, test_tool_message_reads_packed_and_single_values);
    tcase_add_test(tests, test_tool_message_shows_what_is_not_known);
    tcase_add_test(tests, test_tool_message_says_where_bytes_are_wrong);
    tcase_add_test(tests, test_tool_message_has_a_limit_of_depth);
    tcase_add_test(tests, test_tool_message_names_every_message_of_the_api);
    tcase_add_test(tests, test_tool_entry_shows_the_body_of_a_command_that_is_not_known_as_far_as_it_goes);
    tcase_add_test(tests, test_tool_entry_shows_the_leases_that_were_chosen);
    tcase_add_test(tests, test_tool_entry_knows_the_message_of_every_kind_of_command);
    tcase_add_test(tests, test_tool_reads_hexadecimal_and_base64);
    tcase_add_test(tests, test_tool_nearest_finds_mistyped_names);
    tcase_add_test(tests, test_tool_fs_reads_and_changes_nothing);
    Suite *suite = suite_create("tool");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
