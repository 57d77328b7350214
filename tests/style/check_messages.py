"""Every message of the program is in the tables of docs/operations.md below "## Messages", and every
row there is a message of the program. Usage: check_messages.py REPOSITORY

A message is what is given to the calls in CARRIERS: string literals, those beside each other joined,
with fmt::format(), + and ?:, and what the file calls by a name (const auto kName = "text"). What is filled in is "..." in code and
table; it does not count at either end. Texts that are only handed on (ONLY_HANDED_ON) are made
elsewhere: there, or by libfuse, libzip, RapidJSON and the system's errno. Words that are filled in
are not seen, as "was killed by SIGSEGV" in "the worker ...; another one takes over".
"""

import itertools
import pathlib
import re
import sys

# The number of the argument that is the message, by call.
CARRIERS = {"LogError": 0, "LogWarning": 0, "LogInfo": 0, "UsageError": 0, "ErrnoError": 0, "GiveUp": 0,
            "Error": 1, "Blame": 1, "report": 1, "write_": 1, "Write": 2, "Take": 1, "print": 1, "format": 0}
# Functions whose literals are handed on as reasons.
REASONS = {"ReasonToHide", "ReasonOf", "RemedyFor", "WhyFailed", "WhyNoArchive"}
ONLY_HANDED_ON = {"error.what()", "reason", "*reason", "util::TakeLastMessage()", '"{}"', "line",
                  "bad->second.reason"}
# Answers that every program knows. They are neither logged nor in user.skopsfs.error.
ONLY_ANSWERED = {"ESTALE", "EISDIR", "ENODATA", "EROFS", "ECANCELED"}
NO_MESSAGES = {"util/error.h", "util/log.h"}  # what makes them
OTHER_PROGRAMS = {"ctl", "ctl_main.cc", "python"}  # skopsfsctl, and a package

TOKEN = re.compile(r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/|\#[^\n]*)|(?P<text>"(?:\\.|[^"\\])*")"""
                   r"""|(?P<other>'(?:\\.|[^'\\])'|[A-Za-z_]\w*|\d[\w.']*|::|->|.)""", re.S)
OPEN, CLOSE = "([{", ")]}"


def tokens_of(source):
    return [match.group() for match in TOKEN.finditer(source) if not match.group("skip")]


def end_of(tokens, start):
    """The index behind the bracket that closes the one at `start`."""
    depth = 0
    for at in range(start, len(tokens)):
        depth += (tokens[at] in OPEN) - (tokens[at] in CLOSE)
        if depth == 0:
            return at + 1
    return len(tokens)


def split(tokens, separator):
    """At `separator`, but not inside of brackets."""
    parts, depth = [[]], 0
    for token in tokens:
        depth += (token in OPEN) - (token in CLOSE)
        if token == separator and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def literal(tokens):
    return "".join(token[1:-1] for token in tokens).replace('\\"', '"').replace("\\n", "\n")


def templates(tokens, names):
    """The texts that an expression can have; `names` has those of the variables in it."""
    choice = split(tokens, "?")
    if len(choice) == 2:
        return [text for part in split(choice[1], ":") for text in templates(part, names)]
    parts = split(tokens, "+")
    if len(parts) > 1:
        every = itertools.product(*(templates(part, names) for part in parts))
        return ["".join(texts) for texts in every]
    if tokens and all(token.startswith('"') for token in tokens):
        return [literal(tokens)]
    if len(tokens) == 1 and tokens[0] in names:
        return names[tokens[0]]
    name = "".join(tokens[:tokens.index("(")]) if "(" in tokens else None
    if name in ("", "fmt::format", "std::string") and end_of(tokens, tokens.index("(")) == len(tokens):
        return templates(split(tokens[tokens.index("(") + 1:-1], ",")[0], names)
    return ["..."]


def normal(text):
    text = re.sub(r"\{[^}]*\}", "...", " ".join(text.split()))
    return re.sub(r"(\.\.\.)+", "...", text).strip(". ")


def returned(tokens, at):
    """The texts that the function whose name is at `at` returns; none if that is only a call."""
    body = end_of(tokens, at + 1)
    body += tokens[body:body + 1] == ["const"]
    if tokens[body:body + 1] != ["{"]:
        return []
    inside = tokens[body:end_of(tokens, body)]
    starts = [i for i, token in enumerate(inside) if token == "return"]
    return [inside[i + 1:inside.index(";", i)] for i in starts]


def is_message_in(call, arguments):
    """Whether `call` is one that carries a message, and not a declaration of one."""
    if call not in CARRIERS or len(arguments) <= CARRIERS[call]:
        return False
    if arguments[CARRIERS[call]][:1] == ["const"] or arguments[0][-1:] in ([x] for x in ONLY_ANSWERED):
        return False
    if call == "print":
        return arguments[0] == ["stderr"]
    return call != "format" or arguments[0][0].startswith('"skopsfs: ')  # a line that is made by hand


def messages_of(tokens):
    """Pairs of a message and whether it can be seen what it is."""
    names = {}
    for at, token in enumerate(tokens[:-1]):
        if tokens[at + 1] == "=" and tokens[at - 1] in ("auto", "string", "&"):
            names[token] = templates(tokens[at + 2:tokens.index(";", at)], names)
        if tokens[at + 1] != "(":
            continue
        if token in REASONS:
            found = [templates(expression, names) for expression in returned(tokens, at)]
            yield from ((text, True) for texts in found for text in texts if normal(text))
        arguments = split(tokens[at + 2:end_of(tokens, at + 1) - 1], ",")
        if not is_message_in(token, arguments):
            continue
        expression = arguments[CARRIERS[token]]
        for text in templates(expression, names):
            text += ": ..." if token == "ErrnoError" else ""
            if normal(text):
                yield text, True
            elif text and "".join(expression) not in ONLY_HANDED_ON:
                yield "".join(expression), False


def in_code(src):
    """The place of each message, and faults."""
    found, faults = {}, []
    for path in sorted(src.rglob("*.cc")) + sorted(src.rglob("*.h")):
        place = str(path.relative_to(src))
        if place in NO_MESSAGES or place.split("/")[0] in OTHER_PROGRAMS:
            continue
        for text, is_seen in messages_of(tokens_of(path.read_text())):
            if is_seen:
                found.setdefault(normal(text), (place, text))
            else:
                faults.append(f"src/{place}: no message can be seen in {text}")
    return found, faults


def in_tables(page):
    """The messages in the first columns, as they are written there."""
    section = page.read_text().split("\n## Messages\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [text for row in rows for text in re.findall(r"`([^`]+)`", row.split("|")[1])]


def main() -> int:
    repository = pathlib.Path(sys.argv[1])
    found, faults = in_code(repository / "src")
    listed = in_tables(repository / "docs" / "operations.md")
    known = {normal(text) for text in listed}
    faults += [f'src/{place}: not in docs/operations.md, "Messages": {text}'
               for key, (place, text) in found.items() if key not in known]
    faults += [f"docs/operations.md: no message of the program: {text}"
               for text in listed if normal(text) not in found]
    for fault in faults:
        print(fault)
    print(f"{len(found)} messages, {len(faults)} faults")
    return 1 if faults or len(found) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
