"""quotes.py DOCUMENT FOLDER: each block of C in the document stands, as it is, in a source of the folder; and each file and function that it names is there."""
import pathlib
import re
import sys

document = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
sources = {path.name: path.read_text(encoding="utf-8") for path in pathlib.Path(sys.argv[2]).glob("*.[ch]")}
failures = []
blocks = re.findall(r"^```c\n(.*?)^```$", document, re.M | re.S)
if not blocks:
    failures.append("the document quotes nothing")
for block in blocks:
    if not any(block in text for text in sources.values()):
        failures.append("not in the example:\n" + block)
for name in re.findall(r"`([a-z_]+\.[ch])`", document):
    if name not in sources and name != "keywright.h":
        failures.append("there is no " + name)
for function, name in re.findall(r"`([a-z_]+)` in `([a-z_]+\.[ch])`", document):
    if not re.search(r"\b" + function + r"\(", sources.get(name, "")):
        failures.append(f"{name} has no {function}")
sys.exit("\n".join(failures) or None)
