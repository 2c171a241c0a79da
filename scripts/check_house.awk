# check_house.awk: the rules of the house that can be read off one source line or one function.
#
# Input: C sources of src, apps, tools (paths relative to the root). Output: "file:line: rule: what is wrong"; the exit
# code is 1 if anything was printed but warnings. Comments and literals are blanked before code rules look at a line.

BEGIN {
    allowed["base"] = "base"
    allowed["raft"] = "base raft"
    allowed["storage"] = "base storage proto"
    allowed["watch"] = "base storage watch"
    allowed["rpc"] = "base raft storage rpc proto grpc"
    allowed["client"] = "base rpc_client rpc_features client"
    allowed["pipeline"] = "base raft storage watch rpc pipeline proto"
    allowed["apps/kvd"] = "base raft storage watch rpc pipeline proto"
    allowed["apps/kvctl"] = "base rpc_features client restore first_start proto"
    allowed["apps/kvbench"] = "base client proto"
    allowed["apps/examples"] = ""
    allowed["tools"] = "base raft storage proto"
    fence["ck"] = "src/pipeline/ring.h"
    fence["microhttpd"] = "src/rpc/http_front.c"
    fence["gnutls"] = "src/rpc/http_front.c src/rpc/http_tls.c"
    fence["urcu"] = "src/storage/rcu.h src/storage/rcu.c"
    banned = "malloc calloc realloc free strdup strndup strcpy strcat sprintf vsprintf usleep sleep assert"
    split(banned, banned_names, " ")
    FUNCTION_LINES_MAX = 70
    FILE_LINES_WARN = 700
    FILE_LINES_MAX = 800
}

function complain(line, rule, text)
{
    printf "%s:%d: %s: %s\n", FILENAME, line, rule, text
    failed = 1
}

function has_word(words, word) { return index(" " words " ", " " word " ") > 0 }

function room_of(path, parts)
{
    split(path, parts, "/")
    if (parts[1] == "src") return parts[2]
    if (parts[1] == "apps") return "apps/" parts[2]
    return parts[1]
}

# The line with comments and literals blanked; in_comment carries over lines.
function code_of(line, out, i, c, two, quote)
{
    if (!in_comment && line !~ /["'\/]/) return line
    out = ""
    quote = ""
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        two = substr(line, i, 2)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++ }
        } else if (quote != "") {
            if (c == "\\") i++
            else if (c == quote) { quote = ""; out = out c }
        } else if (two == "/*") {
            in_comment = 1
            i++
            out = out " "
        } else if (two == "//") {
            return out
        } else {
            if (c == "\"" || c == "'") quote = c
            out = out c
        }
    }
    return out
}

# What an include leads to: a room, "proto", "grpc", "ck", "gnutls", "urcu", "rpc_client", "rpc_features", or "" (the C library and the like).
function target_of(path, is_quoted, parts)
{
    if (path ~ /\.pb-c\.h$/ || path ~ /^protobuf-c\//) return "proto"
    if (path ~ /^(grpc|grpcpp|absl)\// || path ~ /^src\/core\//) return "grpc"
    if (path ~ /^ck_/) return "ck"
    if (path ~ /^microhttpd/) return "microhttpd"
    if (path ~ /^gnutls\//) return "gnutls"
    if (path ~ /^urcu/) return "urcu"
    if (!is_quoted || path !~ /\//) return ""
    if (room ~ /^(client|apps\/kvctl)$/ && path == "rpc/rpc_features.h") return "rpc_features"
    if (room == "client" && path == "rpc/rpc_client.h") return "rpc_client"
    if (FILENAME == "src/client/client_program.c" && path ~ /^rpc\/(coalescer|rpc_client_dial|rpc_client_process)\.h$/) return "rpc_client"
    if (room == "apps/kvctl" && path == "storage/restore.h") return "restore"
    if (room == "apps/kvctl" && path == "pipeline/first_start.h") return "first_start"
    split(path, parts, "/")
    return parts[1] == "apps" ? "apps/" parts[2] : parts[1]
}

function check_include(line, path, is_quoted, target)
{
    is_quoted = line ~ /include[ \t]*"/
    path = line
    sub(/^[ \t]*#[ \t]*include[ \t]*["<]/, "", path)
    sub(/[">].*$/, "", path)
    target = target_of(path, is_quoted)
    if (target == "" || target == room) return
    if (target in fence) {
        if (!has_word(fence[target], FILENAME)) complain(FNR, "include", path " is fenced in " fence[target])
        return
    }
    if (!(room in allowed))
        complain(FNR, "include", "no such room: " room)
    else if (!has_word(allowed[room], target))
        complain(FNR, "include", room " may not include " path)
}

function check_calls(code, i, name)
{
    if (code ~ /(^|[^A-Za-z0-9_])synchronize_rcu[ \t]*\(/) complain(FNR, "banned", "synchronize_rcu")
    if (room == "base") return
    for (i in banned_names) {
        name = banned_names[i]
        if (index(code, name) == 0) continue
        if (code ~ ("(^|[^A-Za-z0-9_.>])" name "[ \t]*\\(")) complain(FNR, "banned", name)
    }
}

# A function ends at the first "}" in column 0; its length counts from its first line to that one.
function check_function(line)
{
    if (body_start == 0) {
        if (line ~ /^[A-Za-z_]/) signature = FNR
        if (line ~ /^\{[ \t]*$/ || line ~ /^[A-Za-z_].*\)[ \t]*\{[ \t]*$/) body_start = signature > 0 ? signature : FNR
        if (line ~ /^[ \t]*$/ || line ~ /;[ \t]*$/) signature = 0
    } else if (line ~ /^\}/) {
        if (FNR - body_start + 1 > FUNCTION_LINES_MAX)
            complain(body_start, "length", "function of " FNR - body_start + 1 " lines (at most " FUNCTION_LINES_MAX ")")
        body_start = 0
        signature = 0
    }
}

function check_typedef(code)
{
    if (pending_typedef == "" && code ~ /(^|[^A-Za-z0-9_])typedef[ \t]/) typedef_line = FNR
    else if (pending_typedef == "") return
    pending_typedef = pending_typedef " " code
    if (code !~ /;/) return
    if (pending_typedef !~ /[A-Za-z0-9]_fn[ \t]*\)?[ \t]*\(/) complain(typedef_line, "typedef", "only function types, named *_fn")
    pending_typedef = ""
}

function end_file()
{
    if (file == "") return
    if (file_lines > FILE_LINES_MAX) {
        printf "%s:%d: length: file of %d lines (at most %d)\n", file, file_lines, file_lines, FILE_LINES_MAX
        failed = 1
    } else if (file_lines > FILE_LINES_WARN) {
        printf "%s:%d: warning: file of %d lines\n", file, file_lines, file_lines
    }
}

FNR == 1 {
    end_file()
    file = FILENAME
    room = room_of(FILENAME)
    in_comment = 0
    body_start = 0
    signature = 0
    pending_typedef = ""
    if ($0 !~ /^(\/\*|\/\/)/) complain(1, "header", "the file does not begin with a comment that says what it is")
}

{
    file_lines = FNR
    was_in_comment = in_comment
    code = code_of($0)
    if (!was_in_comment && $0 ~ /^[ \t]*#[ \t]*include/) check_include($0)
    check_calls(code)
    check_function(code)
    check_typedef(code)
}

END {
    end_file()
    exit failed
}
