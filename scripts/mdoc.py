"""Pieces of mdoc(7) source, for the manual pages that are generated."""
import re


def escaped(text):
    """Text of ours as it is to be printed; words with a leading dash can be copied from the page."""
    text = text.replace("\\", "\\e").replace("'", "\\(aq").replace("`", "\\(ga")
    return re.sub(r"(?<![\w-])-+(?=[\w\[])", lambda dashes: "\\-" * len(dashes[0]), text)


def lines(text):
    """A paragraph as lines of source: each sentence begins one, none is long or begins a macro."""
    out = []
    for sentence in re.split(r"(?<=\w[.!?]) +(?=[A-Z])", " ".join(text.split())):
        line = ""
        for word in sentence.split(" "):
            if line and len(line) + 1 + len(word) > 78:
                out.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        out.append(line)
    return [("\\&" + line) if line[:1] in (".", "'") else line for line in out if line]
