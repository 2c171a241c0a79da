/* Does the envelope keep what went in, in the bytes that the .proto describes, and does it refuse what this level does not know? */
#include <check.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/rng.h"
#include "kvd/command.pb-c.h"
#include "storage/command.h"

static struct command sample(void)
{
    return (struct command){.level = 1,
                            .kind = COMMAND_PUT,
                            .id = {UINT64_C(0x1122334455667788), 7, 300},
                            .user = slice_from_string("ann"),
                            .auth_revision = 9,
                            .body = slice_from_string("\x0a\x01k\x12\x01v")};
}

static void assert_same(const struct command *a, const struct command *b)
{
    ck_assert_uint_eq(a->level, b->level);
    ck_assert_int_eq((int)a->kind, (int)b->kind);
    ck_assert_uint_eq(a->id.member, b->id.member);
    ck_assert_uint_eq(a->id.boot, b->id.boot);
    ck_assert_uint_eq(a->id.counter, b->id.counter);
    ck_assert(slice_equal(a->user, b->user));
    ck_assert_uint_eq(a->auth_revision, b->auth_revision);
    ck_assert(slice_equal(a->body, b->body));
    ck_assert_int_eq(a->chosen_lease_id, b->chosen_lease_id);
    ck_assert(slice_equal(a->chosen_lease_ids, b->chosen_lease_ids));
    ck_assert_int_eq(a->chosen_ttl, b->chosen_ttl);
}

static bool is_put(enum command_kind kind) { return kind == COMMAND_PUT || kind == COMMAND_TXN; }

START_TEST(test_command_comes_back_as_it_went_in)
{
    static const enum command_kind kinds[] = {COMMAND_PUT,        COMMAND_DELETE_RANGE,        COMMAND_TXN,
                                              COMMAND_COMPACTION, COMMAND_CLUSTER_VERSION_SET, COMMAND_CLUSTER_MEMBER_ATTR_SET,
                                              COMMAND_ALARM,      COMMAND_STATE_HASH,          COMMAND_LEASE_GRANT,
                                              COMMAND_LEASE_REVOKE, COMMAND_LEASE_EXPIRE};
    struct rng rng;
    rng_init(&rng, 1);
    for (int round = 0; round < 2000; round++) {
        uint8_t body[300];
        for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)rng_next(&rng);
        struct command command = {.level = 1, .kind = kinds[rng_below(&rng, sizeof kinds / sizeof kinds[0])]};
        command.id = (struct command_id){rng_next(&rng) >> rng_below(&rng, 64), rng_next(&rng) >> rng_below(&rng, 64),
                                         rng_next(&rng) >> rng_below(&rng, 64)};
        command.body = slice_make(body, rng_below(&rng, sizeof body));
        if (rng_below(&rng, 2) == 0) command.user = slice_from_string("somebody");
        if (rng_below(&rng, 2) == 0) command.auth_revision = rng_next(&rng);
        if (command.kind == COMMAND_LEASE_GRANT && rng_below(&rng, 2) == 0) command.chosen_lease_id = (int64_t)rng_next(&rng);
        if (command.kind == COMMAND_LEASE_GRANT && rng_below(&rng, 2) == 0) command.chosen_ttl = 1 + (int64_t)rng_below(&rng, 99);
        if (is_put(command.kind) && rng_below(&rng, 2) == 0) {
            command.level = COMMAND_LEVEL_PUT_TTL;
            command.chosen_lease_ids = slice_make(body, 1 + rng_below(&rng, sizeof body - 1));
            command.chosen_ttl = (int64_t)rng_below(&rng, 3);
        }
        struct blob *blob = command_encode(&command);
        struct command decoded;
        ck_assert(command_decode(blob_slice(blob), &decoded));
        assert_same(&command, &decoded);
        struct command_id id;
        ck_assert(command_peek_id(blob_slice(blob), &id));
        ck_assert_mem_eq(&id, &command.id, sizeof id);
        blob_unref(blob);
    }
}
END_TEST

START_TEST(test_command_bytes_are_the_proto_envelope)
{
    struct command command = sample();
    struct blob *blob = command_encode(&command);
    Kvd__Envelope *envelope = kvd__envelope__unpack(NULL, blob->size, blob->data);
    ck_assert_ptr_nonnull(envelope);
    ck_assert_uint_eq(envelope->level, 1);
    ck_assert_uint_eq(envelope->request_member, command.id.member);
    ck_assert_uint_eq(envelope->request_boot, 7);
    ck_assert_uint_eq(envelope->request_counter, 300);
    ck_assert_str_eq(envelope->header->username, "ann");
    ck_assert_uint_eq(envelope->header->auth_revision, 9);
    ck_assert_ptr_nonnull(envelope->put);
    ck_assert_mem_eq(envelope->put->value.data, "v", 1);
    kvd__envelope__free_unpacked(envelope, NULL);
    blob_unref(blob);
}
END_TEST

/* Packed for puts, not packed for a grant, as before there were any for puts: decoders of protobuf take both. */
START_TEST(test_command_ids_of_leases_are_the_protos_list_in_either_form)
{
    static const uint8_t ids[] = {0x05, 0xac, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    for (int is_grant = 0; is_grant < 2; is_grant++) {
        struct command command = sample();
        command.level = is_grant ? 1 : 2;
        command.kind = is_grant ? COMMAND_LEASE_GRANT : COMMAND_PUT;
        command.chosen_ttl = 2;
        command.chosen_lease_id = is_grant ? 5 : 0;
        if (is_grant) command.body = slice_from_string("\x08\x3c");
        else command.chosen_lease_ids = slice_make(ids, sizeof ids);
        struct blob *blob = command_encode(&command);
        Kvd__Envelope *envelope = kvd__envelope__unpack(NULL, blob->size, blob->data);
        ck_assert(envelope != NULL && envelope->chosen_ttl == 2 && envelope->chosen_lease_ids[0] == 5);
        ck_assert_uint_eq(envelope->n_chosen_lease_ids, is_grant ? 1 : 3);
        ck_assert(is_grant || (envelope->chosen_lease_ids[1] == 300 && envelope->chosen_lease_ids[2] == INT64_MAX));
        kvd__envelope__free_unpacked(envelope, NULL);
        blob_unref(blob);
    }
}
END_TEST

/* A member that does not know of them must not be asked to pass over them. */
START_TEST(test_command_ids_for_puts_need_their_level_and_a_put)
{
    static const struct {
        uint32_t level;
        enum command_kind kind;
        bool has_ids;
        int64_t ttl;
        bool is_good;
    } cases[] = {
        {2, COMMAND_PUT, true, 2, true},           {2, COMMAND_TXN, true, 0, true},   {2, COMMAND_PUT, false, 0, true},
        {1, COMMAND_PUT, true, 0, false},          {1, COMMAND_PUT, false, 2, false}, {1, COMMAND_TXN, true, 2, false},
        {2, COMMAND_DELETE_RANGE, true, 0, false}, {2, COMMAND_LEASE_GRANT, true, 0, false},
        {2, COMMAND_LEASE_REVOKE, false, 2, false}, {1, COMMAND_LEASE_GRANT, false, 2, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct command command = sample(), decoded;
        command.level = cases[i].level;
        command.kind = cases[i].kind;
        if (cases[i].has_ids) command.chosen_lease_ids = slice_from_string("\x05\x06");
        command.chosen_ttl = cases[i].ttl;
        struct blob *blob = command_encode(&command);
        ck_assert_msg(command_decode(blob_slice(blob), &decoded) == cases[i].is_good, "case %zu", i);
        blob_unref(blob);
    }
}
END_TEST

START_TEST(test_command_truncated_bytes_are_refused)
{
    struct command command = sample(), decoded;
    struct blob *blob = command_encode(&command);
    for (size_t size = 0; size < blob->size; size++) ck_assert(!command_decode(slice_make(blob->data, size), &decoded));
    blob_unref(blob);
}
END_TEST

static bool decodes_with(struct slice extra, uint32_t level)
{
    struct command command = sample(), decoded;
    struct blob *blob = command_encode(&command);
    struct buf buf;
    buf_init(&buf);
    buf_put_slice(&buf, blob_slice(blob));
    buf.blob->data[3] = (uint8_t)level; /* behind the three bytes of the level's tag */
    buf_put_slice(&buf, extra);
    bool ok = command_decode(buf_slice(&buf), &decoded);
    buf_deinit(&buf);
    blob_unref(blob);
    return ok;
}

START_TEST(test_command_unknown_level_kind_and_field_are_refused)
{
    struct buf extra;
    buf_init(&extra);
    ck_assert(decodes_with(slice_empty(), 1));
    ck_assert(!decodes_with(slice_empty(), 0));
    ck_assert(!decodes_with(slice_empty(), COMMAND_LEVEL + 1));
    static const uint32_t unknown[] = {8, 10, 1302, 9999, 10004, 10006};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        buf_clear(&extra);
        buf_put_pb_bytes(&extra, unknown[i], slice_from_string("x"));
        ck_assert(!decodes_with(buf_slice(&extra), 1));
    }
    buf_clear(&extra);
    buf_put_pb_bytes(&extra, COMMAND_PUT, slice_from_string("x")); /* a second body */
    ck_assert(!decodes_with(buf_slice(&extra), 1));
    buf_deinit(&extra);
}
END_TEST

START_TEST(test_command_peek_refuses_what_does_not_begin_with_an_id)
{
    struct command_id id = {1, 2, 3};
    ck_assert(!command_peek_id(slice_empty(), &id));
    ck_assert(!command_peek_id(slice_from_string("\x0a\x01x"), &id));
    ck_assert_uint_eq(id.counter, 3);
    ck_assert_str_eq(command_kind_name(COMMAND_TXN), "txn");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command");
    TCase *tcase = tcase_create("envelope");
    tcase_add_test(tcase, test_command_comes_back_as_it_went_in);
    tcase_add_test(tcase, test_command_bytes_are_the_proto_envelope);
    tcase_add_test(tcase, test_command_ids_of_leases_are_the_protos_list_in_either_form);
    tcase_add_test(tcase, test_command_ids_for_puts_need_their_level_and_a_put);
    tcase_add_test(tcase, test_command_truncated_bytes_are_refused);
    tcase_add_test(tcase, test_command_unknown_level_kind_and_field_are_refused);
    tcase_add_test(tcase, test_command_peek_refuses_what_does_not_begin_with_an_id);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
