#!/usr/bin/python3
"""Runs what stands in one page of the documents: see ../test_documents.sh, which gives it namespaces of its own.

    page.py ROOT DIRECTORY PAGE

A fence says what its block is:
    sh          a script; it must succeed
    console     commands behind "$ " and what they print; "…" is any text of a line, or any lines if it stands alone
    sh hosts    a script that each of three hosts runs at the same time, with its own name, address, settings and data
    sh host=n2  one of them; console as well
    sh not-run  is not run; the first line says why: "# not run by the test: REASON"
    python js c programs against the cluster that the page has started
    yaml        alert rules: a member must have the metrics that they name
    proto       lines of proto/kvd/extra.proto or proto/etcdserverpb/rpc.proto
    go java text json    are read by people only
Blocks of a page share directory and exported variables, those of a host among themselves.
"""
import os
import re
import subprocess
import sys
import time
import urllib.request

KINDS = {'sh', 'console', 'python', 'js', 'c', 'yaml', 'proto', 'go', 'java', 'text', 'json'}
FOREIGN_FLAGS = {'--now', '--version', '--endpoints', '--help'}
TIMEOUT_S = 120
HOST_LINE = 'name=n1 ip=10.0.0.1'
HOSTS = {'n1': '10.0.0.1', 'n2': '10.0.0.2', 'n3': '10.0.0.3'}
PROTOS = ('proto/kvd/extra.proto', 'proto/etcdserverpb/rpc.proto')
MARK = '\x01'


class Block:
    def __init__(self, line, info, text):
        self.line = line
        words = info.split()
        self.kind = words[0] if words else ''
        self.options = words[1:]
        self.text = text

    def option(self, name):
        return next((word[len(name) + 1:] for word in self.options if word.startswith(name + '=')), None)


class Page:
    def __init__(self, root, directory, name):
        self.root = root
        self.directory = directory
        self.name = name
        self.passed = self.failed = self.skipped = 0
        self.lines = read(root, name).split('\n')
        self.is_broken = False
        self.blocks = []
        self.prose = []

    def ok(self):
        self.passed += 1

    def fail(self, line, what):
        self.failed += 1
        print(f'FAILED: {self.name}:{line}: ' + what.rstrip().replace('\n', '\n    '))

    def skip(self, line, what):
        self.skipped += 1
        print(f'SKIPPED: {self.name}:{line}: {what}')

    # --- reading --------------------------------------------------------------------------------------------------

    def parse(self):
        fence = None
        body = []
        for number, line in enumerate(self.lines, 1):
            match = re.match(r'( *)```(.*)$', line)
            if match and fence is None:
                fence = (number, len(match.group(1)), match.group(2))
                body = []
            elif match:
                self.blocks.append(Block(fence[0], fence[2], '\n'.join(text[fence[1]:] for text in body) + '\n'))
                fence = None
            elif fence is not None:
                body.append(line)
            else:
                self.prose.append((number, line))
        if fence is not None:
            self.fail(fence[0], 'this fence has no end')

    def look(self):
        """What can be said about the page without running it."""
        before = self.failed
        for block in self.blocks:
            if block.kind not in KINDS:
                self.fail(block.line, f'"{block.kind}" is no kind of block that the test knows')
            if 'not-run' in block.options and not block.text.startswith('# not run by the test: '):
                self.fail(block.line, 'a block that is not run begins with "# not run by the test: REASON"')
        for (number, line), (_, above) in zip(self.prose[1:], self.prose):
            if re.match(r' {4,}\S', line) and above == '':
                self.fail(number, 'an indented block has no kind: use a fence')
            for target, anchor in re.findall(r'\]\(([^)#]*)#?([^)]*)\)', line):
                name = os.path.join(os.path.dirname(self.name), target) if target else self.name
                if '://' not in target and not (os.path.exists(os.path.join(self.root, name)) and self.has_anchor(name, anchor)):
                    self.fail(number, f'there is no {target}#{anchor}')
        self.look_at_flags()
        self.look_at_errors()
        self.look_at_figures()
        if self.failed == before:
            self.ok()

    def has_anchor(self, name, anchor):
        titles = re.findall(r'^#+ (.*)$', read(self.root, name), re.M) if anchor else []
        return not anchor or anchor in [re.sub(r'[^a-z0-9 -]', '', title.lower()).replace(' ', '-') for title in titles]

    def look_at_flags(self):
        known = FOREIGN_FLAGS | set(re.findall(r'--[a-z][a-z0-9-]+', help_texts(self.root)))
        for number, line in self.prose:
            for code in re.findall(r'`([^`]*)`', line):
                for flag in re.findall(r'(?<![\w-])--[a-z][a-z0-9-]+', code):
                    if flag not in known:
                        self.fail(number, f'no --help of ours knows {flag}')

    def look_at_errors(self):
        """A text of an error is one that the server has, with the code that the table gives it."""
        table = dict((text, code) for code, text in re.findall(r'X\(\w+, (\w+), "([^"]+)"\)', read(self.root, 'src/base/err.h')))
        for number, line in self.prose:
            texts = re.findall(r'`(etcdserver: [^`]*)`', line)
            code = re.search(r'` \| ([A-Z_]{5,}) \|', line)
            for text in texts:
                if text not in table or (code and code.group(1) != table[text]):
                    self.fail(number, f'"{text}" is {table.get(text, "no error")}')

    def look_at_figures(self):
        """A row that holds kvd beside etcd stands in ARCHITECTURE.md, where the command is that printed it."""
        known = ' '.join(read(self.root, 'ARCHITECTURE.md').split())
        is_table = False
        for number, line in self.prose:
            is_table = line.startswith('|') and (is_table or '| kvd | etcd |' in line)
            cells = line.strip('| ').split(' | ')
            if is_table and re.search(r'\d', line) and ' '.join(' | '.join(cells[-4:]).split()) not in known:
                self.fail(number, 'these figures are not in ARCHITECTURE.md')

    # --- running --------------------------------------------------------------------------------------------------

    def run(self):
        began = time.monotonic()
        for block in self.blocks:
            if os.environ.get('DOCUMENTS_TIMES'):
                print(f'{self.name}:{block.line}: after {time.monotonic() - began:.1f} s')
            if self.is_broken:
                print(f'{self.name}: the rest of the page was not run')
                return
            if 'not-run' in block.options:
                self.skip(block.line, block.text.split('\n')[0].partition(': ')[2])
            elif block.kind in ('sh', 'console'):
                self.run_shell(block)
            elif block.kind in ('python', 'js', 'c'):
                self.run_program(block)
            elif block.kind == 'yaml':
                self.look_at_metrics(block)
            elif block.kind == 'proto':
                self.look_at_proto(block)
            elif block.kind in ('go', 'java'):
                self.skip(block.line, f'{block.kind}: its client library is not here, so nobody has run this text')

    def run_shell(self, block):
        hosts = [block.option('host')] if block.option('host') else sorted(HOSTS) if 'hosts' in block.options else [None]
        script = console_script(block.text) if block.kind == 'console' else 'set -euo pipefail\n' + block.text
        started = [self.start(block, script, host) for host in hosts]
        results = [self.finish(*one) for one in started]
        for host, (code, output) in zip(hosts, results):
            where = f' on {host}' if host else ''
            if block.kind == 'console':
                problem = compare_console(block.text, output)
            else:
                problem = None if code == 0 else f'exit {code}:\n{output}'
            if problem:
                self.fail(block.line, f'this block{where}: {problem}')
                self.is_broken = True # what comes next builds upon it
                return
        self.ok()

    def start(self, block, script, host):
        base = os.path.join(self.directory, host or 'here')
        os.makedirs(base, exist_ok=True)
        if host:
            script = script.replace(HOST_LINE, f'name={host} ip={HOSTS[host]}')
        path = os.path.join(base, f'block{block.line}.sh')
        state = os.path.join(base, 'state')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'[ ! -e {state} ] || . {state}\n{script}\ncode=$?\n{{ export -p; printf "cd %q\\n" "$PWD"; }} >{state}\nexit $code\n')
        command = ['bash', path]
        if host:
            command = ['unshare', '--mount', os.path.join(self.root, 'test/e2e/documents/on_host'), base] + command
        log = open(path + '.out', 'w+b')
        return subprocess.Popen(command, cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log), log

    @staticmethod
    def finish(process, log):
        try:
            code = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = f'{TIMEOUT_S} s are over'
        log.seek(0)
        return code, log.read().decode('utf-8', 'replace')

    def run_program(self, block):
        path = os.path.join(self.directory, f'program{block.line}.{block.kind}')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(block.text)
        modules = os.path.join(self.root, 'build/clients/node_modules')
        if block.kind == 'js' and not os.path.exists(modules):
            self.skip(block.line, 'js: npm\'s etcd3 is not installed')
            return
        runner = {'python': f'/usr/bin/python3 {path}', 'js': f'NODE_PATH={modules} node {path}',
                  'c': f'gcc -std=c11 -Wall -Wextra -Werror -D_GNU_SOURCE {path} -o {path}.program '
                       f'$(pkg-config --cflags --libs kvd-client) && {path}.program'}[block.kind]
        code, output = self.finish(*self.start(block, runner, None))
        if code == 0:
            self.ok()
        else:
            self.fail(block.line, f'this program ends with {code}:\n{output}')

    def look_at_metrics(self, block):
        known = set(re.findall(r'^# TYPE (\S+)', metrics(), re.M))
        names = set(re.findall(r'\b(?:etcd|kvd|process|grpc|os)_[a-z_]+', block.text))
        missing = {name for name in names if re.sub(r'_(bucket|sum|count)$', '', name) not in known and name not in known}
        if missing or not names:
            self.fail(block.line, f'no member has these metrics: {sorted(missing)}')
        else:
            self.ok()

    def look_at_proto(self, block):
        known = set()
        for name in PROTOS:
            known |= {squeezed(line) for line in read(self.root, name).split('\n')}
        strange = [line for line in block.text.split('\n') if squeezed(line) not in known]
        if strange:
            self.fail(block.line, 'not in our .proto files: ' + strange[0])
        else:
            self.ok()


def read(root, name):
    with open(os.path.join(root, name), encoding='utf-8') as file:
        return file.read()


def squeezed(line):
    return ' '.join(line.split('//')[0].split())


def help_texts(root):
    """All that our programs say of themselves."""
    def ask(*words):
        return subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout
    text = ask('bin/kvd', '--help')
    for program in ('kvctl', 'kvbench'): # their pages have the help of every command
        text += ask('bin/' + program, 'man').replace('\\-', '-')
    for tool in ('readwal', 'readstate', 'readsnapshot', 'readpb'):
        text += ask('bin/' + tool, '--help')
    return text


def metrics():
    for _ in range(2):
        for address in ('127.0.0.1', '10.0.0.1'):
            try:
                return urllib.request.urlopen(f'http://{address}:2379/metrics', timeout=5).read().decode()
            except OSError:
                pass
        time.sleep(0.5)
    return ''


def console_commands(text):
    """[(command, expected lines)]; a command goes on while its line ends with a backslash, and over lines that begin with "> "."""
    found = []
    is_open = False
    for line in text.rstrip('\n').split('\n'):
        if line.startswith('$ '):
            found.append([line[2:], []])
        elif found and is_open:
            found[-1][0] += '\n' + line
        elif found and (line == '>' or line.startswith('> ')):
            found[-1][0] += '\n' + line[2:]
            continue
        elif found:
            found[-1][1].append(line)
            continue
        is_open = line.endswith('\\')
    return found


def console_script(text):
    script = ''
    for command, _ in console_commands(text):
        script += f"{command}\nprintf '{MARK}%s{MARK}' $?\n"
    return script + 'true'


def compare_console(text, output):
    commands = console_commands(text)
    parts = output.split(MARK)
    if not commands or len(parts) < 2 * len(commands) + 1:
        return 'did not come to its end:\n' + output
    for place, (command, expected) in enumerate(commands):
        actual, code = parts[2 * place], parts[2 * place + 1]
        pattern = ''.join('(?:.*\n)*?' if line.strip() == '…' else
                          '.*'.join(re.escape(piece) for piece in line.split('…')) + '\n' for line in expected)
        if actual and not actual.endswith('\n'):
            actual += '\n'
        if code != '0':
            return f'$ {command}\nexit {code}:\n{actual}'
        if expected and not re.fullmatch(pattern, actual):
            return f'$ {command}\nprints\n{actual}and the page says\n' + '\n'.join(expected)
    return None


def main():
    page = Page(*sys.argv[1:4])
    page.parse()
    page.look()
    page.run()
    print(f'{page.passed} passed, {page.failed} failed, {page.skipped} skipped')
    sys.exit(page.failed != 0)


main()
