"""Whether the links between documents lead somewhere, in a repository or where its documents are installed
(share/doc/skopsfs). Usage: check_links.py ROOT

- Each link and picture of README.md, docs/*.md and docs/*.ipynb is there, below ROOT, and so is the heading that it
  names (#...). Addresses on the network are not looked at.
- README.md leads to docs/README.md, and so to each answer in two clicks.
- docs/README.md leads to each page, man page and notebook in docs/. It lists at least twenty questions, each with a
  link to a heading that answers it.
- Each page begins with a paragraph, which says what it answers.
"""

import collections
import json
import os
import pathlib
import re
import sys

CODE = re.compile(r"^ *```.*?^ *```$|^<!--.*?-->|`+[^`]+`+", re.M | re.S)
LINK = re.compile(r"\]\(<?([^)\s>]+)|^\[[^\]]+\]: *(\S+)|\b(?:href|src|srcset)=\"([^\"\s]+)", re.M)
QUESTION = re.compile(r"^- \[([^\]]+\?)\]\(([^)]+)\)", re.M)


def text_of(page):
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def links_of(page):
    return ["".join(found) for found in LINK.findall(CODE.sub("", text_of(page)))]


def anchors_of(page):
    """The names that GitHub gives to the headings of a page."""
    text = re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.M | re.S)
    found, seen = set(), collections.Counter()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", text, re.M):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def target_of(page, link):
    """The path that a link names, without following any link of the filesystem."""
    path = link.partition("#")[0]
    return pathlib.Path(os.path.normpath(page.parent / path)) if path else page


def fault_of(root, page, link):
    """What is wrong with a link; nothing if it is well."""
    if re.match(r"\w+:", link):
        return ""
    target, anchor = target_of(page, link), link.partition("#")[2]
    if not target.is_relative_to(root):
        return "leads out of the folder"
    if not target.exists():
        return "is not there"
    if anchor and (target.suffix != ".md" or anchor not in anchors_of(target)):
        return "has no such heading"
    return ""


def faults_of_index(docs):
    index = docs / "README.md"
    linked = {target_of(index, link) for link in links_of(index)}
    faults = [f"docs/README.md: no link to {page.name}" for page in sorted(docs.iterdir())
              if page.suffix in (".md", ".1", ".ipynb") and page != index and page not in linked]
    questions = QUESTION.findall(index.read_text(encoding="utf-8"))
    faults += [f"docs/README.md: {question}: {link} names no heading" for question, link in questions if "#" not in link]
    asked = {question for question, _ in questions}
    if len(asked) < 20 or len(asked) != len(questions):
        faults.append(f"docs/README.md: {len(asked)} different questions, and twenty at least are wanted")
    return faults


def main() -> int:
    root = pathlib.Path(sys.argv[1]).resolve()
    docs = root / "docs"
    pages = [root / "README.md", *sorted(docs.glob("*.md")), *sorted(docs.glob("*.ipynb"))]
    links = [(page, link) for page in pages for link in links_of(page)]
    faults = [f"{page.relative_to(root)}: {link} {fault}" for page, link in links if (fault := fault_of(root, page, link))]
    faults += [f"{page.relative_to(root)}: a paragraph below the title is to say what the page answers" for page in pages
               if not re.match(r"# [^\n]+\n\n(?!#|```|<|\||>|!|[*-] |\d+\. )\S", text_of(page))]
    if docs / "README.md" not in {target_of(page, link) for page, link in links if page == root / "README.md"}:
        faults.append("README.md: no link to docs/README.md")
    faults += faults_of_index(docs)
    for fault in faults:
        print(fault)
    print(f"{len(links)} links of {len(pages)} pages, {len(faults)} faults")
    return 1 if faults or len(links) < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
