/* fs_sim_inner: what a disk in memory is made of, and what the parts of fs_sim share. For test/lib/fs_sim*.c only. */
#ifndef TEST_LIB_FS_SIM_INNER_H
#define TEST_LIB_FS_SIM_INNER_H
#include "lib/fs_sim.h"

/* A copy shares its bytes with what it was made from until one of the two changes: disks are copied at every look, and mostly only read. */
struct sim_buffer {
    size_t users;
    uint64_t capacity;
    uint8_t data[];
};
struct sim_bytes {
    struct sim_buffer *buffer; /* NULL = none yet */
    uint64_t size;
};

/* A sector write, or a change of size, that a power loss may take. The sectors of one write share a buffer, also with a copy of the disk. */
struct sim_change {
    uint64_t number;
    uint64_t place; /* of the sector; for a size: the size */
    bool is_size;
    uint32_t at;    /* of its data in the buffer */
    struct sim_buffer *buffer; /* NULL = zeros */
};

struct sim_inode {
    struct sim_bytes now;     /* what reads see */
    struct sim_bytes durable;
    struct sim_change *changes;
    size_t change_count;
    size_t change_capacity;
    bool is_directory;
    struct fs_file *lock;
};

struct sim_name {
    char *path;
    size_t inode;
};
struct sim_names {
    struct sim_name *list;
    size_t count;
    size_t capacity;
};

/* A change of names that is durable only with its directory's sync. inode == SIM_GONE: the name goes away. A rename is one. */
struct sim_name_change {
    char *path;
    char *old_path; /* a rename's; NULL = none */
    size_t inode;
};
#define SIM_GONE ((size_t)-1)
#define SIM_KINDS (FS_LOCK + 1)

struct sim_fault {
    uint64_t countdown; /* 0 = none */
    int error;
};

struct fs_sim_disk {
    struct sim_inode **inodes;
    size_t inode_count;
    struct sim_names now;
    struct sim_names durable;
    struct sim_name_change *name_changes;
    size_t name_change_count;
    uint64_t change_number;
    uint64_t op_count;
    uint64_t freeze_at;
    struct fs_sim_disk *frozen;
    uint64_t room;
    struct sim_fault faults[SIM_KINDS];
    uint64_t failed;
    int fails_now; /* the next operation, of whatever kind; 0 = it does not */
};

struct fs_file {
    struct sim_inode *inode;
};

void fs_sim_bytes_resize(struct sim_bytes *bytes, uint64_t size);
void fs_sim_bytes_write(struct sim_bytes *bytes, uint64_t offset, const void *data, uint64_t size); /* data NULL: zeros */
void fs_sim_bytes_free(struct sim_bytes *bytes);
void fs_sim_bytes_copy(struct sim_bytes *to, const struct sim_bytes *from);
void fs_sim_names_set(struct sim_names *names, const char *path, size_t inode); /* SIM_GONE: takes it out */
void fs_sim_names_add(struct sim_names *names, const char *path, size_t inode); /* a name that is not there yet */
void fs_sim_names_clear(struct sim_names *names);
bool fs_sim_is_in_directory(const char *path, const char *directory);
/* The paths directly in a directory, by name; the caller frees the array, the paths are the disk's. */
const char **fs_sim_disk_list(const struct fs_sim_disk *disk, const char *directory, size_t *out_count);
const char *fs_sim_last(const char *path); /* component */
void fs_sim_name_apply(struct sim_names *names, const struct sim_name_change *change);
void fs_sim_name_change_free(struct sim_name_change *change);
size_t fs_sim_disk_inode(struct fs_sim_disk *disk, bool is_directory); /* a new one */
struct sim_inode *fs_sim_disk_find(const struct fs_sim_disk *disk, const char *path); /* NULL = none */
void fs_sim_change_apply(struct sim_bytes *bytes, const struct sim_change *change, size_t length);
void fs_sim_changes_drop(struct sim_inode *inode, size_t count); /* the first ones: they are on the disk, or lost */
/* The page cache after a failed sync: reads still show what will never reach the disk. */
void fs_sim_lie_about(struct sim_inode *inode);
void fs_sim_lie_about_names(struct fs_sim_disk *disk, const char *directory); /* NULL = all */

#endif
