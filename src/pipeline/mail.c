/* mail: making and freeing what mails carry. */
#include "pipeline/mail.h"

#include "base/alloc.h"
#include "storage/state_machine.h"
#include "storage/wal.h"

static void take_entries(struct raft_entry *to, const struct raft_entry *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
        if (to[i].data != NULL) blob_ref(to[i].data);
    }
}

static void drop_entries(struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) blob_unref(entries[i].data);
}

struct peer_message *mail_peer_new(const struct raft_msg *msg)
{
    ASSERT(msg->entry_count == 0 || msg->entries != NULL);
    struct peer_message *message =
        alloc_new(sizeof(struct peer_message) + msg->entry_count * sizeof(struct raft_entry));
    message->next = NULL;
    message->msg = *msg;
    message->msg.entries = message->entries;
    take_entries(message->entries, msg->entries, msg->entry_count);
    return message;
}

void mail_peer_free(struct peer_message *message)
{
    if (message == NULL) return;
    drop_entries(message->entries, message->msg.entry_count);
    alloc_free(message);
}

void mail_peer_free_list(struct peer_message *messages)
{
    while (messages != NULL) {
        struct peer_message *next = messages->next;
        mail_peer_free(messages);
        messages = next;
    }
}

struct append_batch *mail_append_new(const struct raft_output *output)
{
    ASSERT(output->persist);
    struct append_batch *batch =
        alloc_new(sizeof(struct append_batch) + output->entry_count * sizeof(struct raft_entry));
    batch->next = NULL;
    batch->sequence = output->sequence;
    batch->hard = output->hard;
    batch->is_reset = output->install;
    batch->reset_index = output->install_index;
    batch->reset_term = output->install_term;
    batch->reset_conf = output->install ? raft_conf_encode(output->install_conf) : NULL;
    batch->messages = NULL;
    batch->entry_count = (uint32_t)output->entry_count;
    take_entries(batch->entries, output->entries, output->entry_count);
    struct peer_message **tail = &batch->messages;
    for (size_t i = 0; i < output->message_after_count; i++) {
        *tail = mail_peer_new(&output->messages_after[i]);
        tail = &(*tail)->next;
    }
    return batch;
}

void mail_append_free(struct append_batch *batch)
{
    if (batch == NULL) return;
    drop_entries(batch->entries, batch->entry_count);
    mail_peer_free_list(batch->messages);
    blob_unref(batch->reset_conf);
    alloc_free(batch);
}

struct commit_batch *mail_commit_new(const struct raft_entry *entries, uint32_t count)
{
    ASSERT(count > 0);
    size_t entries_size = count * sizeof(struct raft_entry);
    struct commit_batch *batch = alloc_new(sizeof(struct commit_batch) + entries_size + count * sizeof(uint64_t));
    batch->calls = (uint64_t *)(void *)((uint8_t *)batch->entries + entries_size);
    batch->count = count;
    batch->bytes = 0;
    take_entries(batch->entries, entries, count);
    for (uint32_t i = 0; i < count; i++) {
        batch->calls[i] = 0;
        batch->bytes += entries[i].data == NULL ? 0 : entries[i].data->size;
    }
    return batch;
}

void mail_commit_free(struct commit_batch *batch)
{
    if (batch == NULL) return;
    drop_entries(batch->entries, batch->count);
    alloc_free(batch);
}

struct read_batch *mail_read_new(const uint64_t *calls, uint32_t count, uint64_t now_ns)
{
    ASSERT(count > 0);
    struct read_batch *batch = alloc_new(sizeof(struct read_batch) + count * sizeof(uint64_t));
    batch->made_ns = now_ns;
    batch->count = count;
    batch->questions = NULL;
    batch->answers = NULL;
    batch->remote_peer = batch->remote_context = 0;
    memcpy(batch->calls, calls, count * sizeof(uint64_t));
    return batch;
}

struct read_batch *mail_questions_new(const uint64_t *calls, const struct lease_question *questions, uint32_t count, uint64_t now_ns)
{
    ASSERT(count > 0);
    struct read_batch *batch = alloc_new(sizeof(struct read_batch) + count * (sizeof(uint64_t) + sizeof(struct lease_question)));
    batch->made_ns = now_ns;
    batch->count = count;
    batch->questions = (struct lease_question *)(void *)(batch->calls + count);
    batch->answers = NULL;
    batch->remote_peer = batch->remote_context = 0;
    memcpy(batch->calls, calls, count * sizeof(uint64_t));
    memcpy(batch->questions, questions, count * sizeof(struct lease_question));
    return batch;
}

void mail_read_free(struct read_batch *batch)
{
    if (batch == NULL) return;
    blob_unref(batch->answers);
    alloc_free(batch);
}

static void fetched_free(struct fetched_batch *batch)
{
    wal_entries_free(batch->entries, batch->count);
    alloc_free(batch);
}

void mail_deinit(struct mail *mail)
{
    switch ((enum mail_kind)mail->kind) {
    case MAIL_PROPOSE:
    case MAIL_INTERNAL: blob_unref(mail->propose.command); break;
    case MAIL_ANSWERED: blob_unref(mail->answered.bytes); break;
    case MAIL_LEASES: blob_unref(mail->leases.command); break;
    case MAIL_READ:
    case MAIL_READ_BATCH:
    case MAIL_READ_FAIL: mail_read_free(mail->read.batch); break;
    case MAIL_PEER:
    case MAIL_FORWARD:
    case MAIL_CHUNK:
    case MAIL_UNSENT: mail_peer_free(mail->peer.message); break;
    case MAIL_APPEND: mail_append_free(mail->append.batch); break;
    case MAIL_COMMIT: mail_commit_free(mail->commit.batch); break;
    case MAIL_TOLD:
    case MAIL_REPLY: blob_unref(mail->reply.body); break;
    case MAIL_WATCHERS:
    case MAIL_CANCEL_WATCHER: blob_unref(mail->ask.request); break;
    case MAIL_FETCHED: fetched_free(mail->fetched.batch); break;
    case MAIL_INSTALL:
    case MAIL_RECEIVED:
    case MAIL_UNWANTED: state_machine_loaded_free(mail->loaded.state); break;
    case MAIL_TAKE: state_machine_image_free(mail->take.image); break;
    case MAIL_SNAP_PIECE: blob_unref(mail->piece.bytes); break;
    case MAIL_WAIT: blob_unref(mail->wait.requests); break;
    case MAIL_NEWS:
        blob_unref(mail->news.head);
        blob_unref(mail->news.events);
        break;
    case MAIL_LOG: blob_unref(mail->log.line); break;
    default: break;
    }
    *mail = (struct mail){.kind = MAIL_NONE};
}
