#!/bin/sh
# check_house.sh: the rules of the house, tested. Prints "file:line: rule: what is wrong"; exits 1 if there is anything.
#
#   scripts/check_house.sh [BUILD_DIR]   with a build directory, the purity of libkvd_raft.a and libkvd_watch.a too, and that no library
#                                        of a build without KVD_SIM contains what only the simulator may: planted bugs, rare behaviour
#   scripts/check_house.sh --self-test   plants a violation of each rule in a scratch tree; fails if a rule does not bite
#
# Rules: include (arrows between rooms, fences), banned (calls), length (functions, files), header (comment), typedef,
# marker (notes of unfinished work), purity (what consensus and watch may ask of the system: nothing), simulator (mutants, buggify).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=${KVD_HOUSE_ROOT:-$(dirname -- "$here")}

# Undefined symbols that a pure library must not have: threads, files, sockets, time, chance, the raw heap, output.
impure='^(pthread_.*|thrd_.*|mtx_.*|cnd_.*|sem_.*|futex|syscall|fork|posix_spawn.*'
impure="$impure"'|open|open64|openat|openat64|creat|close|read|readv|pread.*|write|writev|pwrite.*|fsync|fdatasync|ftruncate.*'
impure="$impure"'|rename|unlink|mkdir|opendir|readdir.*|stat|fstat.*|lseek.*|mmap.*|fopen.*|fclose|fread|fwrite|fgets'
impure="$impure"'|socket|connect|accept.*|send.*|recv.*|poll|ppoll|select|epoll_.*|eventfd|ioctl|fcntl.*'
impure="$impure"'|time|clock|clock_.*|gettimeofday|timespec_get|nanosleep|usleep|sleep|localtime.*|gmtime.*|getenv'
impure="$impure"'|rand|rand_r|srand|random|srandom|.rand48.*|getrandom|getentropy|arc4random.*|rng_seed_from_system'
impure="$impure"'|malloc|calloc|realloc|free|strdup|strndup|posix_memalign|aligned_alloc'
impure="$impure"'|printf|fprintf|vprintf|vfprintf|dprintf|puts|fputs|putchar|putc|fputc|perror'
impure="$impure"'|__(printf|fprintf|vprintf|vfprintf|dprintf)_chk|log_line|fs_real_new|exit|_exit)$'

check_sources() {
    set --
    for folder in src apps tools; do
        [ -d "$folder" ] && set -- "$@" "$folder"
    done
    [ $# -gt 0 ] || { echo "no sources in $root" >&2; return 1; }
    # shellcheck disable=SC2046 # no blanks in the names of our files
    set -- $(find "$@" -type f \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) | LC_ALL=C sort)
    [ $# -eq 0 ] || awk -f "$here/check_house.awk" "$@"
}

check_markers() {
    found=0
    for folder in src apps tools test proto; do
        [ -d "$folder" ] || continue
        if grep -rnwE 'TODO|FIXME|XXX|HACK' --include='*.[ch]' --include='*.cc' --include='*.proto' --include='*.sh' \
            --include='*.py' "$folder" | sed 's/^\([^:]*:[0-9]*\):.*/\1: marker: a note of unfinished work/' | grep .; then
            found=1
        fi
    done
    return $found
}

check_synchronize_in_tests() {
    [ -d test ] || return 0
    ! grep -rnE '(^|[^A-Za-z0-9_])synchronize_rcu[[:space:]]*\(' --include='*.[ch]' test |
        sed 's/^\([^:]*:[0-9]*\):.*/\1: banned: synchronize_rcu/' | grep .
}

# $1: the library. nm prints "member.o:" lines between the symbols; they give the place.
check_purity() {
    nm -u "$1" | awk -v impure="$impure" -v library="$1" '
        /:$/ { member = substr($0, 1, length($0) - 1); next }
        { symbol = $2; sub(/@.*/, "", symbol) }
        symbol ~ impure { printf "%s(%s):0: purity: uses %s\n", library, member, symbol; failed = 1 }
        END { exit failed }'
}

# $1: a library of ours, in a build that is no simulator's.
check_no_simulator() {
    nm "$1" 2>/dev/null | awk -v library="$1" '
        /:$/ { member = substr($0, 1, length($0) - 1); next }
        $NF ~ /^(mutant|buggify)_/ { printf "%s(%s):0: simulator: has %s\n", library, member, $NF; failed = 1 }
        END { exit failed }'
}

is_simulator() {
    grep -q '^KVD_SIM:BOOL=ON' "$1/CMakeCache.txt" 2>/dev/null
}

check_all() {
    status=0
    check_sources || status=1
    check_markers || status=1
    check_synchronize_in_tests || status=1
    if [ -n "$1" ]; then
        libraries=0
        for library in "$1/libkvd_raft.a" "$1/libkvd_watch.a"; do
            [ -f "$library" ] || continue
            libraries=$((libraries + 1))
            check_purity "$library" || status=1
        done
        for library in "$1"/libkvd_*.a; do
            if [ ! -f "$library" ] || is_simulator "$1"; then continue; fi
            check_no_simulator "$library" || status=1
        done
        [ $libraries -gt 0 ] || { echo "no libkvd_raft.a and no libkvd_watch.a in $1" >&2; status=1; }
    fi
    return $status
}

# ---- self-test -------------------------------------------------------------------------------------------------------

scratch=
canaries=0

# A tree with one file that nobody can object to.
fresh_tree() {
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/src/base"
    echo '/* list: intrusive. */' >"$scratch/tree/src/base/list.h"
}

# put PATH: standard input becomes the file.
put() {
    mkdir -p "$scratch/tree/$(dirname "$1")"
    cat >"$scratch/tree/$1"
}

# bites EXPECTED [BUILD_DIR]: the tree as planted must be refused with a line that begins with EXPECTED.
bites() {
    canaries=$((canaries + 1))
    if KVD_HOUSE_ROOT="$scratch/tree" "$here/check_house.sh" ${2:+"$2"} >"$scratch/output" 2>&1; then
        echo "self-test: not refused: $1"
        exit 1
    fi
    if [ "$(grep -cF -- "$1" "$scratch/output")" -ne 1 ] || [ "$(grep -c . "$scratch/output")" -ne 1 ]; then
        echo "self-test: expected one line with: $1"
        cat "$scratch/output"
        exit 1
    fi
}

# passes [BUILD_DIR]: the tree as planted must be accepted without a word.
passes() {
    canaries=$((canaries + 1))
    if ! KVD_HOUSE_ROOT="$scratch/tree" "$here/check_house.sh" ${1:+"$1"} >"$scratch/output" 2>&1 ||
        [ -s "$scratch/output" ]; then
        echo "self-test: refused without a reason:"
        cat "$scratch/output"
        exit 1
    fi
}

# plant PATH LINE EXPECTED: one file with a header comment and, on line 2, LINE.
plant() {
    fresh_tree
    printf '/* a file */\n%s\n' "$2" | put "$1"
    bites "$1:2: $3"
}

# allow PATH LINE: the same, and nothing is wrong with it.
allow() {
    fresh_tree
    printf '/* a file */\n%s\n' "$2" | put "$1"
    passes
}

self_test_includes() {
    plant src/base/a.h '#include "raft/raft.h"' 'include: base may not include raft/raft.h'
    plant src/raft/a.c '#include "storage/wal.h"' 'include: raft may not include'
    plant src/raft/a.c '#include "kvd/command.pb-c.h"' 'include: raft may not include'
    plant src/storage/a.c '  #  include "raft/raft.h"' 'include: storage may not include'
    plant src/storage/a.c '#include "watch/watch.h"' 'include: storage may not include'
    plant src/watch/a.c '#include "rpc/rpc_call.h"' 'include: watch may not include'
    plant src/rpc/a.c '#include "pipeline/mail.h"' 'include: rpc may not include'
    plant src/rpc/a.c '#include "watch/watch.h"' 'include: rpc may not include'
    plant src/pipeline/a.c '#include <grpc/grpc.h>' 'include: pipeline may not include'
    plant src/pipeline/mailbox.c '#include <ck_ring.h>' 'include: ck_ring.h is fenced'
    plant src/storage/mvcc.c '#include <urcu/urcu-qsbr.h>' 'include: urcu/urcu-qsbr.h is fenced'
    plant apps/kvctl/main.c '#include "storage/mvcc.h"' 'include: apps/kvctl may not include'
    plant apps/kvctl/main.c '#include "rpc/rpc_server.h"' 'include: apps/kvctl may not include'
    plant apps/kvbench/main.c '#include "raft/raft.h"' 'include: apps/kvbench may not include'
    plant tools/readwal.c '#include "pipeline/node.h"' 'include: tools may not include'
    plant src/cellar/a.c '#include "base/list.h"' 'include: no such room: cellar'
    allow src/raft/a.c '#include "base/list.h"'
    allow src/raft/a.c '/* #include "storage/wal.h" */'
    allow src/rpc/a.c '#include <grpc/grpc.h>'
    allow src/rpc/a.c '#include "grpc/health/v1/health.pb-c.h"'
    allow src/storage/rcu.h '#include <urcu/urcu-qsbr.h>'
    allow src/pipeline/ring.h '#include <ck_ring.h>'
    plant apps/kvctl/main.c '#include "pipeline/node.h"' 'include: apps/kvctl may not include'
    plant apps/kvbench/main.c '#include "storage/restore.h"' 'include: apps/kvbench may not include'
    plant src/client/a.c '#include <grpc/grpc.h>' 'include: client may not include'
    plant src/client/a.c '#include "rpc/rpc_server.h"' 'include: client may not include'
    plant src/rpc/a.c '#include "client/kvd/client.h"' 'include: rpc may not include'
    plant apps/examples/a.c '#include "base/list.h"' 'include: apps/examples may not include'
    allow src/client/a.c '#include "rpc/rpc_client.h"'
    plant src/client/a.c '#include "rpc/coalescer.h"' 'include: client may not include'
    allow src/client/client_program.c '#include "rpc/coalescer.h"'
    plant src/client/a.c '#include "rpc/rpc_client_dial.h"' 'include: client may not include'
    allow src/client/client_program.c '#include "rpc/rpc_client_dial.h"'
    allow apps/examples/a.c '#include <kvd/client.h>'
    plant apps/kvctl/main.c '#include "rpc/rpc_client.h"' 'include: apps/kvctl may not include'
    allow apps/kvctl/main.c '#include "client/kvd/client.h"'
    allow apps/kvctl/main.c '#include "rpc/rpc_features.h"'
    allow apps/kvctl/main.c '#include "storage/restore.h"'
    allow apps/kvd/main.c '#include "pipeline/node.h"'
}

self_test_calls() {
    for name in malloc calloc realloc free strdup strndup strcpy strcat sprintf vsprintf usleep sleep assert; do
        plant src/raft/a.c "int x = 0; $name (x);" "banned: $name"
        plant apps/kvd/a.c "$name(x);" "banned: $name"
    done
    plant tools/a.c 'x = y ? 0 : (void)free(x);' 'banned: free'
    plant src/base/a.c 'synchronize_rcu();' 'banned: synchronize_rcu'
    plant test/unit/a.c '    synchronize_rcu();' 'banned: synchronize_rcu'
    allow src/base/a.c 'void *m = malloc(1);'
    allow src/raft/a.c 'alloc_free(x); fs->table->free(fs); x.free(y); const char *t = "free(x)"; // free(x)'
    allow src/raft/a.c "int c = '\"'; /* malloc(1) \" */ int d;"
    allow src/raft/a.c '_Static_assert(1, "malloc(1)"); snprintf(a, 1, "sleep(1)");'
}

# function_of LINES NAME: a function of so many lines in all.
function_of() {
    printf 'static int %s(int a,\n    int b)\n{\n' "$2"
    awk -v n="$1" 'BEGIN { for (i = 5; i <= n; i++) print "    a += b;" }'
    printf '}\n'
}

self_test_lengths() {
    fresh_tree
    { echo '/* a file */'; function_of 70 short; echo; function_of 71 long; } | put src/raft/a.c
    bites 'src/raft/a.c:73: length: function of 71 lines'
    fresh_tree
    { echo '/* a file */'; function_of 70 short; echo; function_of 70 other; } | put src/raft/a.c
    passes
    fresh_tree
    { echo '/* a file */'; awk 'BEGIN { for (i = 1; i <= 800; i++) print "int x;" }'; } | put tools/a.c
    bites 'tools/a.c:801: length: file of 801 lines'
}

self_test_rest() {
    fresh_tree
    printf '#include "base/list.h"\n' | put src/raft/a.c
    bites 'src/raft/a.c:1: header:'
    marker=TO; marker=${marker}DO
    plant src/raft/a.c "int x; /* $marker: later */" 'marker:'
    plant test/unit/a.c "int x; /* FIX""ME */" 'marker:'
    plant proto/kvd/a.proto "// HA""CK" 'marker:'
    plant src/raft/a.h 'typedef struct raft raft_t;' 'typedef:'
    plant src/raft/a.h 'typedef uint64_t x_fn;' 'typedef:'
    fresh_tree
    printf '/* a file */\ntypedef struct {\n    int x;\n} raft_t;\n' | put src/raft/a.h
    bites 'src/raft/a.h:2: typedef:'
    allow src/raft/a.h 'typedef void raft_send_fn(void *context);'
    allow src/raft/a.h 'typedef int (*raft_send_fn)(void *context);'
    allow src/raft/a.c 'char path[] = "/tmp/x.XXXXXX"; int typedefs; /* typedef int x; */'
}

# library NAME SOURCE: libkvd_NAME.a of one translation unit, in $scratch/build.
library() {
    rm -rf "$scratch/build"
    mkdir -p "$scratch/build"
    printf '%s\n' "$2" >"$scratch/build/unit.c"
    ${CC:-cc} -w -O0 -fno-builtin -c "$scratch/build/unit.c" -o "$scratch/build/unit.o"
    ar rc "$scratch/build/libkvd_$1.a" "$scratch/build/unit.o"
}

self_test_purity() {
    fresh_tree
    for symbol in pthread_create pthread_mutex_lock open openat write read pread clock_gettime gettimeofday time rand \
        random lrand48 getrandom malloc free printf fprintf log_line; do
        library raft "void $symbol(void); void unit(void) { $symbol(); }"
        bites "(unit.o):0: purity: uses $symbol" "$scratch/build"
        library watch "void $symbol(void); void unit(void) { $symbol(); }"
        bites "(unit.o):0: purity: uses $symbol" "$scratch/build"
    done
    library raft 'void alloc_free(void), raft_open(void), memcpy(void), snprintf(void), assert_fail(void);
        void unit(void) { alloc_free(); raft_open(); memcpy(); snprintf(); assert_fail(); }'
    passes "$scratch/build"
    rm -f "$scratch/build/libkvd_raft.a"
    bites 'no libkvd_raft.a' "$scratch/build"
}

self_test_simulator() {
    fresh_tree
    for symbol in mutant_chosen mutant_choose buggify_fires buggify_start; do
        library raft "int $symbol; int unit(void) { return $symbol; }"
        bites "(unit.o):0: simulator: has $symbol" "$scratch/build"
        library raft "extern int $symbol; int unit(void) { return $symbol; }"
        bites "(unit.o):0: simulator: has $symbol" "$scratch/build"
        echo 'KVD_SIM:BOOL=ON' >"$scratch/build/CMakeCache.txt"
        passes "$scratch/build"
    done
    library raft 'int raft_mutant_, debuggify_; int unit(void) { return raft_mutant_ + debuggify_; }'
    passes "$scratch/build"
}

self_test() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    self_test_includes
    self_test_calls
    self_test_lengths
    self_test_rest
    self_test_purity
    self_test_simulator
    echo "self-test: $canaries canaries, every rule bites"
}

if [ "${1:-}" = --self-test ]; then
    self_test
else
    build=${1:+$(CDPATH='' cd -- "$1" && pwd)}
    cd "$root"
    check_all "${build:-}"
fi
