# help_to_man.awk: a program's --help, which begins with "name - what it is", as a page of man(7). A line "Title:" begins a section.
function safe(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    gsub(/~/, "\\(ti", text)
    gsub(/\^/, "\\(ha", text)
    sub(/^\./, "\\\\\\&.", text)
    return text
}
function section(title) {
    if (is_block) print ".fi"
    printf ".SH \"%s\"\n.nf\n", toupper(title)
    is_block = 1
}
NR == 1 {
    name = $1
    sub(/^[^ ]+ - /, "")
    printf ".\\\" Made from `%s --help`.\n.TH %s 1 \"\" \"kvd\" \"kvd\"\n.SH NAME\n%s \\- %s\n", name, toupper(name), name, safe($0)
    next
}
/^[A-Z][a-z ]*:$/ {
    section(substr($0, 1, length($0) - 1))
    is_gap = 0
    next
}
$0 == "" {
    is_gap = is_block
    next
}
{
    if (is_gap && $0 ~ /^[^ ]/ && !is_notes) {
        section("Notes")
        is_notes = 1
    } else if (is_gap) {
        print ""
    }
    is_gap = 0
    print safe($0)
}
END { if (is_block) print ".fi" }
