"""The pages of the docstrings can be built."""

import subprocess
import sys

import pytest

from bupo import policies


@pytest.mark.slow
def test_every_module_has_a_page_with_its_public_names(root, tmp_path):
    command = [sys.executable, str(root / "docs/build_api.py"), "--out", str(tmp_path)]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "does not resolve" not in built.stderr
    sources = (root / "workflow/bupo").rglob("*.py")
    modules = [path.relative_to(root / "workflow").with_suffix("") for path in sources]
    public = {m.parent if m.name == "__init__" else m for m in modules if m.name != "__main__"}
    pages = {path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.html")}
    # a package with __all__ has one page for what it offers; the plugin is imported by verl alone
    lacking = public - pages - {module for module in public if module.parent in listed(root)}
    assert {str(module) for module in lacking} <= {"bupo/training/plugin"}
    page = (tmp_path / "bupo/policies.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in policies.__all__)


def listed(root):
    """The packages that say in ``__all__`` what they offer."""
    inits = (root / "workflow/bupo").rglob("__init__.py")
    return {
        path.parent.relative_to(root / "workflow") for path in inits if "__all__" in path.read_text("utf-8")
    }
