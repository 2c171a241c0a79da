/* auth_command: each command is one call, but for auth enable (which makes the role root if there is none) and user get --detail. */
#include "auth_command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "credentials.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "kv_request.h"
#include "print_fields.h"
#include "print_message.h"

#define PATH(method) "/etcdserverpb.Auth/" method

/* One call; in the formats for programs the response is printed here, and *out_response stays NULL when there is no more to do.
 * The request is emptied. */
static enum ctl_exit ask(struct ctl *ctl, const char *path, struct buf *request, const ProtobufCMessageDescriptor *type,
                         ProtobufCMessage **out_response)
{
    enum ctl_exit code = ctl_call_unpack(ctl, path, buf_slice(request), KVD_POLICY_WRITE, type, out_response);
    buf_deinit(request);
    if (code != CTL_OK || ctl->format == CTL_SIMPLE) return code;
    code = print_message(ctl, *out_response);
    protobuf_c_message_free_unpacked(*out_response, NULL);
    *out_response = NULL;
    return code;
}

/* A call whose response says nothing but that it was done. `simple`: what -w simple prints, with `words` in it; NULL = nothing. */
__attribute__((format(printf, 5, 6))) static enum ctl_exit order(struct ctl *ctl, const char *path, struct buf *request,
                                                                 const ProtobufCMessageDescriptor *type, const char *simple, ...)
{
    ProtobufCMessage *response = NULL;
    enum ctl_exit code = ask(ctl, path, request, type, &response);
    if (code == CTL_OK && response != NULL) {
        va_list arguments;
        va_start(arguments, simple);
        vprintf(simple, arguments);
        va_end(arguments);
    }
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

static void put_text(struct buf *out, uint32_t field, const char *text)
{
    if (text[0] != '\0') buf_put_pb_bytes(out, field, slice_from_string(text));
}

/* --- auth -------------------------------------------------------------------------------------------------------------------- */

/* The user root must have the role root: etcdctl sees to that, too. */
static enum ctl_exit make_root_role(struct ctl *ctl)
{
    struct buf request;
    ProtobufCMessage *response = NULL;
    buf_init(&request);
    put_text(&request, 1, "root");
    enum ctl_exit code = ctl_call_unpack(ctl, PATH("RoleAdd"), buf_slice(&request), KVD_POLICY_WRITE,
                                         &etcdserverpb__auth_role_add_response__descriptor, &response);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    response = NULL;
    put_text(&request, 2, "root");
    if (code == CTL_OK)
        code = ctl_call_unpack(ctl, PATH("UserGrantRole"), buf_slice(&request), KVD_POLICY_WRITE,
                               &etcdserverpb__auth_user_grant_role_response__descriptor, &response);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    buf_deinit(&request);
    return code;
}

enum ctl_exit auth_command_enable(struct ctl *ctl, int count, const char **words)
{
    struct calls_answer answer;
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "auth enable command does not accept any arguments");
    enum ctl_exit code = CTL_OK;
    bool lacks_role = true;
    for (int i = 0; i < 2 && lacks_role && code == CTL_OK; i++) {
        ctl_call(ctl, PATH("AuthEnable"), slice_empty(), KVD_POLICY_WRITE, CALLS_ANY, &answer);
        lacks_role = answer.code != ERR_CODE_OK && strstr(answer.text, "root user does not have root role") != NULL;
        if (lacks_role && i == 0) code = make_root_role(ctl);
        else if (answer.code != ERR_CODE_OK) code = ctl_fail_answer(ctl, &answer);
        calls_answer_deinit(&answer);
    }
    if (code == CTL_OK) puts("Authentication Enabled");
    return code;
}

enum ctl_exit auth_command_disable(struct ctl *ctl, int count, const char **words)
{
    ProtobufCMessage *response = NULL;
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "auth disable command does not accept any arguments");
    enum ctl_exit code = ctl_call_unpack(ctl, PATH("AuthDisable"), slice_empty(), KVD_POLICY_WRITE,
                                         &etcdserverpb__auth_disable_response__descriptor, &response);
    if (code == CTL_OK) puts("Authentication Disabled"); /* in every format, as etcdctl */
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

enum ctl_exit auth_command_status(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    ProtobufCMessage *response = NULL;
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "auth status command does not accept any arguments");
    buf_init(&request);
    enum ctl_exit code = ask(ctl, PATH("AuthStatus"), &request, &etcdserverpb__auth_status_response__descriptor, &response);
    if (response == NULL) return code;
    const Etcdserverpb__AuthStatusResponse *status = (const Etcdserverpb__AuthStatusResponse *)response;
    printf("Authentication Status: %s\nAuthRevision: %" PRIu64 "\n", status->enabled ? "true" : "false", status->authrevision);
    protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

/* --- passwords --------------------------------------------------------------------------------------------------------------- */

/* On a terminal and with --interactive it is asked for twice. */
static enum ctl_exit ask_password(const struct ctl *ctl, const char *user, char out_text[CREDENTIALS_PASSWORD_MAX])
{
    char prompt[160], again[CREDENTIALS_PASSWORD_MAX];
    bool asks_twice = ctl->options.interactive && isatty(STDIN_FILENO) != 0;
    (void)snprintf(prompt, sizeof prompt, "Password of %.100s: ", user);
    enum ctl_exit code = credentials_read(prompt, out_text);
    if (code != CTL_OK || !asks_twice) return code;
    (void)snprintf(prompt, sizeof prompt, "Type password of %.100s again for confirmation: ", user);
    code = credentials_read(prompt, again);
    if (code == CTL_OK && strcmp(out_text, again) != 0) code = ctl_fail(CTL_BAD_ARGS, "given passwords are different");
    return code;
}

/* --- users ------------------------------------------------------------------------------------------------------------------- */

int auth_command_user_passwd_flags(struct ctl_options *options, struct flag *out_flags)
{
    options->interactive = true;
    out_flags[0] = (struct flag){"interactive", 0, FLAG_BOOL, &options->interactive, NULL,
                                 "ask for the password twice; false: one line of standard input", "Options", false};
    return 1;
}

int auth_command_user_add_flags(struct ctl_options *options, struct flag *out_flags)
{
    int count = auth_command_user_passwd_flags(options, out_flags);
    options->new_user_password = "";
    out_flags[count++] = (struct flag){"no-password", 0, FLAG_BOOL, &options->no_password, NULL,
                                       "a user who comes with a certificate only", "Options", false};
    out_flags[count++] = (struct flag){"new-user-password", 0, FLAG_STRING, &options->new_user_password, "<password>",
                                       "the password, for all to see on this machine", "Options", false};
    return count;
}

int auth_command_user_get_flags(struct ctl_options *options, struct flag *out_flags)
{
    out_flags[0] = (struct flag){"detail", 0, FLAG_BOOL, &options->detail, NULL, "also what each role may do", "Options", false};
    return 1;
}

enum ctl_exit auth_command_user_add(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    char password[CREDENTIALS_PASSWORD_MAX] = "", name[256];
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "user add command requires user name as its argument");
    const char *colon = strchr(words[0], ':'), *secret = password;
    bool has_secret = colon != NULL || ctl->options.new_user_password[0] != '\0';
    (void)snprintf(name, sizeof name, "%.*s", colon != NULL ? (int)(colon - words[0]) : (int)strlen(words[0]), words[0]);
    if (ctl->options.new_user_password[0] != '\0') secret = ctl->options.new_user_password;
    else if (colon != NULL) secret = colon + 1;
    if (name[0] == '\0') return ctl_fail(CTL_BAD_ARGS, "empty user name is not allowed");
    if (!has_secret && !ctl->options.no_password) {
        enum ctl_exit code = ask_password(ctl, name, password);
        if (code != CTL_OK) return code;
    }
    buf_init(&request);
    put_text(&request, 1, name);
    if (!ctl->options.no_password) put_text(&request, 2, secret);
    struct buf options;
    buf_init(&options);
    if (ctl->options.no_password) buf_put_pb_varint(&options, 1, 1);
    buf_put_pb_bytes(&request, 3, buf_slice(&options));
    buf_deinit(&options);
    return order(ctl, PATH("UserAdd"), &request, &etcdserverpb__auth_user_add_response__descriptor, "User %s created\n", name);
}

enum ctl_exit auth_command_user_delete(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "user delete command requires user name as its argument");
    buf_init(&request);
    put_text(&request, 1, words[0]);
    return order(ctl, PATH("UserDelete"), &request, &etcdserverpb__auth_user_delete_response__descriptor, "User %s deleted\n", words[0]);
}

static enum ctl_exit get_role(struct ctl *ctl, const char *role);

enum ctl_exit auth_command_user_get(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    ProtobufCMessage *message = NULL;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "user get command requires user name as its argument");
    if (ctl->format == CTL_FIELDS && !ctl->options.detail) return print_message_no_format(ctl);
    buf_init(&request);
    put_text(&request, 1, words[0]);
    enum ctl_exit code = CTL_OK;
    if (ctl->options.detail) {
        code = ctl_call_unpack(ctl, PATH("UserGet"), buf_slice(&request), KVD_POLICY_READ, &etcdserverpb__auth_user_get_response__descriptor,
                               &message);
        buf_deinit(&request);
    } else {
        code = ask(ctl, PATH("UserGet"), &request, &etcdserverpb__auth_user_get_response__descriptor, &message);
    }
    if (message == NULL) return code;
    const Etcdserverpb__AuthUserGetResponse *response = (const Etcdserverpb__AuthUserGetResponse *)message;
    printf("User: %s\n", words[0]);
    if (!ctl->options.detail) printf("Roles:");
    for (size_t i = 0; i < response->n_roles && code == CTL_OK; i++) {
        printf(ctl->options.detail ? "\n" : " %s", response->roles[i]);
        if (ctl->options.detail) code = get_role(ctl, response->roles[i]);
    }
    if (!ctl->options.detail) putchar('\n');
    protobuf_c_message_free_unpacked(message, NULL);
    return code;
}

static void put_lines(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++) puts(texts[i]);
}

enum ctl_exit auth_command_user_list(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    ProtobufCMessage *message = NULL;
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "user list command requires no arguments");
    if (ctl->format == CTL_FIELDS) return print_message_no_format(ctl);
    buf_init(&request);
    enum ctl_exit code = ask(ctl, PATH("UserList"), &request, &etcdserverpb__auth_user_list_response__descriptor, &message);
    if (message == NULL) return code;
    const Etcdserverpb__AuthUserListResponse *response = (const Etcdserverpb__AuthUserListResponse *)message;
    put_lines(response->users, response->n_users);
    protobuf_c_message_free_unpacked(message, NULL);
    return code;
}

enum ctl_exit auth_command_user_passwd(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    char password[CREDENTIALS_PASSWORD_MAX] = "";
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "user passwd command requires user name as its argument");
    enum ctl_exit code = ask_password(ctl, words[0], password);
    if (code != CTL_OK) return code;
    buf_init(&request);
    put_text(&request, 1, words[0]);
    put_text(&request, 2, password);
    return order(ctl, PATH("UserChangePassword"), &request, &etcdserverpb__auth_user_change_password_response__descriptor,
                 "Password updated\n");
}

enum ctl_exit auth_command_user_grant_role(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    if (count != 2) return ctl_fail(CTL_BAD_ARGS, "user grant command requires user name and role name as its argument");
    buf_init(&request);
    put_text(&request, 1, words[0]);
    put_text(&request, 2, words[1]);
    return order(ctl, PATH("UserGrantRole"), &request, &etcdserverpb__auth_user_grant_role_response__descriptor,
                 "Role %s is granted to user %s\n", words[1], words[0]);
}

enum ctl_exit auth_command_user_revoke_role(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    if (count != 2) return ctl_fail(CTL_BAD_ARGS, "user revoke-role requires user name and role name as its argument");
    buf_init(&request);
    put_text(&request, 1, words[0]);
    put_text(&request, 2, words[1]);
    return order(ctl, PATH("UserRevokeRole"), &request, &etcdserverpb__auth_user_revoke_role_response__descriptor,
                 "Role %s is revoked from user %s\n", words[1], words[0]);
}

/* --- roles ------------------------------------------------------------------------------------------------------------------- */

int auth_command_role_permission_flags(struct ctl_options *options, struct flag *out_flags)
{
    out_flags[0] = (struct flag){"prefix", 0, FLAG_BOOL, &options->prefix, NULL, "all keys that begin with <key>", "Options", false};
    out_flags[1] = (struct flag){"from-key", 0, FLAG_BOOL, &options->from_key, NULL, "all keys from <key> on, in byte order", "Options", false};
    return 2;
}

enum ctl_exit auth_command_role_add(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "role add command requires role name as its argument");
    buf_init(&request);
    put_text(&request, 1, words[0]);
    return order(ctl, PATH("RoleAdd"), &request, &etcdserverpb__auth_role_add_response__descriptor, "Role %s created\n", words[0]);
}

enum ctl_exit auth_command_role_delete(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "role delete command requires role name as its argument");
    buf_init(&request);
    put_text(&request, 1, words[0]);
    return order(ctl, PATH("RoleDelete"), &request, &etcdserverpb__auth_role_delete_response__descriptor, "Role %s deleted\n", words[0]);
}

static void print_permission(const Authpb__Permission *permission)
{
    struct slice key = slice_make(permission->key.data, permission->key.len), end = slice_make(permission->range_end.data, permission->range_end.len);
    bool is_open = end.size == 1 && end.data[0] == 0;
    int key_size = (int)key.size;
    const char *key_text = key_size == 0 ? "" : (const char *)key.data;
    if (end.size == 0) {
        printf("\t%.*s\n", key_size, key_text);
        return;
    }
    if (is_open) printf("\t[%.*s, <open ended>", key_size, key_text);
    else printf("\t[%.*s, %.*s)", key_size, key_text, (int)end.size, (const char *)end.data);
    struct buf prefix, wanted;
    buf_init(&prefix);
    buf_init(&wanted);
    kv_request_prefix_end(&prefix, key);
    buf_put_pb_bytes(&wanted, 2, end);
    if (key.size > 0 && slice_equal(buf_slice(&prefix), buf_slice(&wanted))) printf(" (prefix %.*s)", key_size, key_text);
    putchar('\n');
    buf_deinit(&wanted);
    buf_deinit(&prefix);
}

static void simple_role(const char *role, const Etcdserverpb__AuthRoleGetResponse *response)
{
    static const char *const headings[] = {"KV Read:", "KV Write:"};
    bool is_all = strcmp(role, "root") == 0 && response->n_perm == 0;
    printf("Role %s\n", role);
    for (int i = 0; i < 2; i++) {
        int other = i == 0 ? AUTHPB__PERMISSION__TYPE__WRITE : AUTHPB__PERMISSION__TYPE__READ;
        puts(headings[i]);
        if (is_all) puts("\t[, <open ended>");
        for (size_t k = 0; k < response->n_perm; k++)
            if ((int)response->perm[k]->permtype != other) print_permission(response->perm[k]);
    }
}

static void fields_role(const Etcdserverpb__AuthRoleGetResponse *response)
{
    static const char *const names[] = {"READ", "WRITE", "READWRITE"};
    print_fields_header(response->header);
    for (size_t i = 0; i < response->n_perm; i++) {
        const Authpb__Permission *permission = response->perm[i];
        size_t type = (size_t)permission->permtype;
        printf("\"PermType\" :  %s\n", type < 3 ? names[type] : "UNKNOWN");
        print_fields_bytes("Key", slice_make(permission->key.data, permission->key.len));
        print_fields_bytes("RangeEnd", slice_make(permission->range_end.data, permission->range_end.len));
    }
}

static enum ctl_exit get_role(struct ctl *ctl, const char *role)
{
    struct buf request;
    ProtobufCMessage *message = NULL;
    buf_init(&request);
    put_text(&request, 1, role);
    enum ctl_exit code = ctl_call_unpack(ctl, PATH("RoleGet"), buf_slice(&request), KVD_POLICY_READ,
                                         &etcdserverpb__auth_role_get_response__descriptor, &message);
    buf_deinit(&request);
    if (code != CTL_OK) return code;
    const Etcdserverpb__AuthRoleGetResponse *response = (const Etcdserverpb__AuthRoleGetResponse *)message;
    if (ctl->format == CTL_SIMPLE) simple_role(role, response);
    else if (ctl->format == CTL_FIELDS) fields_role(response);
    else code = print_message(ctl, message);
    protobuf_c_message_free_unpacked(message, NULL);
    return code;
}

enum ctl_exit auth_command_role_get(struct ctl *ctl, int count, const char **words)
{
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "role get command requires role name as its argument");
    return get_role(ctl, words[0]);
}

enum ctl_exit auth_command_role_list(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    ProtobufCMessage *message = NULL;
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "role list command requires no arguments");
    buf_init(&request);
    enum ctl_exit code = ctl_call_unpack(ctl, PATH("RoleList"), slice_empty(), KVD_POLICY_READ,
                                         &etcdserverpb__auth_role_list_response__descriptor, &message);
    if (code != CTL_OK) return code;
    const Etcdserverpb__AuthRoleListResponse *response = (const Etcdserverpb__AuthRoleListResponse *)message;
    if (ctl->format == CTL_SIMPLE) put_lines(response->roles, response->n_roles);
    else code = print_message(ctl, message);
    if (ctl->format == CTL_FIELDS) {
        printf("\"Roles\" :");
        for (size_t i = 0; i < response->n_roles; i++) printf(" \"%s\"", response->roles[i]);
        putchar('\n');
    }
    protobuf_c_message_free_unpacked(message, NULL);
    return code;
}

/* The words of a permission, key and range_end, as fields 2 and 3 of what takes them. */
static enum ctl_exit put_interval(const struct ctl *ctl, const char *command, int count, const char **words, struct buf *out)
{
    struct buf interval;
    buf_init(&interval);
    enum ctl_exit code = kv_request_interval(&ctl->options, command, count, words, &interval);
    Etcdserverpb__DeleteRangeRequest *range = /* has them as fields 1 and 2 */
        (Etcdserverpb__DeleteRangeRequest *)ctl_unpack(&etcdserverpb__delete_range_request__descriptor, buf_slice(&interval));
    buf_deinit(&interval);
    ASSERT(range != NULL);
    if (range->key.len > 0) buf_put_pb_bytes(out, 2, slice_make(range->key.data, range->key.len));
    if (range->range_end.len > 0) buf_put_pb_bytes(out, 3, slice_make(range->range_end.data, range->range_end.len));
    protobuf_c_message_free_unpacked(&range->base, NULL);
    return code;
}

enum ctl_exit auth_command_role_grant(struct ctl *ctl, int count, const char **words)
{
    static const char *const types[] = {"read", "write", "readwrite"};
    struct buf request, permission;
    if (count < 3) return ctl_fail(CTL_BAD_ARGS, "role grant command requires role name, permission type, and key [endkey] as its argument");
    size_t type = 0;
    while (type < 3 && strcmp(types[type], words[1]) != 0) type++;
    if (type == 3) return ctl_fail(CTL_BAD_ARGS, "invalid permission type: %s", words[1]);
    buf_init(&permission);
    if (type != 0) buf_put_pb_varint(&permission, 1, type);
    enum ctl_exit code = put_interval(ctl, "role grant-permission", count - 2, words + 2, &permission);
    buf_init(&request);
    put_text(&request, 1, words[0]);
    buf_put_pb_bytes(&request, 2, buf_slice(&permission));
    buf_deinit(&permission);
    if (code == CTL_OK)
        return order(ctl, PATH("RoleGrantPermission"), &request, &etcdserverpb__auth_role_grant_permission_response__descriptor,
                     "Role %s updated\n", words[0]);
    buf_deinit(&request);
    return code;
}

static void say_revoked(const char *role, const Etcdserverpb__AuthRoleRevokePermissionRequest *sent)
{
    int key_size = (int)sent->key.len, end_size = (int)sent->range_end.len;
    const char *key = key_size == 0 ? "" : (const char *)sent->key.data, *end = end_size == 0 ? "" : (const char *)sent->range_end.data;
    if (end_size == 0) printf("Permission of key %.*s is revoked from role %s\n", key_size, key, role);
    else if (end_size == 1 && end[0] == '\0') printf("Permission of range [%.*s, <open ended> is revoked from role %s\n", key_size, key, role);
    else printf("Permission of range [%.*s, %.*s) is revoked from role %s\n", key_size, key, end_size, end, role);
}

enum ctl_exit auth_command_role_revoke(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    ProtobufCMessage *response = NULL;
    if (count < 2) return ctl_fail(CTL_BAD_ARGS, "role revoke-permission command requires role name and key [endkey] as its argument");
    buf_init(&request);
    put_text(&request, 1, words[0]);
    enum ctl_exit code = put_interval(ctl, "role revoke-permission", count - 1, words + 1, &request);
    Etcdserverpb__AuthRoleRevokePermissionRequest *sent =
        code != CTL_OK ? NULL
                       : (Etcdserverpb__AuthRoleRevokePermissionRequest *)ctl_unpack(
                             &etcdserverpb__auth_role_revoke_permission_request__descriptor, buf_slice(&request));
    if (code == CTL_OK)
        code = ask(ctl, PATH("RoleRevokePermission"), &request, &etcdserverpb__auth_role_revoke_permission_response__descriptor, &response);
    else
        buf_deinit(&request);
    if (response != NULL) say_revoked(words[0], sent);
    if (sent != NULL) protobuf_c_message_free_unpacked(&sent->base, NULL);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}
