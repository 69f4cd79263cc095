"""The pages of docs/api from the docstrings of the package, by pdoc: one for each module.

python docs/build_api.py [--out docs/api]
"""

import argparse
from pathlib import Path

import pdoc

import bupo.sampling


def build(out: Path) -> None:
    """Write the pages, with index.html and a search over all of them, into a folder."""
    # brought in only where they are asked for, which pdoc does not do
    vars(bupo.sampling).update({name: getattr(bupo.sampling, name) for name in bupo.sampling.__all__})
    pdoc.render.configure(docformat="google", show_source=False)
    # verl finds our plugin by itself; imported by another one it would register twice
    pdoc.pdoc("bupo", "!bupo.training.plugin", output_directory=out)


def main() -> None:
    """Build them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "api")
    arguments = parser.parse_args()
    build(arguments.out)
    print(f"The API: {(arguments.out / 'index.html').resolve().as_uri()}")


if __name__ == "__main__":
    main()
