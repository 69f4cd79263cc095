"""docs/troubleshooting.md quotes messages that the code really has."""

import ast
import re
from pathlib import Path


def said_in(folder: Path) -> list[str]:
    """The texts of all string literals, with a line break where an f-string has a value."""
    found = []
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\n" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_every_quoted_message_of_ours_is_one(root):
    page = (root / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    ours = page.split("## Messages of others")[0]
    cells = re.findall(r"^\| (`.+?`(?: … `.+?`)*) \|", ours, re.M)
    assert len(cells) > 30
    said = said_in(root / "workflow")
    for cell in cells:
        parts = re.findall(r"`(.+?)`", cell)
        assert any(all(part in text for part in parts) for text in said), f"no message has {cell}"
