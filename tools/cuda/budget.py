#!/usr/bin/env python3
"""Holds every CUDA kernel to a budget of registers, spills and shared memory.

    tools/cuda/budget.py check BUDGET OBJECT...      fails naming each kernel over its limit; LOG is OBJECT.log
    tools/cuda/budget.py list OBJECT...              what each kernel takes, as a table

OBJECT.log is what nvcc said with -Xptxas=-v while it compiled OBJECT: tools/cuda/keep_log keeps it. BUDGET has one line for a
family of kernels: a pattern of the kernel's name (* for anything), then the most registers, bytes of stack and spills,
and bytes of shared memory. The first line that matches counts; the last line, `*`, is for all others. A line that no
kernel matches is an error too, so that the table stays true. Kernels of one name and architecture count as one, by the
largest of each.
"""

import argparse
import dataclasses
import fnmatch
import pathlib
import re
import subprocess
import sys

ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


@dataclasses.dataclass
class Usage:
    registers: int = 0
    stack: int = 0  # bytes of stack, or of spills where those are more
    shared: int = 0

    def widen(self, other):
        self.registers = max(self.registers, other.registers)
        self.stack = max(self.stack, other.stack)
        self.shared = max(self.shared, other.shared)


QUANTITIES = {"registers": "registers", "stack": "bytes of stack or spills", "shared": "bytes of shared memory"}


class Problem(Exception):
    pass


def parse(text):
    """(mangled name, architecture, Usage) of each kernel in what ptxas said."""
    found = []
    name = frame = None
    for line in text.splitlines():
        if match := ENTRY.search(line):
            if name is not None:
                raise Problem(f"{name[0]}: ptxas tells no registers")
            name, frame = match.groups(), None
        elif name is not None and (match := FRAME.search(line)):
            frame = max(map(int, match.groups()))
        elif name is not None and (match := REGISTERS.search(line)):
            if frame is None:
                raise Problem(f"{name[0]}: ptxas tells no stack frame")
            shared = SHARED.search(line)
            found.append((*name, Usage(int(match[1]), frame, int(shared[1]) if shared else 0)))
            name = None
    if name is not None:
        raise Problem(f"{name[0]}: ptxas tells no registers")
    return found


def demangle(names):
    lines = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return dict(zip(names, lines.splitlines(), strict=True))


def readable(demangled):
    """What is launched, without the ragged launch around it and the names of namespaces and argument lists."""
    name = re.sub(r"\(anonymous namespace\)::|\blikeness::(cuda::)?|^void ", "", demangled)
    depth, end = 0, len(name)
    for at, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0:
            end = at
            break
    name = name[:end].strip()
    if match := re.fullmatch(r"RaggedKernel<(.*?) ?>", name):
        name = match[1]
    return name.replace("> >", ">>").replace("> >", ">>")


def read_objects(objects):
    """Usage by readable name and architecture, for all objects that nvcc made."""
    found = []
    for path in objects:
        log = pathlib.Path(f"{path}.log")
        if not log.exists():
            raise Problem(f"{log} is missing: {path} was not compiled through tools/cuda/keep_log")
        found += parse(log.read_text())
    if not found:
        raise Problem("no kernel in any log: was it compiled with -Xptxas=-v?")
    names = demangle(sorted({name for name, _, _ in found}))
    usages = {}
    for name, architecture, usage in found:
        usages.setdefault((readable(names[name]), architecture), Usage()).widen(usage)
    return usages


def read_budget(text):
    """[(pattern, Usage)], the default last."""
    lines = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\S.*?)\s+(\d+)\s+(\d+)\s+(\d+)", line)
        if not match:
            raise Problem(f"cannot read the budget's line '{line}'")
        lines.append((match[1], Usage(*map(int, match.groups()[1:]))))
    if not lines or lines[-1][0] != "*":
        raise Problem("the budget's last line must be for all other kernels: *")
    return lines


def check(budget, usages):
    """What is wrong, one sentence each."""
    wrong, matched = [], {"*"}
    for (name, architecture), usage in sorted(usages.items()):
        pattern, limit = next((p, u) for p, u in budget if fnmatch.fnmatchcase(name, p))
        matched.add(pattern)
        for field, unit in QUANTITIES.items():
            value, most = getattr(usage, field), getattr(limit, field)
            if value > most:
                wrong.append(f"{name} (sm_{architecture}): {value} {unit}, the limit of '{pattern}' is {most}")
    wrong += [f"the budget's line '{pattern}' matches no kernel" for pattern, _ in budget if pattern not in matched]
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check")
    checking.add_argument("budget", type=pathlib.Path)
    for command in (checking, commands.add_parser("list")):
        command.add_argument("objects", nargs="+", metavar="OBJECT")
    arguments = parser.parse_args()
    try:
        # Objects of the host's compiler have no kernels and no log.
        usages = read_objects([path for path in arguments.objects if path.endswith((".cu.o", ".cu.obj"))])
        if arguments.command == "list":
            for (name, architecture), usage in sorted(usages.items(), key=lambda item: -item[1].registers):
                print(f"{usage.registers:4} {usage.stack:4} {usage.shared:6}  sm_{architecture}  {name}")
            return 0
        wrong = check(read_budget(arguments.budget.read_text()), usages)
    except Problem as problem:
        wrong = [str(problem)]
    for line in wrong:
        print(f"tools/cuda/budget.py: {line}", file=sys.stderr)
    if not wrong:
        print(f"{len(usages)} kernels are within the budget")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
